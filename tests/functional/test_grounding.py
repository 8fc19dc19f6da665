import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from lightning_vlmeval import __version__
from lightning_vlmeval.errors import ConfigurationError, InputError, InputTypeError
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.table import Table

KEYS = [
    "precision",
    "recall",
    "f1",
    "iou",
    "mean_iou",
    "tp",
    "fp",
    "fn",
    "f1_50_95",
    "acc_50",
    "center_accuracy",
    "rejection_accuracy",
    "macro_f1",
]
NAN = math.nan


def scores(preds, target, **options):
    """The scores of a batch, as floats."""
    scorer = GroundingScorer(**options)
    rows = scorer.rows(preds, target)
    return scorer.score(Table(scorer.columns, tuple(map(str, range(len(rows)))), rows))


# ------------------------------------------------------------------------------ the plain definition


def is_box(box):
    left, top, right, bottom = box
    return bool(np.isfinite(box).all()) and right > left and bottom > top


def iou_of(a, b):
    """Intersection over union of two boxes, 0 where either is not one."""
    if not (is_box(a) and is_box(b)):
        return 0.0
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(
        min(a[3], b[3]) - max(a[1], b[1]), 0.0
    )
    first, second = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return shared / (first + second - shared)


def edges(box, box_coordinates):
    """A box as left, top, right, bottom."""
    x, y, w, h = map(float, box)
    if box_coordinates == "xyxy":
        return x, y, w, h
    if box_coordinates == "xywh":
        return x, y, x + w, y + h
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def plain_row(pred, target, iou_threshold=0.5, box_coordinates="xyxy"):
    """The row of one sample, `pred` and `target` as lists of (box, label), label by label."""
    pred = [(edges(box, box_coordinates), label) for box, label in pred]
    given = [(edges(box, box_coordinates), label) for box, label in target]
    target = [(box, label) for box, label in given if is_box(box)]
    assigned, singles, hits, centers = [], 0, 0, 0
    for label in dict.fromkeys(label for _, label in target):
        boxes = [box for box, its in pred if its == label]
        truth = [box for box, its in target if its == label]
        iou = np.array([[iou_of(a, b) for b in truth] for a in boxes]).reshape(-1, len(truth))
        found = [0.0] * len(truth)
        for i, j in zip(*linear_sum_assignment(iou, maximize=True), strict=True):
            found[j] = iou[i, j]
        assigned += found
        if len(truth) == 1:
            singles += 1
            if boxes and is_box(boxes[0]):
                hits += iou[0, 0] >= 0.5
                x, y = (boxes[0][0] + boxes[0][2]) / 2, (boxes[0][1] + boxes[0][3]) / 2
                left, top, right, bottom = truth[0]
                centers += left <= x <= right and top <= y <= bottom
    matched = [iou for iou in assigned if iou >= iou_threshold]
    sum_matched = sum_iou = 0.0
    for iou in matched:
        sum_matched += iou
    for iou in assigned:
        sum_iou += iou
    empty = not pred and not target
    return {
        "n_samples": 1,
        "n_pred": len(pred),
        "n_target": len(target),
        "n_matched": len(matched),
        **{
            f"n_matched_{percent}": sum(iou >= percent / 100 for iou in assigned)
            for percent in range(50, 100, 5)
        },
        "n_single": singles,
        "n_single_50": hits,
        "n_single_center": centers,
        "sum_iou_matched": sum_matched,
        "sum_iou": sum_iou,
        "n_negative": not target,
        "n_rejected": empty,
        "sum_f1": 1.0 if empty else 2 * len(matched) / (len(pred) + len(target)),
        "n_invalid_pred": sum(not is_box(box) for box, _ in pred),
        "n_invalid_target": len(given) - len(target),
        "n_unparsable": 0,
    }


# ----------------------------------------------------------------------------- awkward random scenes


def odd_box(rng, box_coordinates):
    """A box that is not one, in this format."""
    if box_coordinates == "xyxy":
        return rng.choice(
            [[3, 3, 3, 9], [9, 9, 3, 3], [3, 9, 9, 3], [NAN, 0, 5, 5], [0, 0, np.inf, 5], [0] * 4]
        )
    return rng.choice([[3, 3, 0, 6], [9, 9, -6, -6], [NAN, 0, 5, 5], [0, 0, np.inf, 5]])


def half(box, box_coordinates):
    """The left or the middle half of a box: its IoU with the box is 0.5."""
    x, y, w, h = box
    return [x, y, (x + w) / 2 if box_coordinates == "xyxy" else w / 2, h]


def some_boxes(rng, n, box_coordinates, grid, near=()):
    """Boxes in this format, many of them near others; whole numbers give ties."""
    boxes = []
    for _ in range(n):
        chance = rng.random()
        if chance < 0.08:
            boxes.append(odd_box(rng, box_coordinates))
        elif len(near) and chance < 0.8:
            box = near[rng.integers(len(near))]
            shift = rng.integers(-1, 2, 4) if grid else rng.normal(0, 0.5, 4)
            boxes.append([box, half(box, box_coordinates), box + shift][rng.integers(3)])
        else:
            a, b = rng.integers(0, 20, 2), rng.integers(2, 12, 2)
            boxes.append(np.hstack([a, a + b if box_coordinates == "xyxy" else b]))
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def as_given(rng, boxes, labels):
    """Boxes as a caller may give them: arrays, lists, tensors, mappings, of several types."""
    if np.isfinite(boxes).all() and (boxes == np.rint(boxes)).all() and rng.random() < 0.3:
        boxes = boxes.astype(int)
    kind = rng.integers(4)
    value = [boxes, boxes.tolist(), torch.tensor(boxes), boxes.astype(boxes.dtype, order="F")][kind]
    if labels is None:
        return {"boxes": value, "scores": [0.5] * len(boxes)} if rng.random() < 0.3 else value
    if rng.random() < 0.5 and all(isinstance(label, int) for label in labels):
        return {"boxes": value, "labels": torch.tensor(labels, dtype=torch.int64)}
    return {"boxes": value, "labels": labels}


def random_sample(rng, box_coordinates):
    """A sample as a caller gives it, and as two lists of (box, label)."""
    grid = rng.random() < 0.5
    sizes = (40, 30) if rng.random() < 0.01 else rng.integers(0, 7, 2) * (rng.random(2) < 0.85)
    target = some_boxes(rng, sizes[0], box_coordinates, grid)
    pred = some_boxes(rng, sizes[1], box_coordinates, grid, near=target)
    if not grid and rng.random() < 0.3:
        pred, target = pred.astype(np.float32), target.astype(np.float32)
    names = [None, ["cat", "dog", "cat on a mat"], [0, 1]][rng.integers(3)]
    pairs, values = [], []
    for boxes in (pred, target):
        labels = (
            None if names is None else [names[i] for i in rng.integers(0, len(names), len(boxes))]
        )
        values.append(as_given(rng, boxes, labels))
        pairs.append(list(zip(boxes.tolist(), labels or [None] * len(boxes), strict=True)))
    return values, pairs


@pytest.mark.parametrize("box_coordinates", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("iou_threshold", [0.5, 0.75])
def test_rows_equal_the_plain_definition_to_the_bit(box_coordinates, iou_threshold):
    """450 scenes for each of six settings, in batches of 1 to 40."""
    rng = np.random.default_rng([3, round(100 * iou_threshold), len(box_coordinates)])
    scorer = GroundingScorer(iou_threshold=iou_threshold, box_coordinates=box_coordinates)
    samples = [random_sample(rng, box_coordinates) for _ in range(450)]
    expected = [plain_row(*pairs, iou_threshold, box_coordinates) for _, pairs in samples]
    assert scorer.columns == tuple(expected[0])
    expected = np.array([list(row.values()) for row in expected], dtype=np.float64)
    start = 0
    while start < len(samples):
        part = slice(start, start + rng.integers(1, 41))
        rows = scorer.rows(*zip(*(values for values, _ in samples[part]), strict=True))
        np.testing.assert_array_equal(rows, expected[part])
        start = part.stop
    # The scenes hold what they are meant to hold.
    sums = dict(zip(scorer.columns, expected.sum(axis=0), strict=True))
    assert all(sums[name] > 10 for name in scorer.columns if name != "n_unparsable")


def test_the_scenes_reach_the_threshold_exactly():
    rng = np.random.default_rng(5)
    pairs = [random_sample(rng, "xyxy")[1] for _ in range(300)]
    assert (
        sum(iou_of(a, b) == 0.5 for pred, target in pairs for a, _ in pred for b, _ in target) > 30
    )


def test_the_user_s_example_and_its_neighbours():
    """Areas 100 and 120 share 80: IoU 80 / 140 = 0.571, a match at 0.5 and not at 0.6."""
    found = scores([[[0, 0, 10, 10]]], [[[2, 0, 14, 10]]])
    assert found["iou"] == found["mean_iou"] == 80 / 140
    assert (found["tp"], found["f1"], found["acc_50"]) == (1, 1, 1)
    strict = scores([[[0, 0, 10, 10]]], [[[2, 0, 14, 10]]], iou_threshold=0.6)
    assert (strict["tp"], strict["f1"], strict["mean_iou"]) == (0, 0, 80 / 140)
    assert math.isnan(strict["iou"])
    assert strict["f1_50_95"] == found["f1_50_95"] == 2 / 10  # 0.50 and 0.55 of ten thresholds


def test_two_images_by_hand():
    """Image 1: IoU 1 and 0.5, and one false box. Image 2: a miss, and a false box far away.

    TP 2, FP 2, FN 1. F1 of the images 4/5 and 0. IoU of the matches (1 + 0.5) / 2; of the targets
    1.5 / 3. At 0.50 two matches and at the nine others one: F1 4/7 and 2/7.
    """
    preds = [[[0, 0, 4, 4], [10, 0, 14, 2], [50, 50, 60, 60]], [[80, 80, 90, 90]]]
    target = [[[10, 0, 14, 4], [0, 0, 4, 4]], [[20, 20, 30, 30]]]
    assert scores(preds, target) == pytest.approx(
        {
            "precision": 2 / 4,
            "recall": 2 / 3,
            "f1": 4 / 7,
            "iou": 0.75,
            "mean_iou": 0.5,
            "tp": 2,
            "fp": 2,
            "fn": 1,
            "f1_50_95": (4 / 7 + 9 * 2 / 7) / 10,
            "acc_50": 0,
            "center_accuracy": 0,
            "rejection_accuracy": NAN,
            "macro_f1": (4 / 5 + 0) / 2,
        },
        nan_ok=True,
    )


def test_the_first_predicted_box_answers_a_phrase_with_one_target():
    """The second box would be right; the first has IoU 1/4, and its centre is in the target."""
    found = scores([[[0, 0, 2, 2], [0, 0, 4, 4]]], [[[0, 0, 4, 4]]])
    assert (found["acc_50"], found["center_accuracy"], found["recall"]) == (0, 1, 1)


def test_the_first_of_very_many_predicted_boxes():
    """1,100 boxes for one target: the first has IoU 1/2, the last IoU 1."""
    preds = np.tile([0.0, 0, 2, 4], (1100, 1))
    preds[-1] = [0, 0, 4, 4]
    found = scores([preds], [[[0, 0, 4, 4]]])
    assert (found["acc_50"], found["center_accuracy"]) == (1, 1)
    assert (found["tp"], found["fp"], found["iou"]) == (1, 1099, 1)


@pytest.mark.parametrize(("left", "inside"), [(3, 1), (4, 1), (4.5, 0)])
def test_a_centre_on_the_edge_is_inside(left, inside):
    """The box is 2 wide, so that its centre is at left + 1; the target ends at 5."""
    found = scores([[[left, 0, left + 2, 4]]], [[[0, 0, 5, 4]]])
    assert found["center_accuracy"] == inside


def test_boxes_of_unlike_labels_never_match():
    preds = [{"boxes": [[0, 0, 4, 4], [9, 9, 12, 12]], "labels": ["cat", "dog"]}]
    target = [{"boxes": [[0, 0, 4, 4], [9, 9, 12, 12]], "labels": ["dog", "dog"]}]
    found = scores(preds, target)
    assert (found["tp"], found["fp"], found["fn"]) == (1, 1, 1)


def test_each_label_of_a_sample_is_a_phrase():
    """Of "cat" and "dog" with one target each, the first "dog" is right; "cow" has two targets."""
    box, far = [0, 0, 4, 4], [50, 50, 60, 60]
    target = [{"boxes": [box, box, box, far], "labels": ["cat", "dog", "cow", "cow"]}]
    preds = [{"boxes": [far, box, far, box], "labels": ["cat", "dog", "dog", "cow"]}]
    found = scores(preds, target)
    assert (found["acc_50"], found["center_accuracy"]) == (0.5, 0.5)
    assert (found["tp"], found["fp"], found["fn"]) == (2, 2, 2)


def test_labels_are_compared_by_value():
    box = [[0, 0, 4, 4]]
    for one, other in [([1], torch.tensor([1])), (np.array(["a"]), ["a"]), ([1.0], [1])]:
        found = scores([{"boxes": box, "labels": one}], [{"boxes": box, "labels": other}])
        assert found["tp"] == 1
    assert scores([{"boxes": box, "labels": [1]}], [{"boxes": box, "labels": ["1"]}])["tp"] == 0


def test_masked_makes_more_matches_at_every_threshold():
    """Optimal pairs .474 with .484; masked has .5 at 0.5, and mean_iou has no threshold."""
    preds = [[[7, 0, 23, 10], [20, 0, 40, 10]]]
    target = [[[4, 0, 16, 10], [9, 0, 35, 10]]]
    optimal, masked = scores(preds, target), scores(preds, target, assignment="masked")
    assert (optimal["tp"], masked["tp"]) == (0, 1)
    assert masked["iou"] == 0.5
    assert (optimal["f1_50_95"], masked["f1_50_95"]) == (0, 0.5 / 10)
    assert masked["mean_iou"] == optimal["mean_iou"] == (9 / 19 + 15 / 31) / 2


def test_masked_counts_equal_optimal_where_boxes_are_far_apart():
    rng = np.random.default_rng(6)
    target = [np.arange(5)[:, None] * 100 + [0, 0, 50, 50] for _ in range(50)]
    preds = [boxes[rng.permutation(5)] + rng.normal(0, 6, (5, 4)) for boxes in target]
    rows = [GroundingScorer(assignment=name).rows(preds, target) for name in ("optimal", "masked")]
    np.testing.assert_allclose(*rows, rtol=0, atol=1e-12)


# ---------------------------------------------------------------------------------- odd and empty

box = [0.0, 0.0, 4.0, 4.0]
other = [10.0, 10.0, 14.0, 14.0]

ODD = [
    ("no samples at all", [], [], dict.fromkeys(KEYS, NAN) | {"tp": 0, "fp": 0, "fn": 0}),
    (
        "targets, no prediction",
        [[]],
        [[box, other]],
        {"precision": 0, "recall": 0, "f1": 0, "mean_iou": 0, "macro_f1": 0, "iou": NAN}
        | {"fp": 0, "fn": 2, "f1_50_95": 0},
    ),
    (
        "predictions, no target",
        [[box, other]],
        [[]],
        {"precision": 0, "f1": 0, "macro_f1": 0, "rejection_accuracy": 0, "f1_50_95": 0}
        | {"recall": NAN, "mean_iou": NAN, "iou": NAN, "fp": 2, "fn": 0},
    ),
    (
        "neither predictions nor targets",
        [[]],
        [[]],
        dict.fromkeys(KEYS, NAN)
        | {"tp": 0, "fp": 0, "fn": 0, "macro_f1": 1, "rejection_accuracy": 1},
    ),
    ("no true positive", [[other]], [[box]], {"iou": NAN, "mean_iou": 0, "f1": 0, "acc_50": 0}),
    (
        "no phrase with exactly one target",
        [[box, other]],
        [[box, other]],
        {"acc_50": NAN, "center_accuracy": NAN, "f1": 1},
    ),
    (
        "a phrase with one target and no prediction",
        [[]],
        [[box]],
        {"acc_50": 0, "center_accuracy": 0},
    ),
    *(
        (
            "a predicted box that is degenerate, inverted or not finite",
            [[odd, box]],
            [[box]],
            {"tp": 1, "fp": 1, "fn": 0, "iou": 1, "acc_50": 0, "center_accuracy": 0},
        )
        for odd in ([2, 2, 2, 2], [4, 4, 0, 0], [0, 0, NAN, 4], [0, 0, math.inf, 4])
    ),
    (
        "a target box that is degenerate, inverted or not finite",
        [[box]],
        [[[2, 2, 2, 2], box, [4, 4, 0, 0]]],
        {"tp": 1, "fp": 0, "fn": 0, "acc_50": 1, "center_accuracy": 1},
    ),
    ("an IoU equal to the threshold", [[[0, 0, 2, 4]]], [[box]], {"tp": 1, "iou": 0.5}),
    (
        "two equal predictions of one target",
        [[box, box]],
        [[box]],
        {"tp": 1, "fp": 1, "fn": 0, "iou": 1},
    ),
    (
        "a label that only one side has",
        [{"boxes": [box, box], "labels": ["a", "b"]}],
        [{"boxes": [box, box], "labels": ["a", "c"]}],
        {"tp": 1, "fp": 1, "fn": 1, "acc_50": 0.5},
    ),
    (
        "labels on one side, no boxes on the other",
        [[]],
        [{"boxes": [box], "labels": ["a"]}],
        {"tp": 0, "fp": 0, "fn": 1},
    ),
    (
        "an answer marked unparsable",
        [{"unparsable": True}, {"boxes": [], "unparsable": True}],
        [[], [box]],
        {"rejection_accuracy": 0, "macro_f1": 0, "fn": 1, "fp": 0},
    ),
]


@pytest.mark.parametrize(
    ("case", "preds", "target", "expected"),
    ODD,
    ids=[f"{number} {case}" for number, (case, *_) in enumerate(ODD)],
)
def test_every_odd_input_is_decided(case, preds, target, expected):
    assert f"| {case} |" in str(GroundingScorer.__doc__)
    found = scores(preds, target)
    assert list(found) == KEYS
    assert {key: found[key] for key in expected} == pytest.approx(expected, nan_ok=True)


def test_the_table_of_odd_inputs_is_tested_whole():
    table = re.findall(r"^ *\| ([^|]+) \|", str(GroundingScorer.__doc__), re.MULTILINE)
    assert set(table) - {"input"} == {case for case, *_ in ODD}


def test_odd_boxes_and_answers_are_counted():
    scorer = GroundingScorer()
    preds = [[box, [2, 2, 2, 2], [4, 4, 0, 0]], {"unparsable": True}]
    rows = scorer.rows(preds, [[box, [NAN, 0, 1, 1]], [box]])
    found = {name: rows[:, i].tolist() for i, name in enumerate(scorer.columns)}
    assert found["n_pred"] == [3, 0]
    assert found["n_target"] == [1, 1]
    assert found["n_invalid_pred"] == [2, 0]
    assert found["n_invalid_target"] == [1, 0]
    assert found["n_unparsable"] == [0, 1]


# --------------------------------------------------------------------------------------- properties

sizes = st.tuples(st.integers(0, 6), st.integers(0, 6))
batches = st.lists(sizes, max_size=6)
seeds = st.integers(0, 2**32 - 1)


def random_batch(sizes, seed):
    """Predictions near targets, with real coordinates: without ties."""
    rng = np.random.default_rng(seed)
    preds, target = [], []
    for n, m in sizes:
        low = rng.random((m, 2)) * 10
        boxes = np.hstack([low, low + 1 + rng.random((m, 2)) * 5])
        near = boxes[rng.integers(0, m, n)] if m else np.tile([0.0, 0, 5, 5], (n, 1))
        preds.append(near + rng.normal(0, 0.4, (n, 4)))
        target.append(boxes)
    return preds, target


@given(batches, seeds)
def test_scores_are_in_range_and_counts_add_up(sizes, seed):
    preds, target = random_batch(sizes, seed)
    scorer = GroundingScorer()
    found = scores(preds, target)
    assert set(found) == set(scorer.keys)
    for key, value in found.items():
        assert key in scorer.unbounded or math.isnan(value) or 0 <= value <= 1, key
    assert found["tp"] + found["fp"] == sum(n for n, _ in sizes)
    assert found["tp"] + found["fn"] == sum(m for _, m in sizes)


@given(batches, seeds)
def test_the_order_of_predictions_changes_only_which_is_first(sizes, seed):
    preds, target = random_batch(sizes, seed)
    rng = np.random.default_rng(seed)
    scorer = GroundingScorer()
    rows = scorer.rows(preds, target)
    again = scorer.rows([rng.permutation(boxes) for boxes in preds], target)
    kept = [name not in ("n_single_50", "n_single_center") for name in scorer.columns]
    np.testing.assert_array_equal(rows[:, kept], again[:, kept])


@given(batches, seeds)
def test_rows_of_a_whole_are_the_rows_of_its_parts(sizes, seed):
    preds, target = random_batch(sizes, seed)
    names = ["a", "b", "c"]
    rng = np.random.default_rng(seed)
    for side in (preds, target):
        for index, boxes in enumerate(side):
            if index % 2:
                labels = [names[i] for i in rng.integers(0, 3, len(boxes))]
                side[index] = {"boxes": boxes, "labels": labels}
    scorer = GroundingScorer()
    rows = scorer.rows(preds, target)
    alone = [scorer.rows([one], [another]) for one, another in zip(preds, target, strict=True)]
    np.testing.assert_array_equal(rows, np.vstack([np.zeros((0, rows.shape[1])), *alone]))


def test_rows_of_a_batch_too_large_to_handle_in_one_go_are_those_of_its_samples():
    """20 x 30 pairs in each of 50 samples, an empty one and a large one among them."""
    preds, target = random_batch([(20, 30)] * 25 + [(0, 0), (40, 50)] + [(20, 30)] * 25, 10)
    scorer = GroundingScorer()
    alone = [scorer.rows([one], [another]) for one, another in zip(preds, target, strict=True)]
    np.testing.assert_array_equal(scorer.rows(preds, target), np.vstack(alone))


@given(batches, seeds)
def test_right_answers_score_one(sizes, seed):
    _, target = random_batch(sizes, seed)
    found = scores(target, target)
    for key, value in found.items():
        if key not in ("tp", "fp", "fn"):
            assert value == 1 or math.isnan(value), key


@given(batches, seeds)
def test_changing_sides_exchanges_precision_and_recall(sizes, seed):
    preds, target = random_batch(sizes, seed)
    preds = [np.sort(boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 4) for boxes in preds]
    one, back = scores(preds, target), scores(target, preds)
    assert (one["tp"], one["fp"], one["fn"]) == (back["tp"], back["fn"], back["fp"])
    assert one["f1"] == back["f1"] or math.isnan(one["f1"])
    assert one["iou"] == pytest.approx(back["iou"], abs=1e-12, nan_ok=True)


@given(batches, seeds, st.integers(-5, 10))
def test_the_unit_does_not_matter(sizes, seed, power):
    preds, target = random_batch(sizes, seed)
    scorer = GroundingScorer()
    scaled = [[boxes * 2.0**power for boxes in side] for side in (preds, target)]
    np.testing.assert_array_equal(scorer.rows(preds, target), scorer.rows(*scaled))


def test_scores_of_many_sums_at_once_are_the_scores_of_each():
    preds, target = random_batch([(3, 2), (0, 1), (2, 0), (0, 0), (4, 4)], 7)
    scorer = GroundingScorer()
    rows = scorer.rows(preds, target)
    sums = np.random.default_rng(8).integers(0, 3, (2, 6, 5)) @ rows
    found = scorer.from_sums(sums)
    for where in np.ndindex(2, 6):
        for key, value in scorer.from_sums(sums[where]).items():
            assert found[key].shape == (2, 6)
            np.testing.assert_array_equal(found[key][where], value)


def test_a_sample_s_own_scores():
    preds, target = [[box], [], []], [[box], [box], []]
    scorer = GroundingScorer()
    table = Table(scorer.columns, ("a", "b", "c"), scorer.rows(preds, target))
    np.testing.assert_array_equal(scorer.sample_scores(table)["f1"], [1, 0, NAN])
    np.testing.assert_array_equal(scorer.sample_scores(table)["macro_f1"], [1, 0, 1])


# ------------------------------------------------------------------------------- options and errors


def test_the_signature_holds_every_option():
    scorer = GroundingScorer(0.75, "xywh", "masked")
    assert str(scorer.signature()) == (
        f"grounding|iou_threshold:0.75|box_coordinates:xywh|assignment:masked|version:{__version__}"
    )
    assert {field.name for field in dataclasses.fields(scorer)} <= dict(scorer.options()).keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iou_threshold": 1.5}, "Expected `iou_threshold` to be in (0, 1], but got 1.5"),
        ({"iou_threshold": 0}, "Expected `iou_threshold` to be in (0, 1], but got 0"),
        (
            {"box_coordinates": "yxyx"},
            "Expected `box_coordinates` to be one of xyxy, xywh, cxcywh, but got 'yxyx'",
        ),
        (
            {"assignment": "greedy"},
            "Expected `assignment` to be one of optimal, masked, but got 'greedy'",
        ),
    ],
)
def test_an_option_that_cannot_work_is_refused(options, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        GroundingScorer(**options)


@pytest.mark.parametrize(
    ("preds", "target", "error", "message", "index"),
    [
        ([[box]], [], InputError, "the same length, but got 1 and 0", None),
        ({"boxes": [box]}, [[box]], InputTypeError, "but got dict", None),
        ([[box], None], [[box], [box]], InputTypeError, "but got None", 1),
        ([[box], box], [[box], [box]], InputError, "but got shape (4,)", 1),
        ([[box], [box]], [[box], None], InputTypeError, "but got None", 1),
        (
            [[box], {"boxes": [box], "labels": ["a"]}],
            [[box], [box]],
            InputError,
            "Expected labels with both predictions and targets or with neither, "
            "but got them with predictions only",
            1,
        ),
        (
            [[box], [box]],
            [[box], {"boxes": [box], "labels": ["a"]}],
            InputError,
            "but got them with targets only",
            1,
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_with_its_sample(preds, target, error, message, index):
    with pytest.raises(error, match=re.escape(message)) as caught:
        GroundingScorer().rows(preds, target)
    assert caught.value.index == index
