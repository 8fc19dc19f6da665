"""One answer checked by hand: does it parse, and are the fields there that must be?"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from lightning_vlmeval.errors import InputTypeError
from lightning_vlmeval.functional.reading import answer_violations
from lightning_vlmeval.functional.schema import Schema
from lightning_vlmeval.parsing.payload import PayloadFormat


class ResponseCheck(TypedDict):
    """What `validate_response` found.

    Args:
        valid: Whether the answer parses, lacks no required field and keeps to the schema.
        error: What is wrong first, in words; None for a valid answer.
        missing: The required fields that are not there.
        unexpected: The fields that are there and should not be.
        data: The value that was read; None where nothing was.
    """

    valid: bool
    error: str | None
    missing: list[str]
    unexpected: list[str]
    data: Any


def validate_response(
    text: str,
    required_fields: Sequence[str] | None = None,
    schema: Any = None,
    format: Literal["json", "yaml", "csv"] = "json",
) -> ResponseCheck:
    """Whether an answer is a document of its format with the right fields: strictly, no fences.

    With `text` alone, an answer is valid if it parses: as RFC 8259 JSON, as a YAML mapping or list,
    or as a CSV table with a header. At most 100,000 characters, nested at most 64 deep, are read.

    ===========================  ================================================================
    given                        an answer is valid if it parses and
    ===========================  ================================================================
    `required_fields`            has them all; further fields are listed as `unexpected`, which
                                 is not an error
    `schema`                     keeps to it; what it does not allow is listed as `unexpected`,
                                 which is an error
    both                         both; `unexpected` is the schema's
    ===========================  ================================================================

    Args:
        text: The whole answer.
        required_fields: Names of fields that must be there; a dotted name is a field of a field. In
            a list, each item must have them; in a CSV, the header.
        schema: A JSON Schema, or the short form as in ``{"defect_type": str, "count": int}``; for a
            CSV it is for each row.
        format: The format of the answer.

    Raises:
        InputTypeError: `text` is not a string.
        ConfigurationError: `format` or `schema` cannot work.

    Example:
        >>> check = validate_response('{"type": "dent", "size": 3}', ["type", "count"])
        >>> check["valid"], check["missing"], check["unexpected"], check["error"]
        (False, ['count'], ['size'], "'count' is a required field")
        >>> validate_response("It is red.")["error"]
        'Expecting value: line 1 column 1 (char 0)'
    """
    if not isinstance(text, str):
        raise InputTypeError(f"Expected `text` to be a string, but got {type(text).__name__}")
    rules = Schema(schema, () if required_fields is None else required_fields)
    required = rules.required_fields
    payload = PayloadFormat(format, scalars=format == "json").parse(text)
    if not payload.strict:
        return ResponseCheck(
            valid=False, error=payload.error, missing=list(required), unexpected=[], data=None
        )
    violations = answer_violations(payload, rules, format)
    if schema is None and required:
        unexpected = _others(payload.value, payload.columns, required)
    else:
        unexpected = [one.path for one in violations if one.kind == "unexpected"]
    return ResponseCheck(
        valid=not violations,
        error=violations[0].message if violations else None,
        missing=[one.path for one in violations if one.kind == "missing"],
        unexpected=unexpected,
        data=payload.value,
    )


def _others(value: Any, columns: Sequence[str], required: Sequence[str]) -> list[str]:
    """The fields at the top that are not asked for, in the order of their first appearance."""
    items = value if isinstance(value, list) else [value]
    names = dict.fromkeys(columns)
    for item in items:
        names.update(dict.fromkeys(item if isinstance(item, Mapping) else ()))
    known = {part for name in required for part in (name, name.partition(".")[0])}
    return [str(name) for name in names if name not in known]
