"""Saved answers as each metric takes them."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lightning_vlmeval.cli.predictions import Predictions, Row
from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.functional.answered_boxes import annotated_boxes, answered_boxes
from lightning_vlmeval.parsing import BoxFormat, Parsed, box_format
from lightning_vlmeval.runs.files import StoreError


class AnswerReader:
    """What each metric is given for rows of saved answers.

    Args:
        predictions: The answers.
        family: The box format that answers are written in; None where they come as boxes.
        task: What the answers are.

    Raises:
        ConfigurationError: The box format is unknown.
    """

    def __init__(self, predictions: Predictions, family: str | None, task: str) -> None:
        self.rows = predictions.rows
        self._prediction, self._reference = predictions.prediction, predictions.reference
        self._prompt = predictions.prompt
        self._cut = predictions.has("truncated")
        self._format = None if family is None else box_format(family)
        self._target: Callable[[Any], Any] = _text if task == "freeform" else lambda target: target

    def prompts(self, rows: Sequence[Row]) -> list[str] | None:
        """The prompts, where every answer has one.

        Args:
            rows: Some of the answers.
        """
        if self._prompt is None:
            return None
        return [str(row.values[self._prompt]) for row in rows]

    def truncated(self, rows: Sequence[Row]) -> list[bool] | None:
        """Which answers were cut, where every answer says.

        Args:
            rows: Some of the answers.
        """
        return [bool(row.values["truncated"]) for row in rows] if self._cut else None

    def pairs(self, metric: str, rows: Sequence[Row]) -> tuple[list[Any], list[Any]]:
        """The answers and what they should have been, as a metric takes them.

        Args:
            metric: The scorer's name.
            rows: Some of the answers.

        Raises:
            StoreError: A row does not hold what is needed; its place is named.
            ConfigurationError: The metric needs a box format.
        """
        readers: dict[str, Callable[[Row], tuple[Any, Any]]] = {
            "grounding": self._grounding,
            "error_budget": self._grounding,
            "box_answers": lambda row: (self._parsed(row, self._needed_format()), None),
            "structured": lambda row: (self._answer(row), self._expected(row)),
            "health": lambda row: (self._answer(row), ""),
        }
        read = readers.get(metric, self._texts)
        found = list(self._placed(read, rows))
        return [pred for pred, _ in found], [target for _, target in found]

    def _placed(
        self, read: Callable[[Row], tuple[Any, Any]], rows: Sequence[Row]
    ) -> Iterator[tuple[Any, Any]]:
        for row in rows:
            try:
                yield read(row)
            except (InputError, TypeError, KeyError, AttributeError) as error:
                why = f"{type(error).__name__}: {error}"
                text = str(error) if isinstance(error, InputError) else f"cannot be scored: {why}"
                raise StoreError(f"{row.place}: {text}") from None

    def _texts(self, row: Row) -> tuple[Any, Any]:
        return self._answer(row), self._target(self._expected(row))

    def _answer(self, row: Row) -> Any:
        if self._prediction not in row.values:
            raise InputError(f"expected a prediction in {self._prediction!r}, but there is none")
        return row.values[self._prediction]

    def _expected(self, row: Row) -> Any:
        if self._reference not in row.values:
            raise InputError(f"expected a reference in {self._reference!r}, but there is none")
        return row.values[self._reference]

    def _needed_format(self) -> BoxFormat:
        if self._format is None:
            raise ConfigurationError("Expected --box-format, to read the answers' texts")
        return self._format

    def _parsed(self, row: Row, form: BoxFormat) -> Parsed:
        size, fed_size = self._sizes(row)
        return form.parse(self._answer(row), size, fed_size)

    def _grounding(self, row: Row) -> tuple[Any, Any]:
        if self._format is None:
            return _numbers(self._given_boxes(row)), _numbers(_boxes(self._expected(row)))
        size, fed_size = self._sizes(row)
        boxes, labels = annotated_boxes(self._expected(row), self._format, size, fed_size)
        answer = answered_boxes(self._parsed(row, self._format), labels)
        return answer, _numbers({"boxes": boxes, "labels": labels})

    def _given_boxes(self, row: Row) -> Any:
        if "boxes" in row.values:
            found = {"boxes": row.values["boxes"], "unparsable": row.values.get("unparsable")}
            labels = row.values.get("labels")
            return found | ({} if labels is None else {"labels": labels})
        return _boxes(self._answer(row))

    def _sizes(self, row: Row) -> tuple[Any, Any]:
        size = row.values.get("size")
        if size is None and "width" in row.values and "height" in row.values:
            size = (row.values["width"], row.values["height"])
        if size is None:
            raise InputError(
                "expected the image's 'size', or 'width' and 'height', for boxes as texts"
            )
        fed_size = row.values.get("fed_size")
        if fed_size is None and self._needed_format().needs_fed_size:
            raise InputError(
                f"expected 'fed_size', the size after the processor's resize: the format "
                f"{self._needed_format().name!r} writes pixels of that image"
            )
        return size, fed_size


def _boxes(value: Any) -> Any:
    if isinstance(value, str):
        raise InputError("expected boxes, but got a text: say --box-format to read it")
    return value


def _text(target: Any) -> Any:
    """A target for metrics of texts: an object as JSON, as the model is taught to write it."""
    several = isinstance(target, list) and bool(target) and all(isinstance(t, str) for t in target)
    if isinstance(target, str) or several:
        return target
    return json.dumps(target, ensure_ascii=False)


def _numbers(value: Any) -> Any:
    """Boxes with NaN for a number that JSON could not hold."""
    if isinstance(value, Mapping):
        mapping = {key: one for key, one in value.items() if one is not None}
        return {**mapping, "boxes": _numbers(value["boxes"])}
    if isinstance(value, list) and any(isinstance(box, list) and None in box for box in value):
        return [[math.nan if x is None else x for x in box] for box in value]
    return value
