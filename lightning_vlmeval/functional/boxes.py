"""Boxes as arrays: reading what a caller gives, one coordinate format, validity, and IoU."""

import itertools
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_vlmeval.errors import ConfigurationError, InputError, InputTypeError
from lightning_vlmeval.table import Floats

BoxCoordinates = Literal["xyxy", "xywh", "cxcywh"]

# Areas and their sums stay finite numbers up to here.
_LARGEST = 1e150
_POINT = np.array([[0.0], [0.0], [0.0], [0.0], [1.0]])
_NO_BOXES = np.zeros((0, 4))


def check_box_coordinates(box_coordinates: str) -> None:
    """Raise unless this is the name of a coordinate format.

    Args:
        box_coordinates: The name.

    Raises:
        ConfigurationError: It is not one of "xyxy", "xywh", "cxcywh".
    """
    if box_coordinates not in get_args(BoxCoordinates):
        raise ConfigurationError(
            f"Expected `box_coordinates` to be one of {', '.join(get_args(BoxCoordinates))}, "
            f"but got {box_coordinates!r}"
        )


def to_xyxy(boxes: ArrayLike, box_coordinates: BoxCoordinates) -> Floats:
    """Boxes as their left, top, right and bottom edges, float64 of shape (N, 4).

    A negative width or height gives an inverted box, which is not valid (`is_valid`).

    Args:
        boxes: Shape (N, 4), in any unit.
        box_coordinates: What the four numbers are: "xyxy" the corners (left, top, right, bottom),
            "xywh" the left top corner and the size, "cxcywh" the centre and the size.

    Raises:
        ConfigurationError: `box_coordinates` is another word.

    Example:
        >>> to_xyxy([[10, 20, 4, 6]], "xywh")
        array([[10., 20., 14., 26.]])
        >>> to_xyxy([[10, 20, 4, 6]], "cxcywh")
        array([[ 8., 17., 12., 23.]])
    """
    check_box_coordinates(box_coordinates)
    boxes = np.asarray(boxes, dtype=np.float64)
    if box_coordinates == "xyxy":
        return boxes
    origin, size = boxes[:, :2], boxes[:, 2:]
    with np.errstate(invalid="ignore", over="ignore"):  # such boxes are found by `is_valid`
        if box_coordinates == "cxcywh":
            return np.hstack([origin - size / 2, origin + size / 2])
        return np.hstack([origin, origin + size])


def is_valid(boxes: ArrayLike) -> NDArray[np.bool_]:
    """Whether each box has finite coordinates (to 1e150), and a width, height and area above 0.

    Args:
        boxes: Edges (left, top, right, bottom), shape (N, 4).

    Returns:
        Shape (N,): False for a degenerate, inverted or non-finite box.

    Example:
        >>> is_valid([[0, 0, 2, 2], [2, 2, 0, 0], [1, 1, 1, 5], [0, 0, np.nan, 1]])
        array([ True, False, False, False])
    """
    return box_columns(boxes)[1]


def pairwise_iou(preds: ArrayLike, target: ArrayLike) -> Floats:
    """Intersection over union of every prediction with every target, in [0, 1], never NaN.

    A box that is not valid (`is_valid`) has IoU 0 with every box, itself included.

    Args:
        preds: Edges (left, top, right, bottom), shape (N, 4).
        target: Edges, shape (M, 4).

    Returns:
        float64 of shape (N, M).

    Example:
        Areas 100 and 120, which share 80 of 140:

        >>> pairwise_iou([[0, 0, 10, 10]], [[2, 0, 14, 10]]).round(3)
        array([[0.571]])
    """
    first, second = box_columns(preds)[0], box_columns(target)[0]
    return iou_of_columns(first[:, :, None], second[:, None, :])


def box_columns(boxes: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """What `iou_of_columns` needs of each box, and whether the box is valid.

    A box that is not valid becomes a point with the area 1: it shares nothing with any box, and no
    union with it is 0.

    Args:
        boxes: Edges (left, top, right, bottom), shape (N, 4).

    Returns:
        The edges and the area, shape (5, N); and `is_valid` of the boxes, shape (N,).
    """
    edges = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    columns = np.empty((5, edges.shape[1]))
    columns[:4] = edges
    if not np.abs(edges).max(initial=0.0) <= _LARGEST:  # true of NaN as well
        columns[:4, ~(np.abs(edges) <= _LARGEST).all(axis=0)] = 0.0
    width, height = columns[2:4] - columns[:2]
    area = np.multiply(width, height, out=columns[4])
    valid = (width > 0) & (area > 0)
    if not valid.all():
        columns[:, ~valid] = _POINT
    return columns, valid


def iou_of_columns(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes given as `box_columns`, with the shapes broadcast.

    Args:
        first: Shape (5, ...).
        second: Shape (5, ...).
    """
    left, top, right, bottom, area = first
    other_left, other_top, other_right, other_bottom, other_area = second
    # In place, because for many pairs new arrays cost more than the arithmetic.
    shared: Floats = np.minimum(right, other_right)
    shared -= np.maximum(left, other_left)
    np.maximum(shared, 0.0, out=shared)
    height = np.minimum(bottom, other_bottom)
    height -= np.maximum(top, other_top)
    np.maximum(height, 0.0, out=height)
    shared *= height
    union = np.add(area, other_area, out=height)
    union -= shared
    shared /= union
    return shared


@dataclass(frozen=True)
class BoxBatch:
    """The boxes of a batch of samples, laid end to end: all predictions, then all targets.

    Args:
        boxes: Edges of the boxes, float64 of shape (N + M, 4).
        n_pred: How many predictions each of the n samples has, shape (n,).
        n_target: How many targets each sample has, shape (n,).
        pred_labels: For each sample the labels of its predictions; None where it gave no labels.
        target_labels: The same of the targets.
        unparsable: Whether each sample's answer is marked as one that could not be read, shape (n,).
    """

    boxes: Floats
    n_pred: NDArray[np.intp]
    n_target: NDArray[np.intp]
    pred_labels: list[list[Hashable] | None]
    target_labels: list[list[Hashable] | None]
    unparsable: NDArray[np.bool_]

    @classmethod
    def read(
        cls, preds: Sequence[Any], target: Sequence[Any], box_coordinates: BoxCoordinates = "xyxy"
    ) -> "BoxBatch":
        """Read one element a sample on each side.

        Args:
            preds: For each sample an array, tensor or list of boxes of shape (N, 4), or a mapping
                with "boxes" and optionally "labels" (a number or a string for each box) and
                "unparsable" (true for an answer that could not be read, which needs no boxes).
                Other keys, such as "scores", are not looked at. Anything of size 0 is no boxes.
            target: The same of the annotated boxes, as many as `preds`.
            box_coordinates: What the four numbers are.

        Raises:
            InputTypeError: Boxes are missing or not numbers, or labels are not a list.
            InputError: The boxes are not of shape (N, 4), or labels and boxes differ in number.

        Example:
            >>> batch = BoxBatch.read([[[0, 0, 2, 2]], []], [[], {"boxes": [[1, 1, 3, 2]]}])
            >>> batch.n_pred, batch.n_target
            (array([1, 0]), array([0, 1]))
        """
        n = len(preds)
        values = [*preds, *target]
        labels: list[list[Hashable] | None] = [None] * len(values)
        unparsable = np.zeros(n, dtype=bool)
        if any(issubclass(kind, Mapping) for kind in set(map(type, values))):
            for position, value in enumerate(values):
                if isinstance(value, Mapping):
                    mapping = _read_mapping(value, position % n)
                    values[position], labels[position], flag = mapping
                    unparsable[position % n] |= flag and position < n
        boxes, lengths = _joined_tensors(values) or _joined(values, n)
        counts = np.array(lengths, dtype=np.intp)
        if any(names is not None for names in labels):
            _check_labels(labels, lengths)
        return cls(
            to_xyxy(boxes, box_coordinates),
            counts[:n],
            counts[n:],
            labels[:n],
            labels[n:],
            unparsable,
        )

    @classmethod
    def joined(cls, batches: Sequence["BoxBatch"]) -> "BoxBatch":
        """Several batches as one.

        Args:
            batches: At least one.
        """
        if len(batches) == 1:
            return batches[0]
        first_target = [int(one.n_pred.sum()) for one in batches]
        preds = [one.boxes[:i] for one, i in zip(batches, first_target, strict=True)]
        target = [one.boxes[i:] for one, i in zip(batches, first_target, strict=True)]
        return cls(
            np.concatenate(preds + target),
            np.concatenate([one.n_pred for one in batches]),
            np.concatenate([one.n_target for one in batches]),
            list(itertools.chain.from_iterable(one.pred_labels for one in batches)),
            list(itertools.chain.from_iterable(one.target_labels for one in batches)),
            np.concatenate([one.unparsable for one in batches]),
        )

    def parts(self, n_pairs: int, large: int) -> Iterator["BoxBatch"]:
        """The batch in runs of whole samples, each of about `n_pairs` pairs or one sample.

        Args:
            n_pairs: How many pairs of a prediction and a target of the same sample make a run.
            large: Samples of more pairs than this do not count.
        """
        pairs = self.n_pred * self.n_target
        pairs[pairs > large] = 0
        pairs = pairs.cumsum()
        if pairs.max(initial=0) <= n_pairs:
            yield self
            return
        bounds = [0, *(np.diff(pairs // n_pairs).nonzero()[0] + 1).tolist(), len(pairs)]
        first_pred = np.append(0, self.n_pred.cumsum())
        first_target = first_pred[-1] + np.append(0, self.n_target.cumsum())
        for start, stop in itertools.pairwise(bounds):
            preds = slice(first_pred[start], first_pred[stop])
            target = slice(first_target[start], first_target[stop])
            yield BoxBatch(
                np.concatenate([self.boxes[preds], self.boxes[target]]),
                self.n_pred[start:stop],
                self.n_target[start:stop],
                self.pred_labels[start:stop],
                self.target_labels[start:stop],
                self.unparsable[start:stop],
            )


def _check_labels(labels: list[list[Hashable] | None], counts: list[int]) -> None:
    """Raise where labels and boxes differ in number, or one side of a sample has no labels."""
    n = len(labels) // 2
    for position, (names, count) in enumerate(zip(labels, counts, strict=True)):
        if names is not None and len(names) != count:
            raise InputError(
                f"Expected one label for each box, but got {len(names)} labels for {count} boxes",
                position % n,
            )
    for index, (one, other) in enumerate(zip(labels[:n], labels[n:], strict=True)):
        if (one is None) != (other is None) and counts[index] and counts[n + index]:
            raise InputError(
                f"Expected labels with both predictions and targets or with neither, "
                f"but got them with {'targets' if one is None else 'predictions'} only",
                index,
            )


def _read_mapping(value: Mapping[Any, Any], index: int) -> tuple[Any, list[Hashable] | None, bool]:
    """A sample's boxes as they are, its labels, and whether it is marked as unparsable."""
    unparsable = bool(value.get("unparsable", False))
    if "boxes" not in value and not unparsable:
        raise InputError(f"Expected a mapping with 'boxes', but got the keys {list(value)}", index)
    return value.get("boxes", ()), _read_labels(value.get("labels"), index), unparsable


def _joined_tensors(values: list[Any]) -> tuple[Floats, list[int]] | None:
    """Tensors of boxes laid end to end, and how many each has; None where they are not alike.

    One copy from a device, rather than one a sample.
    """
    if not values or not hasattr(values[0], "detach"):
        return None
    torch = sys.modules["torch"]  # which made the tensor
    try:
        if len({value.dtype for value in values}) > 1:  # cat would round to a common one
            return None
        joined = torch.cat(values)
    except (AttributeError, TypeError, RuntimeError):  # no tensors, or unlike shapes or devices
        return None
    array = _as_array(joined, 0)
    if array.ndim != 2 or array.shape[1] != 4 or array.dtype.kind not in "fiu":
        return None
    return array.astype(np.float64, copy=False), [value.size(0) for value in values]


def _joined(values: list[Any], n: int) -> tuple[Floats, list[int]]:
    """Boxes of any kind laid end to end, and how many each sample has; `n` samples on each side."""
    arrays = [_read_boxes(value, position % n) for position, value in enumerate(values)]
    boxes: Floats = np.concatenate([_NO_BOXES, *arrays], dtype=np.float64)
    return boxes, list(map(len, arrays))


def _read_boxes(value: Any, index: int) -> NDArray[Any]:
    """A sample's boxes as an array of numbers of shape (N, 4)."""
    array = value if isinstance(value, np.ndarray) else _as_array(value, index)
    if array.ndim == 2 and array.shape[1] == 4 and array.dtype.kind in "fiu":
        return array
    if array.size == 0:
        return _NO_BOXES
    if array.dtype.kind not in "fiu":
        raise InputTypeError(
            f"Expected boxes as numbers of shape (N, 4), or an empty list for no boxes, "
            f"but got {value!r}"[:300],
            index,
        )
    raise InputError(
        f"Expected boxes of shape (N, 4), but got shape {array.shape}: "
        f"give each sample a list of boxes, even for one box",
        index,
    )


def _as_array(value: Any, index: int) -> NDArray[Any]:
    """An array from a list, or from a tensor on any device (torch need not be installed)."""
    try:
        if not hasattr(value, "detach"):
            return np.asarray(value)
        try:
            return cast("NDArray[Any]", value.numpy(force=True))
        except TypeError:  # numpy has no bfloat16
            return cast("NDArray[Any]", value.double().numpy(force=True))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Expected boxes of shape (N, 4), but got {value!r}"[:300], index
        ) from error


def _read_labels(value: Any, index: int) -> list[Hashable] | None:
    """A sample's labels as Python values: a tensor's numbers equal a list's."""
    if value is None:
        return None
    labels = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(labels, (list, tuple)):
        raise InputTypeError(f"Expected labels as a list, but got {value!r}"[:300], index)
    if labels is value:
        labels = [label.tolist() if hasattr(label, "tolist") else label for label in labels]
    try:
        hash(tuple(labels))
    except TypeError as error:
        raise InputTypeError(
            f"Expected each label to be a number or a string, but got {value!r}"[:300], index
        ) from error
    return list(labels)
