"""No text makes `parse` raise, and whatever it gives is usable."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_vlmeval.parsing import Box, box_format
from lightning_vlmeval.parsing.answer import MAX_LENGTH
from lightning_vlmeval.parsing.families import _FORMATS

NAMES = sorted(_FORMATS)
SIZE, FED = (640, 480), (644, 476)
BOXES = [
    Box("cat", (64, 48, 320, 240)),
    Box("man's hat", (0, 0, 640, 480)),
    Box("cat", (9, 9, 99, 99)),
]
# Whatever formats are made of, put together in every order.
PIECES = [
    *"{}[]()<>,:;.\\\"'\n 0123456789-+e",
    *(
        "[[",
        "]]",
        "{{}}",
        "null",
        "NaN",
        "1e999",
        "[1, 2, 3, 4]",
        "(1,2)",
        '{"bbox_2d": ',
        '"label": "a"',
    ),
    *(
        "{'bbox_2d': [1, 2, 3, 4]",
        '"box_2d"',
        '"x_min": 1',
        '"x_max": 0.5',
        "```json",
        "None",
        "no box",
    ),
    *("<ref>", "</ref>", "<box>", "</box>", "<|det|>", "<|/det|>", "<|box_start|>", "<|box_end|>"),
    *(
        "<|begin_of_box|>",
        "<p>",
        "<loc0001>",
        "<loc_999>",
        "<seg001>",
        "<patch_index_0033>",
        "<object>",
    ),
    *(
        "</object>",
        "<phrase>",
        "</phrase>",
        "</delimiter_of_multi_objects/>",
        "<think>",
        "</think>",
    ),
    *("<eos>", "<|im_end|>", "猫", "\ud83d", "\x00", "\u0663", "cat", "there are no"),
]


def check(parsed):
    """Every promise that holds for any text."""
    for box in parsed.boxes:
        x1, y1, x2, y2 = box.xyxy
        assert 0 <= x1 < x2 <= SIZE[0]
        assert 0 <= y1 < y2 <= SIZE[1]
        assert isinstance(box.label, str)
        assert all(type(value) is float for value in box.xyxy)
    assert len(parsed.boxes) + parsed.issues["degenerate"] == len(parsed.numbers)
    assert all(math.isfinite(number) for quad in parsed.numbers for number in quad)
    assert all(count > 0 for count in parsed.issues.values())
    assert not (parsed.said_none and (parsed.boxes or parsed.issues["malformed"]))
    assert parsed.ok == bool(parsed.boxes or parsed.said_none)


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_any_text(text):
    for name in NAMES:
        check(box_format(name).parse(text, SIZE, FED))


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=60))
def test_any_pieces(pieces):
    for name in NAMES:
        check(box_format(name).parse("".join(pieces), SIZE, FED))


@pytest.mark.parametrize("name", NAMES)
def test_mutations_of_a_good_answer(name):
    """Cut, doubled, shuffled, and with pieces put in or taken out: 300 of each format."""
    rng = random.Random(name)
    fmt = box_format(name)
    good = fmt.render(BOXES, SIZE, FED)
    for _ in range(300):
        text = good
        for _ in range(rng.randint(1, 4)):
            i, j = sorted(rng.choices(range(len(text) + 1), k=2))
            text = rng.choice(
                [
                    text[:j],
                    text[i:],
                    text[:i] + text[j:],
                    text[:j] + text[i:j] + text[j:],
                    text[:i] + rng.choice(PIECES) + text[i:],
                    text[:i] + "".join(rng.sample(text[i:j], j - i)) + text[j:],
                ]
            )
        check(fmt.parse(text, SIZE, FED))


LONG = [
    *(
        "{",
        "[",
        "[[",
        "{{}}",
        "{}",
        "[]",
        "}",
        "]",
        "(",
        "9",
        "1 ",
        '"',
        "'",
        "\\",
        "{'",
        "' ",
        "{'a':'",
    ),
    *("[1,2,3,4]", "[1;", "(1,2),", '{"bbox_2d":[', '[{"bbox_2d": [[1,2,3,4],', '{"bbox_2d":"['),
    *(
        "<loc0001>",
        "<loc0001> a ; ",
        "<loc_",
        "<box>",
        "<ref>",
        "<ref>a</ref><box>",
        "<object>",
        "<|begin_of_box|>{",
    ),
    *(
        "</delimiter_of_multi_objects/>",
        "<think>",
        "</think>",
        "<",
        "no ",
        "there are no ",
        "\n",
        ". ",
    ),
]


@pytest.mark.parametrize("piece", LONG)
def test_long_repetitions(piece):
    """100 kB of one piece: what is not linear in the length would take minutes here."""
    text = piece * (100_000 // len(piece))
    for name in ("paligemma", "kosmos-2", "moondream", "glm-v", "minigpt-v2", "ferret"):
        check(box_format(name).parse(text + "<", SIZE, FED))


@pytest.mark.parametrize(("opening", "closing"), [("{", "}"), ("[", "]"), ('{"a":[', "]}")])
def test_deep_nesting(opening, closing):
    """A box at the bottom of 50 thousand levels is found, whatever its depth."""
    box = '{"bbox_2d": [100, 100, 500, 500], "label": "cat"}'
    parsed = box_format("qwen3-vl").parse(opening * 50_000 + box + closing * 50_000, SIZE)
    assert parsed.boxes == [BOXES[0]]
    assert not parsed.issues


def test_a_text_beyond_the_limit_is_read_up_to_it_and_counted():
    box = '{"bbox_2d": [100, 100, 500, 500], "label": "cat"}'
    parsed = box_format("qwen3-vl").parse(box + " " * MAX_LENGTH + box, SIZE)
    assert parsed.boxes == [BOXES[0]]
    assert parsed.issues == {"overlong": 1}
