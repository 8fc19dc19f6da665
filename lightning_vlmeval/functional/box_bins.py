"""Where each box of a sample goes: right, wrong in one way or another, or missed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lightning_vlmeval.functional.boxes import BoxBatch, box_columns, iou_of_columns
from lightning_vlmeval.functional.matching import Assignment, match_boxes
from lightning_vlmeval.table import Floats

BINS = (
    "correct",
    "loose",
    "too_big",
    "too_small",
    "offset",
    "duplicate",
    "wrong_phrase",
    "hallucinated",
    "missed",
    "unparsable",
)
"""Where boxes go; every prediction and every valid target is in one."""

# A box that overlaps a target by less is not about it (TIDE's threshold of the background).
_NEAR = 0.1

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SampleBins:
    """The bin of each box of a sample.

    Args:
        preds: One of `BINS` for each prediction.
        target: One for each target; "" for a target box that is not valid, which does not count.
        partners: For each prediction the position of the target that it was paired with: found,
            nearly found, or found under another phrase; None without one.
        log_sizes: The logarithm of predicted over annotated area, of each correct pair.
    """

    preds: tuple[str, ...]
    target: tuple[str, ...]
    partners: tuple[int | None, ...]
    log_sizes: tuple[float, ...]


def sorted_boxes(
    batch: BoxBatch, iou_threshold: float, assignment: Assignment
) -> Iterator[SampleBins]:
    """The bin of every box, sample by sample; `ErrorBudgetScorer` says what the bins are.

    Args:
        batch: The boxes.
        iou_threshold: The least IoU of a match.
        assignment: How the true positives are chosen.
    """
    columns, valid = box_columns(batch.boxes)
    first, second = 0, int(batch.n_pred.sum())
    for i, (n, m) in enumerate(zip(batch.n_pred.tolist(), batch.n_target.tolist(), strict=True)):
        preds, target = slice(first, first + n), slice(second, second + m)
        scene = _Scene(
            columns[:, preds],
            columns[:, target],
            (valid[preds], valid[target]),
            _same_label(batch, i),
            iou_threshold,
        )
        yield scene.sorted_into_bins(assignment, unparsable=bool(batch.unparsable[i]))
        first, second = preds.stop, target.stop


def _same_label(batch: BoxBatch, i: int) -> Mask:
    """Which predictions and targets of a sample have one label."""
    names, others = batch.pred_labels[i], batch.target_labels[i]
    same = np.ones((batch.n_pred[i], batch.n_target[i]), dtype=bool)
    if names is not None and others is not None and same.size:
        same = np.array([[one == other for other in others] for one in names])
    return same


class _Scene:
    """The boxes of one sample as they are paired.

    Args:
        preds: The predictions as `box_columns`.
        target: The targets likewise.
        valid: Which of them are boxes.
        same: Which predictions and targets have one label.
        threshold: The least IoU of a match.
    """

    def __init__(
        self, preds: Floats, target: Floats, valid: tuple[Mask, Mask], same: Mask, threshold: float
    ) -> None:
        self._preds, self._target, self._same = preds, target, same
        self._valid_preds, self._valid = valid
        self._threshold, self._near = threshold, min(_NEAR, threshold)
        self._iou = iou_of_columns(preds[:, :, None], target[:, None, :])
        self._pred_bins = [""] * preds.shape[1]
        self._target_bins = [""] * target.shape[1]
        self._partners: list[int | None] = [None] * preds.shape[1]
        self._log_sizes: list[float] = []

    def sorted_into_bins(self, assignment: Assignment, *, unparsable: bool) -> SampleBins:
        """Pair the boxes in the order of the bins, and say what is left."""
        self._match(assignment)
        if self._free_preds():
            self._pair_free(~self._same & (self._iou >= self._threshold), "wrong_phrase")
            self._pair_free(self._same & (self._iou >= self._near), None)
            self._name_free_preds()
        for j in self._free_targets():
            self._target_bins[j] = "unparsable" if unparsable else "missed"
        return SampleBins(
            tuple(self._pred_bins),
            tuple(self._target_bins),
            tuple(self._partners),
            tuple(self._log_sizes),
        )

    def _match(self, assignment: Assignment) -> None:
        """The true positives, label by label."""
        done = ~self._valid
        while self._pred_bins and not done.all():
            first = int(np.argmin(done))
            rows = self._same[:, first].nonzero()[0]
            # The targets of one label are those for which the same predictions are.
            alike = (self._same == self._same[:, [first]]).all(axis=0)
            columns = (self._valid & alike).nonzero()[0]
            done[columns] = True
            if len(rows):
                iou = self._iou[rows[:, None], columns]
                for i, j in zip(*match_boxes(iou, self._threshold, assignment), strict=True):
                    self._pair(int(rows[i]), int(columns[j]), "correct")

    def _pair_free(self, wanted: Mask, name: str | None) -> None:
        """Pair free boxes one to one among the pairs wanted; without a name their shapes tell it."""
        preds, target = np.array(self._free_preds()), np.array(self._free_targets())
        if not (len(preds) and len(target)):
            return
        free = preds[:, None], target
        weights = np.where(wanted[free], self._iou[free], 0.0)
        for row, column in zip(*linear_sum_assignment(weights, True), strict=True):
            if weights[row, column] > 0:
                i, j = int(preds[row]), int(target[column])
                self._pair(i, j, self._shape(i, j) if name is None else name)

    def _pair(self, i: int, j: int, name: str) -> None:
        self._pred_bins[i] = self._target_bins[j] = name
        self._partners[i] = j
        if name == "correct":
            self._log_sizes.append(math.log(self._preds[4, i]) - math.log(self._target[4, j]))

    def _shape(self, i: int, j: int) -> str:
        """How a box that nearly matches differs from its target."""
        left, top, right, bottom, area = self._preds[:, i].tolist()
        other_left, other_top, other_right, other_bottom, wanted = self._target[:, j].tolist()
        width, height = other_right - other_left, other_bottom - other_top
        moved = min(right - left, width) * min(bottom - top, height)
        if moved >= self._threshold * (area + wanted - moved):
            return "offset"
        iou = float(self._iou[i, j])
        shared = (area + wanted) * iou / (1 + iou)
        if shared >= self._threshold * min(area, wanted) and area != wanted:
            return "too_big" if area > wanted else "too_small"
        return "loose"

    def _name_free_preds(self) -> None:
        """The bins of the predictions without a pair."""
        own = np.where(self._same, self._iou, 0.0).max(axis=1, initial=0.0)
        other = np.where(self._same, 0.0, self._iou).max(axis=1, initial=0.0)
        for i in self._free_preds():
            if not self._valid_preds[i]:
                name = "unparsable"
            elif own[i] < self._threshold <= other[i]:
                name = "wrong_phrase"
            else:
                name = "duplicate" if own[i] >= self._near else "hallucinated"
            self._pred_bins[i] = name

    def _free_preds(self) -> list[int]:
        return [i for i, found in enumerate(self._pred_bins) if not found]

    def _free_targets(self) -> list[int]:
        return [j for j, found in enumerate(self._target_bins) if not found and self._valid[j]]
