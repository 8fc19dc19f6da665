"""Which prediction answers which target: the one-to-one assignment of greatest total IoU."""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.boxes import iou_of_columns
from lightning_vlmeval.table import Floats

Assignment = Literal["optimal", "masked"]
Indices = NDArray[np.intp]

# From about this many pairs on, one broadcast for the group is faster than gathering its pairs.
LARGE = 1024

# Far above the rounding of the solver, so that it would choose the same pairs.
_MARGIN = 1e-9


def check_matching(iou_threshold: float, assignment: str) -> None:
    """Raise unless these options can work.

    Args:
        iou_threshold: The least IoU of a match.
        assignment: How pairs are chosen.

    Raises:
        ConfigurationError: The threshold is not in (0, 1], or the assignment is another word.
    """
    if not 0 < iou_threshold <= 1:
        raise ConfigurationError(
            f"Expected `iou_threshold` to be in (0, 1], but got {iou_threshold!r}"
        )
    if assignment not in get_args(Assignment):
        raise ConfigurationError(
            f"Expected `assignment` to be one of {', '.join(get_args(Assignment))}, "
            f"but got {assignment!r}"
        )


def match_boxes(
    iou: ArrayLike, iou_threshold: float = 0.5, assignment: Assignment = "optimal"
) -> tuple[Indices, Indices]:
    """The one-to-one matches of predictions and targets whose IoU is at least the threshold.

    "optimal" first chooses the pairs of greatest total IoU (the Hungarian algorithm) and then drops
    those below the threshold. "masked" lets only pairs that reach the threshold compete: it makes as
    many matches as there can be, and among those choices takes the greatest total IoU. They differ
    in crowded scenes only.

    Args:
        iou: The IoU of each prediction with each target, shape (N, M), without NaN.
        iou_threshold: The least IoU of a match, in (0, 1]; an IoU equal to it is a match.
        assignment: "optimal" or "masked".

    Returns:
        The positions of the matched predictions, ascending, and of their targets; both empty where
        nothing matches or one side has no boxes.

    Raises:
        ConfigurationError: An option cannot work.

    Example:
        The greatest total is .474 + .484, and neither reaches .5:

        >>> iou = [[0.474, 0.500], [0.0, 0.484]]
        >>> match_boxes(iou)
        (array([], dtype=int64), array([], dtype=int64))
        >>> match_boxes(iou, assignment="masked")
        (array([0]), array([1]))
    """
    check_matching(iou_threshold, assignment)
    iou = np.asarray(iou, dtype=np.float64)
    preds, target = _assign(iou, iou_threshold if assignment == "masked" else None)
    matched = iou[preds, target] >= iou_threshold
    return preds[matched], target[matched]


def _assign(iou: Floats, threshold: float | None) -> tuple[Indices, Indices]:
    """The pairs of greatest total IoU; with a threshold, most pairs that reach it come first."""
    if threshold is None:
        return linear_sum_assignment(iou, True)
    # One pair more outweighs whatever total IoU the others can gain.
    return linear_sum_assignment(np.where(iou >= threshold, iou + min(iou.shape), 0.0), True)


class GroupedOverlaps:
    """The IoU of each prediction with each target of its group, for many groups at once.

    A group is what is matched together: a sample, or its boxes with one label. The pairs of small
    groups are kept flat, so that numpy handles all of them in one go.

    Args:
        columns: The boxes as `box_columns`, shape (5, B).
        preds: The positions in `columns` of the predictions, group by group, shape (N,).
        target: The positions of the targets, group by group, shape (M,).
        n_pred: How many predictions each group has, shape (G,).
        n_target: How many targets each group has, shape (G,).

    Attributes:
        first_pred: Where each group's predictions begin in `preds`, shape (G,).
        first_target: Where each group's targets begin in `target`, shape (G,).
    """

    def __init__(
        self, columns: Floats, preds: Indices, target: Indices, n_pred: Indices, n_target: Indices
    ) -> None:
        self.columns, self.preds, self.target = columns, preds, target
        self.n_pred, self.n_target = n_pred, n_target
        self.first_pred = n_pred.cumsum() - n_pred
        self.first_target = n_target.cumsum() - n_target
        n_pairs = n_pred * n_target
        self._large = (n_pairs > LARGE) & (n_target > 1)
        n_pairs[self._large] = 0
        self._first_pair = n_pairs.cumsum() - n_pairs
        self._group = np.arange(len(n_pred)).repeat(n_pred)
        # Each prediction has a run of pairs, one with each target of its group, in order.
        run = np.where(self._large, 0, n_target).repeat(n_pred)
        shift = self.first_target.repeat(n_pred) - (run.cumsum() - run)
        self._pred = np.arange(len(preds)).repeat(run)
        self._target = np.arange(len(self._pred)) + shift.repeat(run)
        self._iou = iou_of_columns(
            columns.take(preds.take(self._pred), axis=1),
            columns.take(target.take(self._target), axis=1),
        )

    def first_iou(self, groups: Indices) -> Floats:
        """The IoU of the first prediction with the target, in groups with one target.

        Args:
            groups: Groups with one target and at least one prediction.
        """
        first: Floats = self._iou[self._first_pair[groups]]
        return first

    def assigned_iou(self, threshold: float | None = None) -> Floats:
        """The IoU of each target with the prediction assigned to it, 0 where there is none.

        Args:
            threshold: None for the assignment of greatest total IoU; a number to let only pairs
                that reach it compete, and to make as many of them as there can be.

        Returns:
            Shape (M,).
        """
        result = np.zeros(len(self.target))
        contested = self._settle(result, threshold) | self._large
        for first, iou in self._blocks(contested.nonzero()[0]):
            rows, columns = _assign(iou, threshold)
            result[first + columns] = iou[rows, columns]
        if threshold is not None:
            result[result < threshold] = 0.0
        return result

    def _settle(self, result: Floats, threshold: float | None) -> NDArray[np.bool_]:
        """Fill in the targets whose assignment is plain; return the groups with others left.

        A pair that weighs more than all other pairs of its two boxes together is in every best
        assignment: without it, at most two of those others could be. In ordinary scenes this
        settles most groups, and the solver is needed for the rest only.
        """
        competes = self._iou > 0 if threshold is None else self._iou >= threshold
        pairs = competes.nonzero()[0]
        pred, target, iou = self._pred[pairs], self._target[pairs], self._iou[pairs]
        weight = iou if threshold is None else iou + max(self.n_pred.max(initial=0), 1)
        both = np.bincount(pred, weight)[pred] + np.bincount(target, weight)[target]
        sure = 3 * weight > both + _MARGIN
        result[target[sure]] = iou[sure]
        taken = np.zeros(len(self.preds), dtype=bool)
        taken[pred[sure]] = True
        contested = np.zeros(len(self.n_pred), dtype=bool)
        contested[self._group[pred[~taken[pred] & (result[target] == 0)]]] = True
        return contested

    def _blocks(self, groups: Indices) -> Iterator[tuple[int, Floats]]:
        """The position of the first target, and the IoU of predictions by targets, of each group."""
        extents = (
            self._large,
            self._first_pair,
            self.first_pred,
            self.n_pred,
            self.first_target,
            self.n_target,
        )
        for large, pair, i, n, j, m in zip(
            *(values[groups].tolist() for values in extents), strict=True
        ):
            if large:
                preds = self.columns.take(self.preds[i : i + n], axis=1)
                target = self.columns.take(self.target[j : j + m], axis=1)
                yield j, iou_of_columns(preds[:, :, None], target[:, None, :])
            else:
                yield j, self._iou[pair : pair + n * m].reshape(n, m)
