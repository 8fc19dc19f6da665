"""Phrase grounding: how many boxes are found, how many are false, and how tight they are."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lightning_vlmeval import __version__
from lightning_vlmeval.functional.boxes import (
    BoxBatch,
    BoxCoordinates,
    box_columns,
    check_box_coordinates,
)
from lightning_vlmeval.functional.matching import (
    LARGE,
    Assignment,
    GroupedOverlaps,
    Indices,
    check_matching,
)
from lightning_vlmeval.functional.scorer import Scorer, Scores, check_lengths, ratio
from lightning_vlmeval.table import Floats

# COCO's ten.
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)

# How many pairs are handled in one go. For larger arrays than these, memory would be asked for and
# cleared anew at every step, which costs more than the arithmetic.
_PAIRS = 12000

_COUNTS = frozenset({"tp", "fp", "fn"})
_MATCHED_AT = tuple(f"n_matched_{threshold * 100:.0f}" for threshold in THRESHOLDS)
# What is counted of targets. A single one is the only target of its phrase.
_TARGET_COUNTS = (
    "n_target",
    "n_matched",
    *_MATCHED_AT,
    "n_single",
    "n_single_50",
    "n_single_center",
)
_COLUMNS = (
    "n_samples",
    "n_pred",
    *_TARGET_COUNTS,
    "sum_iou_matched",
    "sum_iou",
    "n_negative",
    "n_rejected",
    "sum_f1",
    "n_invalid_pred",
    "n_invalid_target",
    "n_unparsable",
)
_KEYS = (
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
)


@dataclass(frozen=True)
class GroundingScorer(Scorer):
    """Scores of predicted boxes against annotated boxes, one row of counts and sums a sample.

    The predictions and targets of a phrase (a label of a sample, or the whole sample where there are
    no labels) are assigned one to one so that the total IoU is greatest. A pair whose IoU is at
    least the threshold, as in COCO and RefCOCO, is a true positive (TP); any other prediction is a
    false positive (FP), any other target a false negative (FN). All scores are ratios of sums over
    all samples, in [0, 1] but for the counts:

    - `precision` TP / (TP + FP); `recall` TP / (TP + FN); `f1` 2 TP / (2 TP + FP + FN).
    - `iou`: mean IoU of the true positives: how tight the boxes are, in [threshold, 1].
    - `mean_iou`: mean over all targets of the IoU of the pair assigned, whatever the threshold, 0
      for a target without one: how good the boxes are overall.
    - `tp`, `fp`, `fn`: the counts.
    - `f1_50_95`: mean of `f1` at the thresholds 0.50, 0.55, ..., 0.95.
    - `acc_50`: of the phrases with exactly one target, the share whose first predicted box has IoU
      0.5 or more (the accuracy of referring expressions, RefCOCO's).
    - `center_accuracy`: of the same phrases, the share whose first predicted box has its centre
      inside the target or on its edge (lmms-eval's `Center_ACC`).
    - `rejection_accuracy`: of the samples without targets, the share without predictions.
    - `macro_f1`: mean over samples of each sample's own `f1`, 1 where it has neither side.

    | input | what it counts as |
    |---|---|
    | no samples at all | every score NaN, counts 0 |
    | targets, no prediction | precision, recall, f1, mean_iou, macro_f1 0; iou NaN |
    | predictions, no target | precision, f1, macro_f1, rejection_accuracy 0; recall, mean_iou NaN |
    | neither predictions nor targets | macro_f1, rejection_accuracy 1; other scores NaN |
    | no true positive | iou NaN |
    | no phrase with exactly one target | acc_50, center_accuracy NaN |
    | a phrase with one target and no prediction | acc_50, center_accuracy 0 |
    | a predicted box that is degenerate, inverted or not finite | a false positive of IoU 0 |
    | a target box that is degenerate, inverted or not finite | dropped, and counted in `n_invalid_target` |
    | an IoU equal to the threshold | a match |
    | two equal predictions of one target | one true positive, one false positive |
    | a label that only one side has | false positives, or false negatives |
    | labels on one side, no boxes on the other | misses or false positives |
    | an answer marked unparsable | its boxes, normally none; never a right rejection |

    Args:
        iou_threshold: The least IoU of a match, in (0, 1].
        box_coordinates: What the four numbers of a box are: "xyxy", "xywh" or "cxcywh".
        assignment: "optimal" as above; "masked" lets only pairs that reach a threshold compete for
            it, so that there are as many matches as can be (`match_boxes`). `mean_iou`, which has no
            threshold, is the same with both.

    Raises:
        ConfigurationError: An option cannot work.

    Example:
        Areas 100 and 120 that share 80 have IoU 80 / 140, a match at 0.5; the second box is false.

        >>> scorer = GroundingScorer()
        >>> rows = scorer.rows([[[0, 0, 10, 10], [50, 50, 60, 60]]], [[[2, 0, 14, 10]]])
        >>> scores = scorer.from_sums(rows.sum(axis=0))
        >>> {key: round(float(scores[key]), 3) for key in ("precision", "recall", "f1", "iou")}
        {'precision': 0.5, 'recall': 1.0, 'f1': 0.667, 'iou': 0.571}
    """

    name: ClassVar[str] = "grounding"
    unbounded: ClassVar[frozenset[str]] = _COUNTS
    counts: ClassVar[frozenset[str]] = _COUNTS

    iou_threshold: float = 0.5
    box_coordinates: BoxCoordinates = "xyxy"
    assignment: Assignment = "optimal"

    def __post_init__(self) -> None:
        check_matching(self.iou_threshold, self.assignment)
        check_box_coordinates(self.box_coordinates)

    @property
    def columns(self) -> tuple[str, ...]:
        """The name of each statistic in a row."""
        return _COLUMNS

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the scores."""
        return _KEYS

    def options(self) -> tuple[tuple[str, str], ...]:
        """The options, and the version of this package, whose definitions these are."""
        return (
            ("iou_threshold", repr(float(self.iou_threshold))),
            ("box_coordinates", self.box_coordinates),
            ("assignment", self.assignment),
            ("version", __version__),
        )

    def rows(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """The statistics of each sample, float64 of shape (n, K).

        Args:
            preds: For each sample its boxes, as an array, tensor or list of shape (N, 4), or a
                mapping of "boxes" and, as wanted, "labels" and "unparsable" (`BoxBatch.read`).
            target: The same of the annotated boxes. Boxes of unlike labels never match.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: Boxes or labels are of a wrong type.
            InputError: Boxes or labels have a wrong shape, or only one side has labels.
        """
        return self.tabulate_collected([self.collect(preds, target)])[0]

    def collect(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> BoxBatch:
        """The boxes of a batch; the arguments are those of `rows`."""
        check_lengths(preds, target)
        return BoxBatch.read(preds, target, self.box_coordinates)

    def tabulate_collected(self, batches: Sequence[BoxBatch]) -> tuple[Floats, None]:
        """The rows of all samples of some batches.

        Args:
            batches: What `collect` gave, at least once.
        """
        parts = BoxBatch.joined(batches).parts(_PAIRS, LARGE)
        scenes = map(_Scenes, parts)
        rows = [one.rows(self.iou_threshold, self.assignment) for one in scenes]
        return np.concatenate(rows), None

    def from_sums(self, sums: Floats) -> Scores:
        """The scores of column sums, vectorised over the leading axes; the class says what they are.

        Args:
            sums: Shape (..., K).
        """
        of = dict(zip(_COLUMNS, np.moveaxis(np.asarray(sums, np.float64), -1, 0), strict=True))
        tp, n_pred, n_target = of["n_matched"], of["n_pred"], of["n_target"]
        n_boxes = n_pred + n_target
        matched_at = sum(of[name] for name in _MATCHED_AT)
        scores = {
            # Without predictions precision is 0, unless there was nothing to predict.
            "precision": ratio(tp, np.where(n_pred > 0, n_pred, n_target)),
            "recall": ratio(tp, n_target),
            "f1": ratio(2 * tp, n_boxes),
            "iou": ratio(of["sum_iou_matched"], tp),
            "mean_iou": ratio(of["sum_iou"], n_target),
            "tp": tp,
            "fp": n_pred - tp,
            "fn": n_target - tp,
            "f1_50_95": ratio(2 * matched_at, len(THRESHOLDS) * n_boxes),
            "acc_50": ratio(of["n_single_50"], of["n_single"]),
            "center_accuracy": ratio(of["n_single_center"], of["n_single"]),
            "rejection_accuracy": ratio(of["n_rejected"], of["n_negative"]),
            "macro_f1": ratio(of["sum_f1"], of["n_samples"]),
        }
        return {key: np.asarray(value) for key, value in scores.items()}


class _Scenes:
    """The boxes of a batch, matched within each sample, or within each of its labels.

    Targets that are not valid are left out. The order of a sample's targets depends on the sample
    alone, so that its sums have the same bits in any batch.
    """

    def __init__(self, batch: BoxBatch) -> None:
        self._batch, self._n = batch, len(batch.n_pred)
        samples = np.arange(self._n)
        columns, self._valid = box_columns(batch.boxes)
        self._pred_sample = pred_group = samples.repeat(batch.n_pred)
        preds = np.arange(len(pred_group))
        kept = self._valid[len(preds) :].nonzero()[0]
        target = kept + len(preds)
        self._sample = target_group = samples.repeat(batch.n_target)[kept]
        n_groups = self._n
        if any(labels is not None for labels in batch.pred_labels + batch.target_labels):
            pred_group, target_group, n_groups = _label_groups(batch, kept)
            preds, order = pred_group.argsort(kind="stable"), target_group.argsort(kind="stable")
            target, self._sample = target[order], self._sample[order]
        self._overlaps = GroupedOverlaps(
            columns,
            preds,
            target,
            np.bincount(pred_group, minlength=n_groups),
            np.bincount(target_group, minlength=n_groups),
        )

    def rows(self, iou_threshold: float, assignment: Assignment) -> Floats:
        """The statistics of each sample, shape (n, K)."""
        batch, n = self._batch, self._n
        iou = self._overlaps.assigned_iou()
        facts, iou_matched = self._facts(iou, iou_threshold, assignment)
        counted = dict(zip(_TARGET_COUNTS, self._count(facts), strict=True))
        n_pred, n_target = batch.n_pred, counted["n_target"]
        negative = n_target == 0
        # An answer that could not be read did not say that there is nothing.
        rejected = negative & (n_pred == 0) & ~batch.unparsable
        valid_preds = self._pred_sample[self._valid[: len(self._pred_sample)]]
        statistics = {
            **counted,
            "n_samples": np.ones(n),
            "n_pred": n_pred,
            "sum_iou_matched": np.bincount(self._sample, iou_matched, n),
            "sum_iou": np.bincount(self._sample, iou, n),
            "n_negative": negative,
            "n_rejected": rejected,
            "sum_f1": 2 * counted["n_matched"] / np.maximum(n_pred + n_target, 1) + rejected,
            "n_invalid_pred": n_pred - np.bincount(valid_preds, minlength=n),
            "n_invalid_target": batch.n_target - n_target,
            "n_unparsable": batch.unparsable,
        }
        rows: Floats = np.array([statistics[name] for name in _COLUMNS], dtype=np.float64).T.copy()
        return rows

    def _facts(
        self, iou: Floats, iou_threshold: float, assignment: Assignment
    ) -> tuple[NDArray[np.bool_], Floats]:
        """What holds of each target, shape (len(_TARGET_COUNTS), M), and its IoU if it is matched."""
        thresholds = np.array([iou_threshold, *THRESHOLDS])
        iou_at = iou[None, :]
        if assignment == "masked":
            iou_at = np.array([self._overlaps.assigned_iou(one) for one in thresholds.tolist()])
        facts = np.zeros((len(_TARGET_COUNTS), len(iou)), dtype=bool)
        facts[0] = True
        facts[1:-3] = iou_at >= thresholds[:, None]
        self._judge_singles(*facts[-3:])
        return facts, iou_at[0] * facts[1]

    def _judge_singles(self, *facts: NDArray[np.bool_]) -> None:
        """Fill in which targets are their group's only one, and if its first prediction is good."""
        overlaps = self._overlaps
        single, hit, center = facts
        groups = (overlaps.n_target == 1).nonzero()[0]
        single[overlaps.first_target[groups]] = True
        groups = groups[overlaps.n_pred[groups] > 0]
        target, pred = overlaps.first_target[groups], overlaps.preds[overlaps.first_pred[groups]]
        hit[target] = overlaps.first_iou(groups) >= 0.5
        left, top, right, bottom, _ = overlaps.columns.take(pred, axis=1)
        edges = overlaps.columns.take(overlaps.target[target], axis=1)
        x, y = (left + right) / 2, (top + bottom) / 2
        inside = (edges[0] <= x) & (x <= edges[2]) & (edges[1] <= y) & (y <= edges[3])
        center[target] = inside & self._valid[pred]

    def _count(self, facts: NDArray[np.bool_]) -> Indices:
        """How many targets of each sample each fact holds of, shape (len(facts), n)."""
        counts = np.bincount(self._sample, minlength=self._n)
        some = counts > 0
        found = np.zeros((len(facts), self._n), dtype=np.intp)
        if some.any():
            starts = (counts.cumsum() - counts)[some]  # targets lie in the order of their samples
            found[:, some] = np.add.reduceat(facts, starts, axis=1, dtype=np.intp)
        return found


def _label_groups(batch: BoxBatch, kept: Indices) -> tuple[Indices, Indices, int]:
    """The group of each prediction and of each kept target, and how many groups there are.

    Groups are numbered as targets bring them up, so that sorted targets stay in samples' order.
    """
    numbers: dict[tuple[int, Hashable], int] = {}
    keys = _label_keys(batch.target_labels, batch.n_target)
    target_groups = [numbers.setdefault(keys[i], len(numbers)) for i in kept.tolist()]
    keys = _label_keys(batch.pred_labels, batch.n_pred)
    pred_groups = [numbers.setdefault(key, len(numbers)) for key in keys]
    return np.array(pred_groups, np.intp), np.array(target_groups, np.intp), len(numbers)


def _label_keys(labels: list[list[Hashable] | None], counts: Indices) -> list[tuple[int, Hashable]]:
    """The sample and the label of each box."""
    return [
        (index, label)
        for index, (names, count) in enumerate(zip(labels, counts.tolist(), strict=True))
        for label in (names if names is not None else [None] * count)
    ]
