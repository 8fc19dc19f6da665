"""The error budget of boxes: what is wrong with each, and what F1 would be without that."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lightning_vlmeval import __version__
from lightning_vlmeval.functional.box_bins import BINS, SampleBins, sorted_boxes
from lightning_vlmeval.functional.boxes import BoxBatch, BoxCoordinates, check_box_coordinates
from lightning_vlmeval.functional.matching import Assignment, check_matching
from lightning_vlmeval.functional.scorer import Scorer, Scores, check_lengths, ratio
from lightning_vlmeval.table import Floats

ERRORS = BINS[1:]
"""What can be wrong."""

_PRED_BINS = tuple(name for name in BINS if name != "missed")
_TARGET_BINS = tuple(name for name in BINS if name not in ("duplicate", "hallucinated"))
_COLUMNS = (
    *(f"n_pred_{name}" for name in _PRED_BINS),
    *(f"n_target_{name}" for name in _TARGET_BINS),
    "sum_log_size",
)


@dataclass(frozen=True)
class ErrorBudgetScorer(Scorer):
    """Every predicted and annotated box in one bin, and F1 as it would be if a bin were put right.

    Pairs are made in this order, each of boxes that are still free, of greatest total IoU:

    - ``correct``: the true positives of `GroundingScorer`.
    - ``wrong_phrase``: IoU at least the threshold, but of different labels.
    - IoU from 0.1 up to the threshold, of one label. ``offset``: moved onto the target's centre it
      would match. ``too_big``: it is larger, and holds that much of the target (a share of at least
      the threshold). ``too_small``: it is smaller, and that much of it lies in the target.
      ``loose``: none of these, another shape, or wrong in place and size at once.

    A prediction without a pair is ``unparsable`` (a box that is degenerate, inverted or not finite,
    as one that could not be read is given), a ``duplicate`` (IoU of 0.1 or more with a target of its
    label that has a pair), ``wrong_phrase`` (IoU of at least the threshold with a target of another
    label, and less than that with those of its own), or else ``hallucinated``. A target without a
    pair is ``unparsable`` where its sample's answer is, else ``missed``.

    Keys: ``pred_{bin}`` and ``target_{bin}`` are counts. All predictions sum to TP + FP, all targets
    to TP + FN. ``f1`` is `GroundingScorer`'s; ``f1_{bin}_fixed`` is F1 if the targets of the bin were
    found, by its predictions as far as there are any, and its other predictions were not there.
    ``size_ratio`` is the geometric mean of predicted over annotated area of the correct pairs: above
    1 where boxes are drawn larger than they were annotated; it is unbounded.

    | input | result |
    |---|---|
    | no boxes on either side | counts 0, f1 and all fixed ones NaN |
    | made-up boxes only | f1 0; without them there is nothing: f1_hallucinated_fixed NaN |
    | no correct pair | size_ratio NaN |
    | a target box that is degenerate, inverted or not finite | in no bin |

    The bins follow TIDE (Bolya et al., 2020), with its localisation error told apart by shape.

    Args:
        iou_threshold: The least IoU of a match, in (0, 1].
        box_coordinates: What the four numbers of a box are: "xyxy", "xywh" or "cxcywh".
        assignment: As for `GroundingScorer`.

    Raises:
        ConfigurationError: An option cannot work.

    Example:
        One box is right, one is four times too large, one target is missed. Drawn to size, the
        second would make it 2 of 2 and 2 of 3: F1 4/5.

        >>> preds = [[[0, 0, 10, 10], [20, 20, 40, 40]]]
        >>> target = [[[0, 0, 10, 10], [25, 25, 35, 35], [70, 70, 80, 80]]]
        >>> scorer = ErrorBudgetScorer()
        >>> scores = scorer.from_sums(scorer.rows(preds, target).sum(axis=0))
        >>> [float(scores[key]) for key in ("pred_too_big", "target_missed", "f1")]
        [1.0, 1.0, 0.4]
        >>> float(scores["f1_too_big_fixed"])
        0.8
    """

    name: ClassVar[str] = "error_budget"
    counts: ClassVar[frozenset[str]] = frozenset(
        {f"pred_{name}" for name in _PRED_BINS} | {f"target_{name}" for name in _TARGET_BINS}
    )
    unbounded: ClassVar[frozenset[str]] = counts | {"size_ratio"}

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
        return (
            "f1",
            *(f"f1_{name}_fixed" for name in ERRORS),
            *(f"pred_{name}" for name in _PRED_BINS),
            *(f"target_{name}" for name in _TARGET_BINS),
            "size_ratio",
        )

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
        """The counts of each sample's bins, float64 of shape (n, 18).

        Args:
            preds: For each sample its boxes, as for `GroundingScorer`.
            target: The same of the annotated boxes.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: Boxes or labels are of a wrong type.
            InputError: Boxes or labels have a wrong shape, or only one side has labels.
        """
        rows = [
            (
                *(one.preds.count(name) for name in _PRED_BINS),
                *(one.target.count(name) for name in _TARGET_BINS),
                sum(one.log_sizes),
            )
            for one in self.bins(preds, target)
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(_COLUMNS))

    def bins(self, preds: Sequence[Any], target: Sequence[Any]) -> list[SampleBins]:
        """The bin of every box, one element for each sample.

        Args:
            preds: As for `rows`.
            target: As for `rows`.

        Raises:
            InputTypeError: As for `rows`.
            InputError: As for `rows`.

        Example:
            >>> ErrorBudgetScorer().bins([[[0, 0, 2, 2]]], [[[0, 0, 2, 2], [5, 5, 9, 9]]])[0].target
            ('correct', 'missed')
        """
        check_lengths(preds, target)
        batch = BoxBatch.read(preds, target, self.box_coordinates)
        return list(sorted_boxes(batch, self.iou_threshold, self.assignment))

    def from_sums(self, sums: Floats) -> Scores:
        """The scores of column sums, vectorised over the leading axes; the class says what they are.

        Args:
            sums: Shape (..., 18).
        """
        of = dict(zip(_COLUMNS, np.moveaxis(np.asarray(sums, np.float64), -1, 0), strict=True))
        tp = of["n_pred_correct"]
        boxes = sum(of[name] for name in _COLUMNS[:-1])
        none = np.zeros_like(tp)
        fixed = {}
        for name in ERRORS:
            found = of.get(f"n_target_{name}", none)
            removed = of.get(f"n_pred_{name}", none) - found
            fixed[f"f1_{name}_fixed"] = ratio(2 * (tp + found), boxes - removed)
        return {
            "f1": ratio(2 * tp, boxes),
            **fixed,
            **{name.removeprefix("n_"): of[name] for name in _COLUMNS[:-1]},
            "size_ratio": np.exp(ratio(of["sum_log_size"], tp)),
        }
