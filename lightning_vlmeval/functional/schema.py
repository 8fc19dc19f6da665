"""Schema adherence: required fields, types, unexpected extras, and values out of range."""

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import referencing.exceptions
import referencing.jsonschema
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import Draft202012Validator, extend, validator_for
from jsonschema_specifications import REGISTRY

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.short_schema import expand, is_short
from lightning_vlmeval.functional.values import frozen
from lightning_vlmeval.functional.violations import KINDS, Violation, violations_of

# Keywords that say nothing of a value alone, but show that a mapping is a JSON Schema.
_NOTES = {"$schema", "$id", "id", "$anchor", "$comment", "$defs", "definitions"}
_NOTES |= {"title", "description", "default", "examples"}
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


@dataclass(frozen=True)
class Schema:
    """What an answer must look like: a JSON Schema, or the short form, and required fields.

    The short form is a mapping from a field's name to its type, which may be nested: ``str``, ``int``,
    ``float`` (any number), ``bool``, ``list``, ``dict``, ``None``, ``object`` (anything), a mapping, a
    list with one element (a list of these), a tuple or a union (one of these), a set (one of these
    values). Every field is required, unless its name ends with "?"; no other field may be there.

    A JSON Schema may be of any draft that `jsonschema` supports (3, 4, 6, 7, 2019-09, 2020-12), named
    by ``$schema``, else 2020-12. ``format`` is a note, as the drafts have it. A ``$ref`` leads inside
    the schema or to a draft's own meta-schema; nothing is ever loaded from a file or a network.

    Args:
        schema: A JSON Schema, the short form, or None for no schema.
        required_fields: Names of fields that must be there, beside the schema's; a dotted name is a
            field of a field. In a list at the top, such as a CSV's rows, each item must have them.

    Raises:
        ConfigurationError: The schema is not valid, or refers outside of itself.

    Example:
        >>> schema = Schema({"defect_type": str, "count": int, "note?": str})
        >>> [(v.kind, v.path) for v in schema.violations({"count": "2", "kind": "scratch"})]
        [('missing', 'defect_type'), ('unexpected', 'kind'), ('wrong_type', 'count')]
    """

    schema: Any = None
    required_fields: Sequence[str] = ()

    def __post_init__(self) -> None:
        fields = self.required_fields
        if not isinstance(fields, (list, tuple)) or not all(isinstance(n, str) for n in fields):
            raise ConfigurationError(
                f"Expected `required_fields` to be a list of names, but got {fields!r}"
            )
        object.__setattr__(self, "required_fields", tuple(fields))
        if self.schema is not None:
            _validator(self.text)

    @functools.cached_property
    def plain(self) -> Any:
        """The JSON Schema, the short form expanded; None for none."""
        return expand(self.schema) if is_short(self.schema) else self.schema

    @functools.cached_property
    def text(self) -> str:
        """The JSON Schema as text, its keys sorted; "" for none."""
        if self.schema is None:
            return ""
        try:
            return json.dumps(self.plain, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"Expected `schema` to be a JSON Schema or a mapping from names to types, "
                f"but got {self.schema!r}: {error}"
            ) from None

    def violations(self, value: Any) -> list[Violation]:
        """The fields of a value that break the schema: missing, unexpected, wrong type, out of range.

        Of alternatives (`anyOf`, `oneOf`), the one that the value breaks least is blamed.

        Args:
            value: Of JSON's types.
        """
        found = [
            Violation("missing", path, f"{path!r} is a required field")
            for path in missing_fields(value, self.required_fields)
        ]
        first: dict[tuple[str, str], Violation] = {}
        for violation in found + self.broken(value):
            first.setdefault((violation.kind, violation.path), violation)
        return sorted(first.values(), key=lambda violation: KINDS.index(violation.kind))

    def broken(self, value: Any) -> list[Violation]:
        """The violations of the schema alone, as they are found: a field may come twice.

        Args:
            value: Of JSON's types.
        """
        if self.schema is None:
            return []
        try:
            errors = list(_validator(self.text).iter_errors(value))
        except (RecursionError, ArithmeticError) as error:
            # `multipleOf` on an integer beyond float64; a schema that refers to itself for ever.
            return [Violation("out_of_range", "", f"not checkable: {error}")]
        except (re.error, referencing.exceptions.Unresolvable) as error:
            raise ConfigurationError(
                f"Expected a `schema` that can be followed, but got {error}"
            ) from None
        return [violation for error in errors for violation in violations_of(error)]


def missing_fields(value: Any, fields: Sequence[str]) -> list[str]:
    """The required fields that a value lacks.

    Args:
        value: A mapping, or a list in which each item must have the fields.
        fields: Their names; a dotted one that is no field itself is looked up in steps.

    Example:
        >>> missing_fields({"a": {"b": 1}}, ["a.b", "a.c", "d"])
        ['a.c', 'd']
    """
    items = value if isinstance(value, list) and value else [value]
    return [name for name in fields if not all(_has(item, name) for item in items)]


def _has(value: Any, name: str) -> bool:
    if not isinstance(value, Mapping):
        return False
    if name in value:
        return True
    head, dot, tail = name.partition(".")
    return bool(dot) and _has(value.get(head), tail)


@functools.lru_cache(maxsize=64)
def _validator(text: str) -> Any:
    """The validator of a schema: compiled once, and with nothing to load from elsewhere."""
    schema = json.loads(text)
    named = schema.get("$schema") if isinstance(schema, dict) else None
    chosen: Any = validator_for(schema, default=Draft202012Validator)
    if named is not None and str(named).rstrip("#") != _dialect(chosen).rstrip("#"):
        raise ConfigurationError(
            "Expected `$schema` to name a draft of JSON Schema (3, 4, 6, 7, 2019-09, 2020-12), "
            f"but got {named!r}"
        )
    try:
        chosen.check_schema(schema)
    except SchemaError as error:
        raise ConfigurationError(
            f"Expected `schema` to be a valid JSON Schema, but {error.message} "
            f"(at {error.json_path})"
        ) from None
    if isinstance(schema, dict) and schema and not _NOTES.union(chosen.VALIDATORS) & schema.keys():
        raise ConfigurationError(
            "Expected `schema` to be a JSON Schema or a mapping from names to Python types, "
            f"but got a mapping with the keys {sorted(schema)} and no types"
        )
    _check_references(schema, _dialect(chosen))
    bounded: Any = extend(chosen, {"uniqueItems": _unique_items})  # type: ignore[no-untyped-call]  # jsonschema has none there
    return bounded(schema, registry=REGISTRY)


def _unique_items(
    validator: Any, unique: bool, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    """The rule `uniqueItems` in linear time; `jsonschema` compares each item with each other one."""
    repeated = isinstance(instance, list) and len({*map(frozen, instance)}) < len(instance)
    if unique and repeated:
        yield ValidationError("the items are not unique")


def _dialect(validator: Any) -> str:
    """The name of the draft that a validator is for."""
    return str(validator.META_SCHEMA["$schema"])


def _check_references(schema: Any, dialect: str) -> None:
    """Raise where a reference leads out of the schema."""
    root = referencing.jsonschema.specification_with(dialect).create_resource(schema)
    for resource, resolver in _resources(root, REGISTRY.resolver_with_root(root)):
        part = resource.contents if isinstance(resource.contents, Mapping) else {}
        for reference in (part.get(keyword) for keyword in _REFERENCES):
            if isinstance(reference, str):
                _check_reference(reference, resolver)


def _resources(resource: Any, resolver: Any) -> Iterator[tuple[Any, Any]]:
    """Each part of a schema that is a schema itself, with what its references start from."""
    yield resource, resolver
    try:
        parts = list(resource.subresources())
    except AttributeError:  # referencing 0.37 takes the names under `dependencies` for schemas
        return
    for inner in parts:
        if isinstance(inner.contents, Mapping):
            yield from _resources(inner, resolver.in_subresource(inner))


def _check_reference(reference: str, resolver: Any) -> None:
    try:
        resolver.lookup(reference)
    except referencing.exceptions.Unresolvable:
        raise ConfigurationError(
            f"Expected each `$ref` of the schema to lead inside of it, but got {reference!r}; "
            "nothing is loaded from a file or a network: put the definition under `$defs`"
        ) from None
