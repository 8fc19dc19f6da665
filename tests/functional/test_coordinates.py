"""The coordinate doctor: each wrong reading is found and named, and nothing else is."""

import re

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.functional.boxes import pairwise_iou
from lightning_vlmeval.functional.coordinates import _Pairs, coordinate_doctor, read_numbers
from lightning_vlmeval.parsing import Frame, box_format


def scenes(n=30, seed=0):
    """Targets of 1 to 4 boxes on images of several sizes, with the sizes that a model was fed."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(300, 1500, (n, 2))
    fed_sizes = np.maximum(28, sizes * rng.uniform(0.4, 0.7, (n, 1)) // 28 * 28)
    target = []
    for size in sizes:
        start = rng.uniform(0, 0.7, (rng.integers(1, 5), 2))
        end = start + rng.uniform(0.1, 0.3, start.shape)
        target.append(np.hstack([start, end]) * np.tile(size, 2))
    return target, sizes, fed_sizes


def written(target, sizes, fed_sizes, frame, jitter=0.0, seed=1):
    """The numbers that a model would write for boxes near the targets, in its own frame."""
    rng = np.random.default_rng(seed)
    preds = []
    for boxes, size, fed_size in zip(target, sizes, fed_sizes, strict=True):
        near = boxes + rng.normal(0, jitter * np.tile(boxes[:, 2:] - boxes[:, :2], 2))
        near = np.hstack(
            [np.minimum(near[:, :2], near[:, 2:]), np.maximum(near[:, :2], near[:, 2:])]
        )
        preds.append(
            [frame.encode(tuple(box), tuple(size), tuple(fed_size)) for box in near.tolist()]
        )
    return preds


FRAMES = {
    "0-1": Frame(1, decimals=4),
    "0-1000": Frame(1000),
    "pixels of the original image": Frame("original"),
    "pixels of the resized image": Frame("pixels"),
    "0-1000 in the order y, x, y, x": Frame(1000, "yxyx"),
    "0-1 as corner and size (xywh)": Frame(1, "xywh", decimals=4),
    "pixels of the original image as corner and size (xywh)": Frame("original", "xywh"),
    "pixels of the original image in the order y, x, y, x": Frame("original", "yxyx"),
    "0-1 of the image padded to a square": Frame(1, square=True, decimals=4),
    "0-1000 of the image padded to a square": Frame(1000, square=True),
}


@pytest.mark.parametrize(("reading", "frame"), FRAMES.items())
@pytest.mark.parametrize("now", [Frame(1, decimals=4), Frame("original"), Frame("pixels")])
def test_a_wrong_reading_is_found(reading, frame, now):
    """Boxes that are slightly off: read rightly, nothing is said; else the right reading is named."""
    target, sizes, fed_sizes = scenes()
    preds = written(target, sizes, fed_sizes, frame, jitter=0.03)
    finding = coordinate_doctor(preds, target, sizes, fed_sizes, frame=now)
    assert coordinate_doctor(preds, target, sizes, fed_sizes, frame=frame) is None
    if now == frame:
        assert finding is None
    else:
        assert finding.reading == reading
        assert finding.iou < 0.5 < 0.75 < finding.iou_if
        assert str(finding) == (
            f"IoU {finding.iou:.2f}, would be {finding.iou_if:.2f} if read as {reading}"
        )


def test_1024_is_told_from_1000_by_the_boxes():
    target, sizes, fed_sizes = scenes()
    for scale in (1000, 1024):
        preds = written(target, sizes, fed_sizes, Frame(scale))
        assert coordinate_doctor(preds, target, sizes).reading == f"0-{scale}"


def test_by_hand():
    """Read as pixels, (100, 250, 300, 480) and (64, 120, 192, 360) share 92 x 110 of 66600."""
    preds, target, sizes = (
        [[[100, 250, 300, 750]]] * 5,
        [[[64, 120, 192, 360]]] * 5,
        [(640, 480)] * 5,
    )
    finding = coordinate_doctor(preds, target, sizes)
    assert finding.iou == pytest.approx(92 * 110 / (200 * 230 + 128 * 240 - 92 * 110))
    assert (finding.reading, finding.iou_if, finding.num_pairs) == ("0-1000", 1.0, 5)
    assert finding.frame.decode((100, 250, 300, 750), (640, 480)) == (64, 120, 192, 360)


def test_nothing_is_changed():
    target, sizes, fed_sizes = scenes()
    preds = [np.array(boxes) for boxes in written(target, sizes, fed_sizes, Frame(1000))]
    before = [boxes.copy() for boxes in preds]
    coordinate_doctor(preds, target, sizes)
    assert all((a == b).all() for a, b in zip(preds, before, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_a_model_that_is_merely_bad_is_left_alone(seed):
    """Boxes that have nothing to do with the targets: no reading clearly wins."""
    target, sizes, fed_sizes = scenes(seed=seed)
    others = [boxes[::-1] for boxes in scenes(seed=seed + 100)[0]]
    preds = written(others, sizes, fed_sizes, Frame(1000))
    for now in (Frame(1000), Frame("original")):
        assert coordinate_doctor(preds, target, sizes, fed_sizes, frame=now) is None


def test_unassigned_boxes_play_no_part():
    """Two thirds of the targets are missed: the found ones still tell the reading."""
    target, sizes, fed_sizes = scenes()
    preds = [
        boxes if index % 3 == 0 else []
        for index, boxes in enumerate(written(target, sizes, fed_sizes, Frame(1000)))
    ]
    assert coordinate_doctor(preds, target, sizes).iou_if > 0.9
    assert coordinate_doctor(preds, target, sizes, frame=Frame(1000)) is None


def squares(side, image, n=9):
    """Predicted squares, targets of 100 x 100 and image sizes; all corners at the origin."""
    return [[[0, 0, side, side]]] * n, [[[0, 0, 100, 100]]] * n, [(image, image)] * n


def test_a_small_gain_is_no_finding():
    """On 900 pixels, 149 x 149 has IoU 0.45 with 100 x 100; as 0-1000 it is 134 x 134: 0.56."""
    assert coordinate_doctor(*squares(149, 900)) is None
    assert coordinate_doctor(*squares(143, 700)).reading == "0-1000"


def test_a_good_iou_is_left_alone_whatever_would_be_better():
    """On 700 pixels, 130 x 130 has IoU 0.59; as 0-1000 it is 91 x 91: 0.83."""
    assert coordinate_doctor(*squares(130, 700)) is None


def test_a_gain_in_half_of_the_pairs_is_no_finding():
    """Half of the boxes fit as 0-1000, the others do not in any reading."""
    preds, target, sizes = (
        [[[100, 250, 300, 750]]] * 20,
        [[[64, 120, 192, 360]]] * 20,
        [(640, 480)] * 20,
    )
    assert coordinate_doctor(preds, target, sizes).iou_if == 1
    preds[::2] = [[[2000, 2000, 2000, 2000]]] * 10
    assert coordinate_doctor(preds, target, sizes) is None


def test_numbers_of_a_parsed_answer():
    """Pixels beyond the image are clipped in parsing; the numbers still show what was meant."""
    text = '[{"bbox_2d": [700, 700, 900, 900], "label": "cat"}]'
    parsed = box_format("qwen2.5-vl").parse(text, (640, 480), (644, 476))
    assert not parsed.boxes
    finding = coordinate_doctor(
        [parsed.numbers] * 5,
        [[(448, 336, 576, 432)]] * 5,
        [(640, 480)] * 5,
        [(644, 476)] * 5,
        frame=box_format("qwen2.5-vl").frame,
    )
    assert str(finding) == "IoU 0.00, would be 1.00 if read as 0-1000"


SMALL = [[[100.0, 250, 300, 750]]]
SILENT = {
    "no samples": ([], [], []),
    "no predictions": ([[]] * 9, [[[64, 120, 192, 360]]] * 9, [(640, 480)] * 9),
    "no targets": (SMALL * 9, [[]] * 9, [(640, 480)] * 9),
    "too few pairs": (SMALL * 4, [[[64, 120, 192, 360]]] * 4, [(640, 480)] * 4),
    "not finite": (
        [[[np.nan, np.inf, -np.inf, 1]]] * 9,
        [[[64, 120, 192, 360]]] * 9,
        [(640, 480)] * 9,
    ),
    "huge": ([[[1e308, -1e308, 1e308, 1e308]]] * 9, [[[64, 120, 192, 360]]] * 9, [(640, 480)] * 9),
    "targets without an area": (SMALL * 9, [[[64, 120, 64, 120]]] * 9, [(640, 480)] * 9),
}


@pytest.mark.parametrize(("preds", "target", "sizes"), SILENT.values(), ids=SILENT)
def test_nothing_to_say(preds, target, sizes):
    assert coordinate_doctor(preds, target, sizes, sizes) is None


def test_many_samples_are_looked_at_in_part():
    finding = coordinate_doctor(SMALL * 1200, [[[64, 120, 192, 360]]] * 1200, [(640, 480)] * 1200)
    assert finding.num_pairs == 400


@pytest.mark.parametrize("order", ["xyxy", "yxyx", "xywh", "cxcywh"])
@pytest.mark.parametrize(
    "options",
    [
        {"scale": 1000},
        {"scale": 1000, "bins": True},
        {"scale": 7, "square": True},
        {"scale": "original"},
        {"scale": "pixels"},
        {"scale": "pixels", "unit": 2},
    ],
)
def test_reading_in_bulk_equals_the_frame(order, options):
    rng = np.random.default_rng(0)
    numbers = rng.uniform(-100, 1100, (200, 4))
    sizes, fed_sizes = rng.integers(10, 2000, (2, 200, 2)).astype(float)
    frame = Frame(order=order, **options)
    got = read_numbers(numbers, frame, sizes, fed_sizes)
    for row, quad, size, fed in zip(got, numbers, sizes, fed_sizes, strict=True):
        x1, y1, x2, y2 = frame.decode(tuple(quad), tuple(size), tuple(fed))
        xs, ys = np.clip(sorted([x1, x2]), 0, size[0]), np.clip(sorted([y1, y2]), 0, size[1])
        assert row == pytest.approx([xs[0], ys[0], xs[1], ys[1]], abs=1e-9)


def test_errors():
    with pytest.raises(ConfigurationError, match="Expected `fed_sizes` with a frame in pixels"):
        coordinate_doctor(SMALL, SMALL, [(640, 480)], frame=Frame("pixels"))
    message = re.escape("Expected `sizes` as (width, height) of each of 1 images, all positive")
    for sizes in ([(640, 0)], [(640, 480)] * 2, [(np.nan, 480)]):
        with pytest.raises(InputError, match=message):
            coordinate_doctor(SMALL, SMALL, sizes)
    with pytest.raises(InputError, match="Expected `preds` as four numbers a box, but got"):
        coordinate_doctor([[[1, 2, 3]]], SMALL, [(640, 480)])
    with pytest.raises(InputError, match="to have the same length, but got 1 and 2"):
        coordinate_doctor(SMALL, SMALL * 2, [(640, 480)])


def test_overlaps_are_those_of_each_sample_on_its_own():
    rng = np.random.default_rng(0)
    preds = [rng.uniform(0, 100, (n, 4)) for n in (3, 1, 0, 4, 2)]
    target = [np.sort(rng.uniform(0, 100, (n, 2, 2)), 1).reshape(-1, 4) for n in (2, 4, 3, 0, 2)]
    pairs = _Pairs(preds, target, [(100, 100)] * 5, None)
    expected = []
    for boxes, truth in zip(preds, target, strict=True):
        if len(boxes) and len(truth):
            low, high = (
                np.minimum(boxes[:, :2], boxes[:, 2:]),
                np.maximum(boxes[:, :2], boxes[:, 2:]),
            )
            iou = pairwise_iou(np.hstack([low, high]), truth)
            assigned = np.zeros(len(truth))
            rows, columns = linear_sum_assignment(iou, maximize=True)
            assigned[columns] = iou[rows, columns]
            expected += assigned.tolist()
    assert pairs.overlaps(Frame("original")) == pytest.approx(expected, abs=1e-12)
    assert max(expected) > 0.1
