"""Boxes as stateful metrics."""

from typing import Any, Literal

from lightning_vlmeval.functional.box_answers import BoxAnswerScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.metrics.table_metric import TableMetric


class GroundingScore(TableMetric):
    """Precision, recall, F1 and IoU of predicted boxes matched one to one with annotated boxes.

    Within each sample, or each label of a sample where there are labels, boxes are assigned so that
    the total IoU is greatest; a pair whose IoU is at least the threshold is a match. `compute`
    returns `precision`, `recall`, `f1`, `iou` (mean over matches), `mean_iou` (over all targets),
    `tp`, `fp`, `fn`, `f1_50_95`, `acc_50`, `center_accuracy`, `rejection_accuracy` and `macro_f1`;
    `GroundingScorer` defines each, and every empty case.

    `update(preds, target)` takes a list with one element a sample: boxes of shape (N, 4), as a
    tensor, an array or a list, or torchmetrics' dict of `boxes` and `labels`.

    Args:
        iou_threshold: The least IoU of a match, in (0, 1].
        box_coordinates: What the four numbers of a box are: "xyxy", "xywh" or "cxcywh".
        assignment: "optimal", or "masked": only pairs that reach the threshold compete.
        **kwargs: torchmetrics' own arguments.

    Example:
        >>> metric = GroundingScore()
        >>> metric.update([[[0, 0, 10, 10], [50, 50, 60, 60]]], [[[2, 0, 14, 10]]], ids=["shelf"])
        >>> scores = metric.compute()
        >>> {key: round(float(scores[key]), 3) for key in ("precision", "recall", "f1", "iou")}
        {'precision': 0.5, 'recall': 1.0, 'f1': 0.667, 'iou': 0.571}
    """

    def __init__(
        self,
        iou_threshold: float = 0.5,
        box_coordinates: Literal["xyxy", "xywh", "cxcywh"] = "xyxy",
        assignment: Literal["optimal", "masked"] = "optimal",
        **kwargs: Any,
    ) -> None:
        super().__init__(GroundingScorer(iou_threshold, box_coordinates, assignment), **kwargs)


class GroundingF1(GroundingScore):
    """2 TP / (2 TP + FP + FN) of boxes: `GroundingScore`'s `f1` alone, as one tensor.

    Example:
        >>> metric = GroundingF1()
        >>> metric.update([[[0, 0, 10, 10]]], [[[0, 0, 10, 10], [50, 50, 60, 60]]])
        >>> round(float(metric.compute()), 3)
        0.667
    """

    view = "f1"


class GroundingIoU(GroundingScore):
    """The mean IoU of matched boxes, how tight they are: `GroundingScore`'s `iou` alone.

    NaN where no box matches.

    Example:
        Areas 100 and 120 that share 80: 80 / 140.

        >>> metric = GroundingIoU()
        >>> metric.update([[[0, 0, 10, 10]]], [[[2, 0, 14, 10]]])
        >>> round(float(metric.compute()), 3)
        0.571
    """

    view = "iou"


class BoxAnswers(TableMetric):
    """The shares of answers that could be read as boxes, said none, were repaired or cut.

    `compute` returns `parse_rate`, `said_none`, `repaired`, `truncated` and `malformed`;
    `BoxAnswerScorer` defines them. `preds` are what `BoxFormat.parse` returned.

    Args:
        **kwargs: torchmetrics' own arguments.

    Example:
        >>> from lightning_vlmeval.parsing import box_format
        >>> parse = box_format("qwen3-vl").parse
        >>> metric = BoxAnswers()
        >>> metric.update([parse("[]", (640, 480)), parse("I see it", (640, 480))], [None, None])
        >>> float(metric.compute()["parse_rate"])
        0.5
    """

    reads = "parsed"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(BoxAnswerScorer(), **kwargs)
