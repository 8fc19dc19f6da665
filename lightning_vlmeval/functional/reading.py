"""Answers and targets in JSON's terms, and where an answer breaks a schema."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from lightning_vlmeval.errors import InputError, InputTypeError
from lightning_vlmeval.functional.schema import Schema, missing_fields
from lightning_vlmeval.functional.violations import KINDS, Violation
from lightning_vlmeval.parsing.payload import Format, Payload, PayloadFormat
from lightning_vlmeval.parsing.plain_values import plain_value
from lightning_vlmeval.parsing.readers import Unreadable

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<power>[eE][+-]?[0-9]+)?")


class Answer(NamedTuple):
    """One answer as it is scored.

    Args:
        payload: What was read, and what is wrong with it.
        read: Whether its value counts.
        value: The value in JSON's terms; None where nothing counts.
    """

    payload: Payload
    read: bool
    value: Any


def read_answer(text: str, parser: PayloadFormat, lenient: bool, index: int = 0) -> Answer:
    """One answer as it is scored.

    Args:
        text: The whole answer.
        parser: The format and the limits.
        lenient: Whether a value counts that is read with repairs.
        index: The position of the sample in its batch.

    Raises:
        InputTypeError: The answer is not a text.
    """
    if not isinstance(text, str):
        raise InputTypeError(
            f"Expected each prediction to be a text, but got {type(text).__name__}", index
        )
    payload = parser.parse(text)
    read = payload.strict or (lenient and payload.lenient)
    return Answer(payload, read, payload_view(payload.value, parser.format) if read else None)


def target_value(target: Any, parser: PayloadFormat, index: int = 0) -> Any:
    """A sample's target in JSON's terms.

    Args:
        target: A mapping or a list, a text in the format of the answers, or None for no target.
        parser: The format and the limits.
        index: The position of the sample in its batch.

    Raises:
        InputTypeError: It is none of these.
        InputError: Its text cannot be read, strictly.
    """
    if target is not None and not isinstance(target, (str, Mapping, list, tuple)):
        raise InputTypeError(
            "Expected each target to be a mapping, a list, a text in the format of the answers, "
            f"or None, but got {type(target).__name__}",
            index,
        )
    try:
        value = parser.read(target).value if isinstance(target, str) else plain_value(target)
    except Unreadable as error:
        raise InputError(_unreadable_target(target, parser, error), index) from None
    return payload_view(value, parser.format)


def _unreadable_target(target: Any, parser: PayloadFormat, error: Unreadable) -> str:
    """What to do about a target that cannot be read."""
    if not isinstance(target, str):
        return f"Expected each target to be a value that JSON can write, but it is {error}"
    return (
        f"Expected a target that is a text to be {parser.name} as a whole, but it cannot be read: "
        f"{error}. Give the object itself, or None for no target; where answers are prose, leave "
        "out this metric (`output_format=None` in the callback)"
    )


def payload_view(value: Any, format: Format) -> Any:
    """A value that was read, of JSON's types: YAML's dates become text, empty CSV cells null.

    Args:
        value: What was read.
        format: The format that it was read from.

    Example:
        >>> payload_view([{"type": "dent", "note": ""}], "csv")
        [{'type': 'dent', 'note': None}]
    """
    if format == "json":
        return value
    plain = plain_value(value)
    return _without_empty_cells(plain) if format == "csv" else plain


def _without_empty_cells(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_empty_cells(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_empty_cells(one) for key, one in value.items()}
    return None if value == "" else value


def answer_violations(payload: Payload, schema: Schema, format: Format) -> list[Violation]:
    """The fields of an answer that break a schema.

    A schema that is not for a list is for each row of a CSV. A cell is text; where the schema asks
    for a number, a boolean or null, a cell that writes one (as JSON does; nothing for null) is one.

    Args:
        payload: An answer that was read.
        schema: The schema and the required fields.
        format: The format of the answer.
    """
    if format != "csv":
        return schema.violations(payload_view(payload.value, format))
    rows = payload.value
    found: list[Violation] = []
    if payload.columns:
        names = missing_fields(dict.fromkeys(payload.columns), schema.required_fields)
        found += [Violation("missing", name, f"{name!r} is a required column") for name in names]
    elif schema.required_fields:
        found += Schema(None, schema.required_fields).violations(rows)
    for value in [rows] if _is_list(schema.plain) else rows:
        found += schema.broken(_typed(value, schema.plain))
    unique = {(one.kind, one.path): one for one in reversed(found)}
    return sorted(unique.values(), key=lambda one: (KINDS.index(one.kind), one.path))


def _is_list(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "array"


def _typed(value: Any, schema: Any) -> Any:
    """A CSV's value with the types that a schema asks for."""
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, list):
        return [_typed(one, schema.get("items")) for one in value]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {key: _typed(one, properties.get(key)) for key, one in value.items()}
    return _cell(value, _wanted(schema))


def _wanted(schema: Mapping[str, Any]) -> set[str]:
    """The types that a schema names for a value."""
    types = schema.get("type", [])
    wanted = {types} if isinstance(types, str) else set(types)
    for part in schema.get("anyOf", []):
        wanted |= _wanted(part) if isinstance(part, Mapping) else set()
    return wanted


def _cell(text: str, wanted: set[str]) -> Any:
    """A cell's value; a number only where no text is wanted."""
    if text == "" and "null" in wanted:
        return None
    if "string" in wanted:
        return text
    if "boolean" in wanted and text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    match = _NUMBER.fullmatch(text) if len(text) <= 400 else None
    if match and wanted & {"integer", "number"}:
        return float(text) if match["fraction"] or match["power"] else int(text)
    return text
