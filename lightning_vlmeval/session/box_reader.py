"""Answers in a model family's box format, as boxes for the grounding metrics."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.functional.answered_boxes import annotated_boxes, answered_boxes
from lightning_vlmeval.functional.coordinates import CoordinateFinding, coordinate_doctor
from lightning_vlmeval.parsing import BoxFormat, Parsed, box_format, fed_size_from_grid
from lightning_vlmeval.parsing.box import Size
from lightning_vlmeval.session.outputs import Batch

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
        sizes = self._sizes(batch, positions)
        preds, target = list(batch.preds), list(batch.target)
        parsed: list[Parsed | None] = [None] * len(batch)
        for i in positions:
            size, fed_size = sizes[i]
            answer = parsed[i] = self.format.parse(batch.preds[i], size, fed_size)
            try:
                boxes, labels = annotated_boxes(batch.target[i], self.format, size, fed_size)
            except InputError as error:
                raise InputError(str(error), i) from error
            preds[i] = answered_boxes(answer, labels)
            target[i] = {"boxes": boxes, "labels": labels}
            if len(self._evidence) < _EVIDENCE:
                self._evidence.append((answer.numbers, boxes, size, fed_size))
        if self.format.needs_fed_size:
            fed_sizes = [sizes[i][1] if i in sizes else None for i in range(len(batch))]
            batch = replace(batch, fed_size=fed_sizes)
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

    def _sizes(self, batch: Batch, positions: Sequence[int]) -> dict[int, tuple[Size, Size | None]]:
        """The size of each image that boxes are on, and the size as the model was fed it."""
        if not positions:
            return {}
        if batch.size is None:
            raise ConfigurationError(
                f"Expected 'size', the width and height of each image, beside 'preds': boxes in the "
                f"format {self.format.name!r} are read in pixels of the original image"
            )
        return {i: (_pair(batch.size[i]), self._fed_size(batch, i)) for i in positions}

    def _fed_size(self, batch: Batch, i: int) -> Size | None:
        """The size of an image as the model was fed it, given or from its grid of patches."""
        if not self.format.needs_fed_size:
            return None
        if batch.fed_size is not None:
            return _pair(batch.fed_size[i])
        if batch.image_grid_thw is not None:
            return fed_size_from_grid(batch.image_grid_thw[i])
        raise ConfigurationError(
            f"Expected 'fed_size', the width and height of each image after the processor's "
            f"resize, or the processor's 'image_grid_thw' with one row a sample, in the batch: the "
            f"format {self.format.name!r} writes pixels of that image"
        )


def _pair(size: Any) -> Size:
    """A width and a height out of a pair, an array or a tensor."""
    try:
        width, height = map(float, size)
    except (TypeError, ValueError):
        raise InputError(f"Expected a width and a height, but got {size!r}") from None
    return width, height
