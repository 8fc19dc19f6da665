"""What is wrong with a field by a schema: the errors of `jsonschema`, field by field."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema.exceptions import ValidationError

from lightning_vlmeval.functional.paths import below, items

KINDS = ("missing", "unexpected", "wrong_type", "out_of_range")
"""What can be wrong with a field."""

_MISSING = frozenset({"required", "dependentRequired", "dependencies", "minProperties"})
_UNEXPECTED = frozenset(
    {"additionalProperties", "unevaluatedProperties", "additionalItems", "unevaluatedItems"}
)


@dataclass(frozen=True)
class Violation:
    """One field that breaks a schema.

    Args:
        kind: One of `KINDS`.
        path: The field: keys joined by dots, `[]` for the items of a list; "" is the answer.
        message: What is wrong, in words.
    """

    kind: str
    path: str
    message: str


def violations_of(error: ValidationError) -> Iterator[Violation]:
    """The violations behind one error of `jsonschema`: of alternatives, those of the closest one.

    Args:
        error: What a validator found.
    """
    rule, path = str(error.validator), _path(error)
    if rule in ("anyOf", "oneOf") and error.context:
        for inner in _closest(error.context):
            yield from violations_of(inner)
    elif rule in _MISSING:
        for name in _missing_names(error) or [""]:
            yield Violation("missing", _named(path, name), error.message)
    elif rule in _UNEXPECTED or (rule == "items" and error.validator_value is False):
        for name in _unexpected_names(error) or [""]:
            yield Violation("unexpected", _named(path, name), error.message)
    elif rule in ("type", "disallow"):
        yield Violation("wrong_type", path, error.message)
    else:
        yield Violation("out_of_range", path, error.message)


def _closest(errors: Sequence[ValidationError]) -> list[ValidationError]:
    """The errors of the alternative that has the fewest, one of the wrong type coming last."""
    branches: dict[Any, list[ValidationError]] = {}
    for error in errors:  # an alternative that is just `false` has no path
        branches.setdefault(next(iter(error.schema_path), None), []).append(error)
    return min(
        branches.values(),
        key=lambda branch: (any(e.validator == "type" and not e.path for e in branch), len(branch)),
    )


def _missing_names(error: ValidationError) -> list[str]:
    """The names that a mapping lacks; `jsonschema` gives one error for each, but not the name."""
    rule: Any = error.validator_value
    instance: Any = error.instance
    names: list[Any] = rule if isinstance(rule, list) else []
    if isinstance(rule, Mapping):  # what depends on a name that is there
        needs = [rule[name] for name in rule if name in instance]
        names = [name for need in needs for name in (need if isinstance(need, list) else [need])]
    return [str(name) for name in names if name not in instance]


def _unexpected_names(error: ValidationError) -> list[str]:
    """The names that stand in a mapping and not in its schema."""
    if error.validator != "additionalProperties":
        return []
    schema: Any = error.schema
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    instance: Any = error.instance
    return [
        name
        for name in instance
        if name not in known and not any(re.search(pattern, name) for pattern in patterns)
    ]


def _path(error: ValidationError) -> str:
    path = ""
    for step in error.absolute_path:
        path = items(path) if isinstance(step, int) else _named(path, step)
    return path


def _named(path: str, name: object) -> str:
    return path if name == "" else below(path, str(name))
