"""A test of how the numbers of predicted boxes should have been read: scale, order, padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.functional.boxes import box_columns
from lightning_vlmeval.functional.matching import GroupedOverlaps
from lightning_vlmeval.functional.scorer import check_lengths
from lightning_vlmeval.parsing.frames import Frame, Order
from lightning_vlmeval.table import Floats

# An IoU from which on boxes are where they should be, and their coordinates are not in question.
_GOOD = 0.5
# How much another reading must gain, on average and in what share of the pairs.
_GAIN, _SHARE = 0.2, 2 / 3
# Samples that are looked at, evenly spread: more would not change what clearly wins.
_MAX_SAMPLES = 500

_SCALES: dict[str, Frame] = {
    "0-1": Frame(1, decimals=4),
    "0-1000": Frame(1000),
    "0-1024": Frame(1024),
    "pixels of the original image": Frame("original"),
    "pixels of the resized image": Frame("pixels"),
}
_ORDERS: dict[Order, str] = {
    "xyxy": "",
    "yxyx": " in the order y, x, y, x",
    "xywh": " as corner and size (xywh)",
}


@dataclass(frozen=True)
class CoordinateFinding:
    """Another reading of the numbers fits the truth far better than the one in use.

    Args:
        iou: The mean IoU of the assigned pairs as the numbers are read now.
        reading: How they should have been read.
        frame: The same, for a `BoxFormat`.
        iou_if: The mean IoU that this reading gives.
        num_pairs: How many pairs of a prediction and a target were compared.

    Example:
        >>> print(CoordinateFinding(0.12, "0-1000", Frame(1000), 0.81, 40))
        IoU 0.12, would be 0.81 if read as 0-1000
    """

    iou: float
    reading: str
    frame: Frame
    iou_if: float
    num_pairs: int

    def __str__(self) -> str:
        return f"IoU {self.iou:.2f}, would be {self.iou_if:.2f} if read as {self.reading}"


def coordinate_doctor(
    preds: Sequence[Any],
    target: Sequence[Any],
    sizes: ArrayLike,
    fed_sizes: ArrayLike | None = None,
    *,
    frame: Frame | None = None,
    min_pairs: int = 5,
) -> CoordinateFinding | None:
    """The reading of the predicted numbers that clearly fits the truth better, or None.

    Tested are the scales 0-1, 0-1000, 0-1024, pixels of the original and of the resized image; each
    as corners, as corners with y first, and as corner and size; and the relative scales also of the
    image padded to a square. For each reading, predictions and targets of a sample are assigned one
    to one for the greatest total IoU. Nothing is rescaled: this is evidence for a person to act on.

        predictions                                                   result
        the mean IoU of the pairs is at least 0.5                     None
        no reading gains 0.2 on average and in two thirds of pairs    None
        fewer than `min_pairs` pairs, none at all among them          None
        numbers that are not finite; boxes without an area            IoU 0 in every reading
        boxes inverted or beyond the image                            sorted and clipped, as in parsing

    Args:
        preds: For each sample the numbers of its boxes as the answer has them, shape (N, 4), such as
            `Parsed.numbers`.
        target: For each sample its boxes, (M, 4) corners in pixels of the original image.
        sizes: Width and height of each original image, shape (n, 2).
        fed_sizes: Width and height of each image that the model was fed, shape (n, 2); without them
            pixels of the resized image are not tested.
        frame: How the numbers are read now; None for pixels of the original image.
        min_pairs: The fewest pairs from which a conclusion is drawn.

    Returns:
        The best reading, or None where there is nothing to say.

    Raises:
        InputError: Lengths or shapes do not fit, or a size is not positive.
        ConfigurationError: `frame` needs `fed_sizes`.

    Example:
        >>> preds, target = [[[100, 250, 300, 750]]] * 5, [[[64, 120, 192, 360]]] * 5
        >>> print(coordinate_doctor(preds, target, sizes=[(640, 480)] * 5))
        IoU 0.15, would be 1.00 if read as 0-1000
    """
    check_lengths(preds, target)
    now = frame or Frame("original")
    if now.needs_fed_size and fed_sizes is None:
        raise ConfigurationError(
            "Expected `fed_sizes` with a frame in pixels of the resized image, but got None"
        )
    pairs = _Pairs(preds, target, sizes, fed_sizes)
    if pairs.num < max(min_pairs, 1):
        return None
    current = pairs.overlaps(now)
    iou = float(current.sum()) / pairs.num
    best: CoordinateFinding | None = None
    for name, reading in _readings(fed_sizes is not None) if iou < _GOOD else ():
        gain = pairs.overlaps(reading) - current
        mean, share = gain.sum() / pairs.num, (gain > 0).sum() / pairs.num
        if mean >= _GAIN and share >= _SHARE and (best is None or iou + mean > best.iou_if):
            best = CoordinateFinding(iou, name, reading, float(iou + mean), pairs.num)
    return best


def read_numbers(
    numbers: Floats, frame: Frame, sizes: Floats, fed_sizes: Floats | None = None
) -> Floats:
    """Corners in pixels of the original images, sorted and clipped to them: `Frame.decode` in bulk.

    Args:
        numbers: Four numbers a box in the frame's order, shape (N, 4).
        frame: What the numbers mean.
        sizes: Width and height of each box's original image, shape (N, 2).
        fed_sizes: Width and height of each image that the model was fed; only for pixels.

    Example:
        >>> size = np.array([[640.0, 480.0]])
        >>> read_numbers(np.array([[750.0, 500, 250, 100]]), Frame(1000, order="yxyx"), size)
        array([[ 64., 120., 320., 360.]])
    """
    first, second = numbers[:, :2], numbers[:, 2:]
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite overlaps nothing
        if frame.order == "yxyx":
            first, second = first[:, ::-1], second[:, ::-1]
        elif frame.order == "xywh":
            second = first + second
        elif frame.order == "cxcywh":
            first, second = first - second / 2, first + second / 2
        canvas = sizes.max(axis=1, keepdims=True) if frame.square else sizes
        if not isinstance(frame.scale, str):
            per: Floats | float = frame.scale
        else:
            per = fed_sizes if frame.scale == "pixels" and fed_sizes is not None else sizes
            per = per / frame.unit
        offset, padding = 0.5 * frame.bins, (canvas - sizes) / 2
        ends = [(end + offset) * canvas / per - padding for end in (first, second)]
        low, high = np.minimum(*ends), np.maximum(*ends)
        return np.hstack([np.clip(low, 0, sizes), np.clip(high, 0, sizes)])


def _readings(resized: bool) -> Iterator[tuple[str, Frame]]:
    """The readings that are tested, with their names; the plainer come first."""
    for order, suffix in _ORDERS.items():
        for square in (False, True):
            for name, frame in _SCALES.items():
                if isinstance(frame.scale, str) and (
                    square or (frame.needs_fed_size and not resized)
                ):
                    continue
                padded = " of the image padded to a square" * square
                yield name + padded + suffix, replace(frame, order=order, square=square)


class _Pairs:
    """The numbers and the truth of the samples that have both, ready to be read in any way."""

    def __init__(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        sizes: ArrayLike,
        fed_sizes: ArrayLike | None,
    ) -> None:
        size = _sizes("sizes", sizes, len(preds))
        fed = size if fed_sizes is None else _sizes("fed_sizes", fed_sizes, len(preds))
        numbers = [_boxes("preds", value, index) for index, value in enumerate(preds)]
        truth = [_boxes("target", value, index) for index, value in enumerate(target)]
        both = [index for index in range(len(preds)) if len(numbers[index]) and len(truth[index])]
        kept = both[:: -(-len(both) // _MAX_SAMPLES) or 1]
        self.num = sum(min(len(numbers[index]), len(truth[index])) for index in kept)
        sides = [[side[index] for index in kept] for side in (numbers, truth)]
        self._numbers, self._truth = (np.concatenate([np.zeros((0, 4)), *one]) for one in sides)
        self._counts = [np.array(list(map(len, one)), dtype=np.intp) for one in sides]
        self._sizes = size[kept].repeat(self._counts[0], axis=0)
        self._fed = fed[kept].repeat(self._counts[0], axis=0)

    def overlaps(self, frame: Frame) -> Floats:
        """The IoU of each target with the prediction assigned to it, 0 where there is none.

        Args:
            frame: How the numbers are read.
        """
        corners = read_numbers(self._numbers, frame, self._sizes, self._fed)
        columns, _ = box_columns(np.concatenate([corners, self._truth]))
        preds, target = np.split(np.arange(columns.shape[1]), [len(corners)])
        return GroupedOverlaps(columns, preds, target, *self._counts).assigned_iou()


def _boxes(name: str, value: ArrayLike, index: int) -> Floats:
    """A sample's boxes, or the numbers of them, shape (N, 4)."""
    try:
        return np.asarray(value, dtype=np.float64).reshape(-1, 4)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Expected `{name}` as four numbers a box, but got {value!r}"[:300], index
        ) from error


def _sizes(name: str, sizes: ArrayLike, n: int) -> Floats:
    """Widths and heights, checked."""
    array = np.asarray(sizes, dtype=np.float64).reshape(-1, 2)
    if array.shape != (n, 2) or not (np.isfinite(array) & (array > 0)).all():
        raise InputError(
            f"Expected `{name}` as (width, height) of each of {n} images, all positive, "
            f"but got {sizes!r}"[:300]
        )
    return array
