"""What `render` writes, `parse` reads: every format, several image sizes, many boxes."""

import math

import numpy as np
import pytest

from lightning_vlmeval.parsing import Box, BoxFormat, Frame, JSONGrammar, box_format
from lightning_vlmeval.parsing.families import _FORMATS

NAMES = sorted(_FORMATS)
# Original sizes, and what a processor that rounds to multiples of 28 would feed.
SIZES = [
    ((640, 480), (644, 476)),
    ((368, 434), (364, 448)),
    ((1920, 1080), (1316, 728)),
    ((331, 977), (336, 980)),
]
# The largest shift by rounding, in parts of the image's side; by hand from the definitions. A format
# that cannot write its scale moves the last edge by a whole unit.
SHIFTS = {
    "paligemma": 0.5 / 1023,
    "florence-2": 0.5 / 1000,
    "kosmos-2": 1 / 32,
    "qwen-vl": 0.5 / 999,
    "deepseek-vl2": 0.5 / 999,
    "lfm2.5-vl": 0.5 / 1000,
    "kimi-vl": 0.5 / 1000,
    "moondream": 0.5 / 10000,
    "minigpt-v2": 0.5 / 100,
    "cogvlm": 1 / 1000,
    "nvila": 1 / 1000,
    "ferret": 1 / 1000,
}
# The same in parts of the longer side, to which the image is padded.
SQUARE_SHIFTS = {"shikra": 0.5 / 1000, "llava": 0.5 / 100, "glm-4v": 0.5 / 1120}
LABELS = ["cat", "man's hat", "red, small cat", "größe 猫", "traffic light (left)"]


def shift(name, size, fed_size):
    """The largest shift in x and in y, in pixels of the original image."""
    if name in SQUARE_SHIFTS:
        return (SQUARE_SHIFTS[name] * max(size),) * 2
    if name == "vlm-r1":
        return 0.5, 0.5
    if name in {"qwen2.5-vl", "fuyu"}:
        unit = 2 if name == "fuyu" else 1
        # The last number is a whole one, so that half of an odd side is cut off.
        return tuple(unit * 0.5 * side / fed for side, fed in zip(size, fed_size, strict=True))
    return tuple(SHIFTS.get(name, 0.5 / 1000) * side for side in size)


def boxes_in(size, seed, n=40):
    """Boxes of all kinds of sizes, each at least a twentieth of the image, edges included."""
    rng = np.random.default_rng(seed)
    boxes = [Box("cat", (0.0, 0.0, *map(float, size)))]
    for _ in range(n):
        start = rng.uniform(0, 0.9, 2)
        end = rng.uniform(start + 0.06, np.minimum(1, start + 0.06 + rng.uniform(0, 1)))
        corners = (np.clip([*start, *end], 0, 1) * [*size, *size]).tolist()
        boxes.append(Box(str(rng.choice(LABELS)), tuple(corners)))
    return boxes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "fed_size"), SIZES)
def test_round_trip(name, size, fed_size):
    """Labels and order return, corners within the rounding, without any issue."""
    fmt = box_format(name)
    boxes = boxes_in(size, seed=7)
    text = fmt.render(boxes, size, fed_size)
    parsed = fmt.parse(text, size, fed_size)
    assert parsed.issues.keys() <= {"duplicate"}
    assert [box.label for box in parsed.boxes] == [box.label for box in boxes]
    got = np.array([box.xyxy for box in parsed.boxes])
    error = np.abs(got - np.array([box.xyxy for box in boxes])).reshape(-1, 2, 2).max(axis=(0, 1))
    assert (error <= np.array(shift(name, size, fed_size)) * (1 + 1e-9) + 1e-9).all()
    assert fmt.render(parsed.boxes, size, fed_size) == text


@pytest.mark.parametrize("name", NAMES)
def test_no_boxes(name):
    """What a format writes for no boxes is read as "said none"."""
    fmt = box_format(name)
    parsed = fmt.parse(fmt.render([], (640, 480), (644, 476)), (640, 480), (644, 476))
    assert parsed.said_none
    assert parsed.ok
    assert not parsed.boxes
    assert not parsed.issues


@pytest.mark.parametrize("name", NAMES)
def test_boxes_without_labels(name):
    fmt = box_format(name)
    boxes = [Box("", box.xyxy) for box in boxes_in((640, 480), seed=3, n=5)]
    parsed = fmt.parse(fmt.render(boxes, (640, 480), (644, 476)), (640, 480), (644, 476))
    assert [box.label for box in parsed.boxes] == [""] * 6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("corners", [(5, 5, 5.01, 5.01), (639.99, 479.99, 640, 480), (7, 7, 7, 7)])
def test_a_tiny_box_is_written_so_that_it_can_be_read(name, corners):
    """A side below the rounding is written one unit wide: it stays a box."""
    fmt = box_format(name)
    text = fmt.render([Box("cat", corners)], (640, 480), (644, 476))
    assert len(fmt.parse(text, (640, 480), (644, 476)).boxes) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_cut_gives_the_first_boxes(name):
    """A cut answer gives the first boxes of the whole one, more of them the later it is cut."""
    fmt = box_format(name)
    boxes = boxes_in((640, 480), seed=5, n=4)
    text = fmt.render(boxes, (640, 480), (644, 476))
    whole = fmt.parse(text, (640, 480), (644, 476)).boxes
    found = 0
    for end in range(len(text) + 1):
        part = fmt.parse(text[:end], (640, 480), (644, 476)).boxes
        assert [box.xyxy for box in part] == [box.xyxy for box in whole[: len(part)]]
        assert len(part) >= found
        found = len(part)
    assert found == len(whole) == 5


def test_every_complete_object_of_a_cut_answer_is_recovered():
    fmt = box_format("qwen3-vl")
    text = fmt.render(boxes_in((640, 480), seed=5, n=6), (640, 480))
    whole = fmt.parse(text, (640, 480)).boxes
    for end in range(len(text)):
        complete = text[:end].count("}")
        part = fmt.parse(text[:end], (640, 480))
        # An object whose label is complete counts without its brace.
        assert part.boxes in (whole[:complete], whole[: complete + 1])
        assert part.issues["truncated"] == (end > 0)


def test_the_ceiling_by_hand():
    """As 0-10, (13, 0, 100, 100) of 100 x 100 becomes (10, 0, 100, 100): IoU 87 / 90."""
    coarse = BoxFormat("coarse", JSONGrammar(), Frame(10))
    boxes = [Box("a", (13, 0, 100, 100)), Box("b", (20, 20, 50, 50))]
    assert coarse.ceiling(boxes[:1], (100, 100)) == pytest.approx(87 / 90)
    assert coarse.ceiling(boxes, (100, 100)) == pytest.approx((87 / 90 + 1) / 2)
    assert coarse.ceiling([Box("a", (5, 5, 5, 9))], (100, 100)) == 0
    assert math.isnan(coarse.ceiling([], (100, 100)))


@pytest.mark.parametrize(
    ("name", "side", "ceiling"),
    [
        ("kosmos-2", 64, 0.77),
        ("llava", 64, 0.90),
        ("minigpt-v2", 64, 0.92),
        ("paligemma", 64, 0.99),
        ("qwen3-vl", 64, 0.99),
        ("florence-2", 64, 0.99),
        ("kosmos-2", 16, 0.42),
        ("llava", 16, 0.68),
        ("minigpt-v2", 16, 0.71),
        ("paligemma", 16, 0.97),
    ],
)
def test_the_ceiling_of_small_objects(name, side, ceiling):
    """Mean over random squares on 640 x 480; the figures were measured before, independently."""
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, np.array([640, 480]) - side, (300, 2))
    boxes = [Box("", (x, y, x + side, y + side)) for x, y in starts.tolist()]
    assert box_format(name).ceiling(boxes, (640, 480)) == pytest.approx(ceiling, abs=0.02)


def test_the_ceiling_in_pixels_takes_the_original_size_where_none_is_fed():
    boxes = [Box("a", (10, 10, 50, 50))]
    assert box_format("qwen2.5-vl").ceiling(boxes, (640, 480)) == 1
    assert box_format("qwen2.5-vl").ceiling(boxes, (640, 480), (28, 28)) < 0.8


def test_ignoring_the_resize_is_what_costs():
    """On 1920 x 1080 fed as 1316 x 728, a perfect answer read as original pixels misses."""
    size, fed_size = (1920, 1080), (1316, 728)
    rng = np.random.default_rng(0)
    starts = rng.uniform([900, 500], [1500, 800], (50, 2))
    boxes = [Box("", (x, y, x + 100, y + 100)) for x, y in starts.tolist()]
    text = box_format("qwen2.5-vl").render(boxes, size, fed_size)
    ignored = box_format("vlm-r1").parse(text, size).boxes
    right = box_format("qwen2.5-vl").parse(text, size, fed_size).boxes
    assert all(abs(a.xyxy[0] - b.xyxy[0]) < 1 for a, b in zip(right, boxes, strict=True))
    assert all(a.xyxy[2] < b.xyxy[0] for a, b in zip(ignored, boxes, strict=True))
