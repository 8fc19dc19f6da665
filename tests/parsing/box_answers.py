"""How the tests compare an answer with the boxes that it should give.

Image sizes are chosen so that a number in the text and a pixel differ by a factor to be seen: a
relative number n of a scale N on an image N pixels wide and 2 N high is n in x and 2 n in y.
"""

from collections import Counter

import pytest

from lightning_vlmeval.parsing import box_format

WIDTHS = {
    "paligemma": 1023,
    "florence-2": 1000,
    "kosmos-2": 320,
    "qwen-vl": 999,
    "deepseek-vl2": 999,
}
STATES = {
    "boxes": (True, False, True),
    "none": (False, True, True),
    "unparsable": (False, False, False),
}


def check(name, text, boxes, issues="", state="boxes"):
    """Compare with boxes as (label, x1, y1, x2, y2) and issues as words."""
    width = WIDTHS.get(name, 1000)
    fmt = box_format(name)
    size = (width, 2 * width)
    parsed = fmt.parse(text, size, size if fmt.needs_fed_size else None)
    assert [box.label for box in parsed.boxes] == [box[0] for box in boxes]
    for got, wanted in zip(parsed.boxes, boxes, strict=True):
        assert got.xyxy == pytest.approx(wanted[1:], abs=1e-9)
    assert parsed.issues == Counter(issues.split())
    assert (bool(parsed.boxes), parsed.said_none, parsed.ok) == STATES[state]
