"""Coordinate spaces: numbers worked out by hand."""

import re

import pytest

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.parsing import Frame

# A box on 640 x 480 (fed as 320 x 120), and its numbers in each frame.
BOX = (64, 120, 320, 360)
CASES = [
    (Frame(1000), (100, 250, 500, 750)),
    (Frame(1000, order="yxyx"), (250, 100, 750, 500)),
    (Frame(1000, order="xywh"), (100, 250, 400, 500)),
    (Frame(1000, order="cxcywh"), (300, 500, 400, 500)),
    (Frame(1, decimals=2), (0.1, 0.25, 0.5, 0.75)),
    (Frame(100), (10, 25, 50, 75)),
    (Frame("pixels"), (32, 30, 160, 90)),
    (Frame("pixels", "yxyx", unit=2), (15, 16, 45, 80)),
    (Frame("original"), (64, 120, 320, 360)),
    (Frame(640, square=True), (64, 200, 320, 440)),
]


@pytest.mark.parametrize(("frame", "numbers"), CASES)
def test_both_ways(frame, numbers):
    assert frame.encode(BOX, (640, 480), (320, 120)) == numbers
    assert frame.decode(numbers, (640, 480), (320, 120)) == pytest.approx(BOX)


def test_bins_are_written_rounded_down_and_read_as_their_centres():
    frame = Frame(10, bins=True)
    assert frame.encode((19, 0, 100, 99), (100, 100)) == (1, 0, 9, 9)
    assert frame.decode((1, 0, 9, 9), (100, 100)) == (15, 5, 95, 95)


def test_padding_of_an_upright_image():
    """480 x 640 is padded by 80 on the left: x = 0 is 80 of 640."""
    frame = Frame(640, square=True)
    assert frame.encode((0, 0, 480, 640), (480, 640)) == (80, 0, 560, 640)


def test_a_top_below_the_scale():
    assert Frame(1000, top=999).encode((0, 0, 640, 480), (640, 480)) == (0, 0, 999, 999)


def test_corners_beyond_the_image_are_written_on_its_edge():
    assert Frame(1000).encode((-5, -5, 700, 500), (640, 480)) == (0, 0, 1000, 1000)


@pytest.mark.parametrize(
    ("frame", "corners", "numbers"),
    [
        (Frame(10), (41, 41, 42, 42), (4, 4, 5, 5)),
        (Frame(10), (99, 99, 100, 100), (9, 9, 10, 10)),
        (Frame(1, decimals=1), (41, 41, 42, 42), (0.4, 0.4, 0.5, 0.5)),
        (Frame(10, order="xywh"), (41, 41, 42, 42), (4, 4, 1, 1)),
        (Frame(10, bins=True), (99, 99, 100, 100), (8, 8, 9, 9)),
    ],
)
def test_a_side_below_one_step_is_one_step(frame, corners, numbers):
    assert frame.encode(corners, (100, 100)) == numbers


@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan"), "pixel"])
def test_a_bad_scale(scale):
    message = re.escape(f"but got scale={scale!r}, square=False")
    with pytest.raises(ConfigurationError, match=message):
        Frame(scale)


def test_bad_options():
    with pytest.raises(ConfigurationError, match=re.escape("scale='pixels', square=True")):
        Frame("pixels", square=True)
    with pytest.raises(ConfigurationError, match="one of xyxy, yxyx, xywh, cxcywh, but got 'yx'"):
        Frame(100, order="yx")
    for options in ({"unit": 0}, {"decimals": -1}):
        with pytest.raises(
            ConfigurationError, match="Expected `unit` above 0 and `decimals` from 0"
        ):
            Frame("pixels", **options)
    with pytest.raises(ConfigurationError, match="above 0 with scale=1, but got 0"):
        Frame(1)
