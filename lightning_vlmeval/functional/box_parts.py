"""Samples of boxes taken apart, by phrase or by size, so that each part can be scored on its own."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lightning_vlmeval.errors import InputError
from lightning_vlmeval.functional.box_bins import sorted_boxes
from lightning_vlmeval.functional.boxes import BoxBatch, BoxCoordinates
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.matching import Assignment
from lightning_vlmeval.functional.scorer import check_lengths
from lightning_vlmeval.table import Floats, Table

COCO_AREAS = (32.0**2, 96.0**2)
"""Below the first a box is small, from the second on large, in pixels of the original image."""

_COCO_IMAGE = 640 * 480
_SIZES = ("small", "medium", "large")


@dataclass(frozen=True)
class BoxParts:
    """Parts of samples; each box is in one of them.

    Args:
        labels: What each part is: its phrase, or its size.
        samples: The id of the sample that each part is of.
        groups: What correlated parts share: the sample's group, or the sample itself.
        preds: The predictions of each part, as left, top, right and bottom edges.
        target: Its targets, likewise.
    """

    labels: tuple[str, ...]
    samples: tuple[str, ...]
    groups: tuple[str, ...]
    preds: tuple[dict[str, Any], ...]
    target: tuple[dict[str, Any], ...]

    def table(self, scorer: GroundingScorer | ErrorBudgetScorer) -> Table:
        """The parts as samples of their own; the parts of one sample are one cluster.

        The counts of a sample's parts sum to its own.

        Args:
            scorer: What makes the rows.
        """
        of_edges = replace(scorer, box_coordinates="xyxy")
        ids = tuple(f"{i}:{sample}" for i, sample in enumerate(self.samples))
        rows = of_edges.rows(self.preds, self.target)
        return Table(scorer.columns, ids, rows, self.groups)


def parts_by_phrase(
    ids: Sequence[str],
    preds: Sequence[Any],
    target: Sequence[Any],
    *,
    groups: Sequence[str] | None = None,
    box_coordinates: BoxCoordinates = "xyxy",
) -> BoxParts:
    """One part for each phrase (label) of each sample; "" is that of boxes without labels.

    Args:
        ids: The id of each sample.
        preds: Its predictions, as for `GroundingScorer`.
        target: Its targets.
        groups: What correlated samples share.
        box_coordinates: What the four numbers of a box are.

    Raises:
        InputError: As `GroundingScorer.rows`.

    Example:
        >>> boxes = [[0, 0, 9, 9], [20, 0, 29, 9]]
        >>> target = [{"boxes": boxes, "labels": ["cat", "dog"]}]
        >>> preds = [{"boxes": boxes[:1], "labels": ["cat"]}]
        >>> parts = parts_by_phrase(["a"], preds, target)
        >>> scorer = GroundingScorer()
        >>> dict(zip(parts.labels, scorer.sample_scores(parts.table(scorer))["recall"].tolist()))
        {'cat': 1.0, 'dog': 0.0}
    """
    batch = _read(ids, preds, target, groups, box_coordinates)
    classes = [
        (
            _named(batch.pred_labels[i], int(batch.n_pred[i])),
            _named(batch.target_labels[i], int(batch.n_target[i])),
        )
        for i in range(len(ids))
    ]
    return _split(ids, groups, batch, classes)


def parts_by_size(
    ids: Sequence[str],
    preds: Sequence[Any],
    target: Sequence[Any],
    *,
    image_sizes: Sequence[tuple[float, float]] | None = None,
    bounds: tuple[float, float] | None = None,
    groups: Sequence[str] | None = None,
    iou_threshold: float = 0.5,
    box_coordinates: BoxCoordinates = "xyxy",
    assignment: Assignment = "optimal",
) -> BoxParts:
    """One part for each size of boxes of each sample: "small", "medium" or "large".

    A target is of its own size. A prediction is of its target's, where it has one (`SampleBins`), and
    of its own where it has none.

    Args:
        ids: The id of each sample.
        preds: Its predictions, as for `GroundingScorer`.
        target: Its targets.
        image_sizes: Width and height of each image; then areas are shares of the image's.
        bounds: The areas at which medium and large begin; None for COCO's, in pixels, or for what
            they are of an image of 640 x 480.
        groups: What correlated samples share.
        iou_threshold: The least IoU of a match.
        box_coordinates: What the four numbers of a box are.
        assignment: As for `GroundingScorer`.

    Raises:
        InputError: As `GroundingScorer.rows`, or there is not one size for each image.

    Example:
        >>> parts = parts_by_size(["a"], [[[0, 0, 50, 50]]], [[[0, 0, 50, 50], [5, 5, 9, 9]]])
        >>> parts.labels
        ('small', 'medium')
    """
    batch = _read(ids, preds, target, groups, box_coordinates)
    if image_sizes is not None and len(image_sizes) != len(ids):
        raise InputError(f"Expected {len(ids)} `image_sizes`, but got {len(image_sizes)}")
    unit = _COCO_IMAGE if image_sizes is not None else 1.0
    edges = bounds or (COCO_AREAS[0] / unit, COCO_AREAS[1] / unit)
    areas = [1.0] * len(ids) if image_sizes is None else [w * h for w, h in image_sizes]
    n_preds = int(batch.n_pred.sum())
    pred_at, target_at = batch.n_pred.cumsum()[:-1], batch.n_target.cumsum()[:-1]
    of_preds = np.split(batch.boxes[:n_preds], pred_at)
    of_target = np.split(batch.boxes[n_preds:], target_at)
    classes = []
    for i, bins in enumerate(sorted_boxes(batch, iou_threshold, assignment)):
        wanted = _sizes(of_target[i], areas[i], edges)
        own = _sizes(of_preds[i], areas[i], edges)
        paired = [
            size if j is None else wanted[j] for size, j in zip(own, bins.partners, strict=True)
        ]
        classes.append((paired, wanted))
    return _split(ids, groups, batch, classes, _SIZES)


def count_label(target: Any) -> str:
    """The number of a sample's targets as a label: "0", "1", "2", "3 to 5" or "6 or more".

    Args:
        target: The sample's targets, as for `GroundingScorer`.

    Example:
        >>> count_label([[0, 0, 9, 9]]), count_label({"boxes": [[0, 0, 9, 9]] * 4})
        ('1', '3 to 5')
    """
    count = int(BoxBatch.read([[]], [target]).n_target[0])
    if count <= 2:
        return str(count)
    return "3 to 5" if count <= 5 else "6 or more"


def _read(
    ids: Sequence[str],
    preds: Sequence[Any],
    target: Sequence[Any],
    groups: Sequence[str] | None,
    box_coordinates: BoxCoordinates,
) -> BoxBatch:
    check_lengths(preds, target)
    for name, values in (("ids", ids), ("groups", ids if groups is None else groups)):
        if len(values) != len(preds):
            raise InputError(f"Expected {len(preds)} `{name}`, but got {len(values)}")
    return BoxBatch.read(preds, target, box_coordinates)


def _named(labels: list[Hashable] | None, count: int) -> list[str]:
    return [""] * count if labels is None else [str(label) for label in labels]


def _sizes(boxes: Floats, image: float, bounds: tuple[float, float]) -> list[str]:
    """The size of each box; one without an area is small."""
    with np.errstate(invalid="ignore", over="ignore"):
        area = np.nan_to_num((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) / image)
    return [_SIZES[i] for i in np.searchsorted(bounds, area, side="right")]


def _split(
    ids: Sequence[str],
    groups: Sequence[str] | None,
    batch: BoxBatch,
    classes: Sequence[tuple[Sequence[str], Sequence[str]]],
    order: Iterable[str] = (),
) -> BoxParts:
    """The parts, each of one class of one sample."""
    found: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = []
    first, second = 0, int(batch.n_pred.sum())
    for i, (of_preds, of_target) in enumerate(classes):
        for label in dict.fromkeys([*order, *of_target, *of_preds]):
            mine = [j for j, name in enumerate(of_preds) if name == label]
            wanted = [j for j, name in enumerate(of_target) if name == label]
            if not (mine or wanted):
                continue
            preds = _part(batch.boxes[first:], batch.pred_labels[i], mine)
            preds["unparsable"] = bool(batch.unparsable[i])
            target = _part(batch.boxes[second:], batch.target_labels[i], wanted)
            group = (groups[i] if groups is not None else "") or str(ids[i])
            found.append((label, str(ids[i]), group, preds, target))
        first, second = first + len(of_preds), second + len(of_target)
    columns = list(zip(*found, strict=True)) if found else [()] * 5
    return BoxParts(*columns)


def _part(boxes: Floats, labels: list[Hashable] | None, chosen: list[int]) -> dict[str, Any]:
    """These boxes, with their labels where there are any."""
    part: dict[str, Any] = {"boxes": boxes[chosen].reshape(-1, 4)}
    if labels is not None:
        part["labels"] = [labels[j] for j in chosen]
    return part
