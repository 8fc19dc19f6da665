"""Answers in a model family's box format, as boxes for the grounding metrics."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.functional.coordinates import CoordinateFinding, coordinate_doctor
from lightning_vlmeval.parsing import (
    Box,
    BoxFormat,
    LabelMatcher,
    Parsed,
    box_format,
    fed_size_from_grid,
)
from lightning_vlmeval.parsing.box import Size
from lightning_vlmeval.session.outputs import Batch

# What a box that the model tried to write and that cannot be read counts as: one without an area.
_UNREADABLE = (0.0, 0.0, 0.0, 0.0)

# How many samples are kept to test how their numbers should be read.
_EVIDENCE = 500


class BoxReader:
    """Reads the boxes out of a batch's texts: answers always, targets where they are texts.

    A target is a text in the same format, a list of `Box`, a dict of `boxes` and `labels`, or boxes
    without labels. With one phrase in a sample every box is for it; with several the labels are
    compared without case, articles and punctuation.

    Args:
        name: A model family, such as ``qwen3-vl``; or a format of one's own.

    Raises:
        ConfigurationError: The family is unknown.
    """

    def __init__(self, name: str | BoxFormat) -> None:
        self.format = box_format(name) if isinstance(name, str) else name
        self._labels = LabelMatcher()
        self._evidence: list[tuple[Any, Any, Size, Size | None]] = []

    def read(self, batch: Batch, positions: Sequence[int]) -> Batch:
        """The batch with boxes for texts, and beside them the texts and what was read in them.

        Args:
            batch: Texts, with the `size` (width, height) of each image, and the `fed_size` where the
                format writes pixels of the image that the model was fed.
            positions: The samples that are about boxes; the others stay as they are.

        Raises:
            ConfigurationError: A size is missing.
            InputError: A target cannot be read.
        """
        sizes = self._sizes(batch)
        preds, target = list(batch.preds), list(batch.target)
        parsed: list[Parsed | None] = [None] * len(batch)
        for i in positions:
            size, fed_size = sizes[i]
            answer = parsed[i] = self.format.parse(batch.preds[i], size, fed_size)
            boxes, labels = self._target(batch.target[i], size, fed_size, i)
            preds[i] = self._prediction(answer, labels)
            target[i] = {"boxes": boxes, "labels": labels}
            if len(self._evidence) < _EVIDENCE:
                self._evidence.append((answer.numbers, boxes, size, fed_size))
        return replace(batch, preds=preds, target=target, texts=batch.preds, parsed=parsed)

    def finding(self) -> CoordinateFinding | None:
        """Whether the numbers should be read in another way, from the first samples of this rank."""
        if not self._evidence:
            return None
        numbers, boxes, sizes, fed = zip(*self._evidence, strict=True)
        fed_sizes = fed if self.format.needs_fed_size else None
        return coordinate_doctor(numbers, boxes, sizes, fed_sizes, frame=self.format.frame)

    def reset(self) -> None:
        """Forget the samples."""
        self._evidence.clear()

    def _sizes(self, batch: Batch) -> list[tuple[Size, Size | None]]:
        if batch.size is None:
            raise ConfigurationError(
                f"Expected 'size', the width and height of each image, beside 'preds': boxes in the "
                f"format {self.format.name!r} are read in pixels of the original image"
            )
        return list(zip(map(_pair, batch.size), self._fed_sizes(batch), strict=True))

    def _fed_sizes(self, batch: Batch) -> list[Size | None]:
        """The sizes of the images as the model was fed them, given or from their grids of patches."""
        if not self.format.needs_fed_size:
            return [None] * len(batch)
        if batch.fed_size is not None:
            return list(map(_pair, batch.fed_size))
        if batch.image_grid_thw is not None:
            return [fed_size_from_grid(grid) for grid in batch.image_grid_thw]
        raise ConfigurationError(
            f"Expected 'fed_size', the width and height of each image after the processor's "
            f"resize, or the processor's 'image_grid_thw', one row an image, in the batch: the "
            f"format {self.format.name!r} writes pixels of that image"
        )

    def _target(
        self, target: Any, size: Size, fed_size: Size | None, index: int
    ) -> tuple[Any, list[str]]:
        """A sample's annotated boxes and their labels."""
        if isinstance(target, str):
            parsed = self.format.parse(target, size, fed_size)
            if not parsed.ok and target.strip():
                raise InputError(
                    f"Expected the target in the format {self.format.name!r}, but got "
                    f"{target[:80]!r}",
                    index,
                )
            target = parsed.boxes
        if isinstance(target, (list, tuple)) and target and isinstance(target[0], Box):
            return np.array([box.xyxy for box in target]), [box.label for box in target]
        if isinstance(target, dict):
            boxes = target["boxes"]
            return boxes, [str(label) for label in target.get("labels", [""] * len(boxes))]
        return target, [""] * len(target)

    def _prediction(self, answer: Parsed, labels: Sequence[str]) -> dict[str, Any]:
        """The answer's boxes, each with the label of the target phrase that it is for."""
        matched = self._labels.match([box.label for box in answer.boxes], labels)
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


def _pair(size: Any) -> Size:
    """A width and a height out of a pair, an array or a tensor."""
    width, height = size
    return float(width), float(height)
