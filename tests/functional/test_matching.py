import itertools
import re

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.boxes import box_columns, pairwise_iou
from lightning_vlmeval.functional.matching import GroupedOverlaps, match_boxes


def all_assignments(n, m):
    """Every way to pair as many of n with m as there can be, as lists of pairs."""
    if n > m:
        return [[(i, j) for j, i in pairs] for pairs in all_assignments(m, n)]
    return [list(enumerate(order)) for order in itertools.permutations(range(m), n)]


def random_iou(rng):
    """A small matrix with zeros, and often with ties and values equal to the threshold."""
    shape = rng.integers(0, 5, 2)
    iou = rng.random(shape) if rng.random() < 0.5 else rng.integers(0, 5, shape) / 4
    return iou * (rng.random(shape) < rng.random())


# ------------------------------------------------------------------------------------- one matrix


def test_the_greatest_total_is_chosen_before_the_threshold():
    """.474 + .484 is more than .500 + 0, and neither is a match at .5; masked, .500 is one."""
    iou = [[0.474, 0.500], [0.0, 0.484]]
    assert [pairs.tolist() for pairs in match_boxes(iou)] == [[], []]
    assert [pairs.tolist() for pairs in match_boxes(iou, assignment="masked")] == [[0], [1]]
    assert [pairs.tolist() for pairs in match_boxes(iou, 0.47)] == [[0, 1], [0, 1]]


def test_most_matches_come_before_the_greatest_total():
    """Optimal takes 1.0 alone; masked at .25 takes .3 + .3, which is less but twice a match."""
    iou = [[1.0, 0.3], [0.3, 0.0]]
    assert [pairs.tolist() for pairs in match_boxes(iou, 0.25)] == [[0], [0]]
    assert [pairs.tolist() for pairs in match_boxes(iou, 0.25, "masked")] == [[0, 1], [1, 0]]


def test_an_iou_equal_to_the_threshold_matches():
    assert match_boxes([[0.5]], 0.5)[0].tolist() == [0]
    assert match_boxes([[0.5]], np.nextafter(0.5, 1))[0].tolist() == []


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("assignment", ["optimal", "masked"])
def test_an_empty_side_matches_nothing(shape, assignment):
    assert [len(pairs) for pairs in match_boxes(np.zeros(shape), 0.5, assignment)] == [0, 0]


def test_optimal_reaches_the_best_total_of_all_assignments():
    rng = np.random.default_rng(1)
    for _ in range(300):
        iou = random_iou(rng)
        best = max(sum((iou[pair] for pair in pairs), 0.0) for pairs in all_assignments(*iou.shape))
        assert iou[match_boxes(iou, 1e-9)].sum() == pytest.approx(best, abs=1e-12)


def test_masked_reaches_the_most_matches_and_then_the_best_total_of_all_assignments():
    rng = np.random.default_rng(2)
    for _ in range(300):
        iou, threshold = random_iou(rng), rng.choice([0.25, 0.5, 0.6, 1.0])
        best = max(
            (len(found), sum(found))
            for pairs in all_assignments(*iou.shape)
            for found in [[iou[pair] for pair in pairs if iou[pair] >= threshold]]
        )
        found = iou[match_boxes(iou, threshold, "masked")]
        assert (len(found), found.sum()) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold):
    message = f"Expected `iou_threshold` to be in (0, 1], but got {threshold!r}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        match_boxes([[0.5]], threshold)


def test_an_unknown_assignment_is_refused():
    message = "Expected `assignment` to be one of optimal, masked, but got 'greedy'"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        match_boxes([[0.5]], 0.5, "greedy")


# -------------------------------------------------------------------------------- groups together


def random_boxes(rng, n, grid):
    """Boxes of which many overlap; on a grid of whole numbers many of the IoUs are equal."""
    low = rng.integers(0, 8, (n, 2)) if grid else rng.random((n, 2)) * 8
    size = rng.integers(1, 5, (n, 2)) if grid else 0.5 + rng.random((n, 2)) * 4
    return np.hstack([low, low + size]).astype(float)


@pytest.mark.parametrize("grid", [False, True], ids=["real", "whole numbers with ties"])
def test_groups_together_equal_the_solver_on_each_group_to_the_bit(grid):
    """400 batches of groups of all sizes; in small ones without rivals the solver is not called."""
    rng = np.random.default_rng(3)
    for batch in range(400):
        sizes = rng.integers(0, 7, (rng.integers(0, 6), 2))
        if batch % 20 == 0:
            sizes = np.vstack([sizes, [[40, 30], [1100, 1], [1, 1100], [3, 4]]])
        n_pred, n_target = sizes.T
        preds = [random_boxes(rng, n, grid) for n in n_pred]
        target = [random_boxes(rng, n, grid) for n in n_target]
        expected = []
        for one, other in zip(preds, target, strict=True):
            iou = pairwise_iou(one, other)
            assigned = np.zeros(len(other))
            rows, columns = linear_sum_assignment(iou, maximize=True)
            assigned[columns] = iou[rows, columns]
            expected += assigned.tolist()
        boxes = np.concatenate([np.zeros((0, 4)), *preds, *target])
        first = n_pred.sum()
        overlaps = GroupedOverlaps(
            box_columns(boxes)[0],
            np.arange(first),
            np.arange(first, len(boxes)),
            n_pred,
            n_target,
        )
        assert overlaps.assigned_iou().tolist() == expected


@pytest.mark.parametrize("grid", [False, True], ids=["real", "whole numbers with ties"])
def test_groups_together_are_masked_as_each_group_alone(grid):
    rng = np.random.default_rng(4)
    for batch in range(200):
        n, m = (40, 30) if batch % 20 == 0 else rng.integers(0, 7, 2)
        preds, target = random_boxes(rng, n, grid), random_boxes(rng, m, grid)
        overlaps = GroupedOverlaps(
            box_columns(np.concatenate([preds, target]))[0],
            np.arange(n),
            np.arange(n, n + m),
            np.array([0, n]),
            np.array([0, m]),
        )
        for threshold in (0.1, 0.5, 0.75):
            iou = pairwise_iou(preds, target)
            alone = iou[match_boxes(iou, threshold, "masked")]
            together = overlaps.assigned_iou(threshold)
            assert (together > 0).sum() == len(alone)
            assert together[together > 0].min(initial=1) >= threshold
            assert together.sum() == pytest.approx(alone.sum(), abs=1e-12)
