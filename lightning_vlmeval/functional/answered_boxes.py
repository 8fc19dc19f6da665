"""What a grounding scorer is given for an answer and a target in a model family's box format."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lightning_vlmeval.errors import InputError
from lightning_vlmeval.parsing import Box, BoxFormat, LabelMatcher, Parsed
from lightning_vlmeval.parsing.box import Size
from lightning_vlmeval.table import Floats

# What a box that the model tried to write and that cannot be read counts as: one without an area.
_UNREADABLE = (0.0, 0.0, 0.0, 0.0)
_LABELS = LabelMatcher()


def answered_boxes(answer: Parsed, phrases: Sequence[str]) -> dict[str, Any]:
    """The boxes of an answer, each with the phrase of its sample that it is for.

    A box that could not be read is one without an area. With one phrase in the sample every box is
    for it; with several the labels are compared without case, articles and punctuation.

    Args:
        answer: What was read in the answer.
        phrases: The labels of the targets.

    Example:
        >>> from lightning_vlmeval.parsing import box_format
        >>> text = '[{"bbox_2d": [0, 0, 500, 500], "label": "The Cat"}]'
        >>> answered_boxes(box_format("qwen3-vl").parse(text, (64, 48)), ["cat", "dog"])
        {'boxes': array([[ 0.,  0., 32., 24.]]), 'labels': ['cat'], 'unparsable': False}
    """
    matched = _LABELS.match([box.label for box in answer.boxes], phrases)
    named = [
        box.label if phrase is None else phrase
        for box, phrase in zip(answer.boxes, matched.phrases, strict=True)
    ]
    boxes = [box.xyxy for box in answer.boxes] + [_UNREADABLE] * answer.dropped
    return {
        "boxes": np.array(boxes, dtype=np.float64).reshape(-1, 4),
        "labels": named + [""] * answer.dropped,
        "unparsable": not answer.ok,
    }


def annotated_boxes(
    target: Any, box_format: BoxFormat, size: Size, fed_size: Size | None = None
) -> tuple[Any, list[str]]:
    """A sample's annotated boxes, and the label of each; "" where there are no labels.

    Args:
        target: A text in the format, a list of `Box`, a mapping of `boxes` and perhaps `labels`, or
            boxes.
        box_format: How texts are written.
        size: Width and height of the image.
        fed_size: Width and height of the image that the model was fed, where the format needs it.

    Raises:
        InputError: A text cannot be read.
    """
    if isinstance(target, str):
        parsed = box_format.parse(target, size, fed_size)
        if not parsed.ok and target.strip():
            raise InputError(
                f"Expected the target in the format {box_format.name!r}, but got {target[:80]!r}"
            )
        target = parsed.boxes
    if isinstance(target, (list, tuple)) and target and isinstance(target[0], Box):
        boxes: Floats = np.array([box.xyxy for box in target])
        return boxes, [box.label for box in target]
    if isinstance(target, Mapping):
        labels = target.get("labels")
        given = target["boxes"]
        return given, [""] * len(given) if labels is None else [str(label) for label in labels]
    return target, [""] * len(target)
