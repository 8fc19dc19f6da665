"""Schema adherence: required fields, types, unexpected extras, and values out of range."""

import functools
import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import referencing.exceptions
import referencing.jsonschema
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import Draft202012Validator, extend, validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.comparators import frozen

KINDS = ("missing", "unexpected", "wrong_type", "out_of_range")
"""What can be wrong with a field."""

_MISSING = frozenset({"required", "dependentRequired", "dependencies", "minProperties"})
_UNEXPECTED = frozenset(
    {"additionalProperties", "unevaluatedProperties", "additionalItems", "unevaluatedItems"}
)
# Keywords that say nothing of a value alone, but show that a mapping is a JSON Schema.
_NOTES = {"$schema", "$id", "id", "$anchor", "$comment", "$defs", "definitions"}
_NOTES |= {"title", "description", "default", "examples"}
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_TYPES: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    list: {"type": "array"},
    dict: {"type": "object"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    object: {},
}


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
        return expand(self.schema) if _is_short(self.schema) else self.schema

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
        return [violation for error in errors for violation in _blame(error)]


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


def _is_short(schema: Any) -> bool:
    """Whether types stand in a schema: then it is the short form."""
    if isinstance(schema, Mapping):
        return any(_is_short(part) for part in schema.values())
    if isinstance(schema, (list, tuple)):
        return any(_is_short(part) for part in schema)
    return isinstance(schema, (type, types.UnionType, set, frozenset))


def expand(form: Any) -> dict[str, Any]:
    """The JSON Schema that a short form stands for.

    Args:
        form: A type, a mapping from names to short forms, a list of one, a tuple or a set.

    Raises:
        ConfigurationError: A part is none of these.

    Example:
        >>> expand({"tags": [str], "level?": {1, 2}})["properties"]
        {'tags': {'type': 'array', 'items': {'type': 'string'}}, 'level': {'enum': [1, 2]}}
    """
    if isinstance(form, Mapping):
        names = [str(name) for name in form]
        return {
            "type": "object",
            "properties": {str(n).removesuffix("?"): expand(part) for n, part in form.items()},
            "required": [name for name in names if not name.endswith("?")],
            "additionalProperties": False,
        }
    if isinstance(form, list) and len(form) == 1:
        return {"type": "array", "items": expand(form[0])}
    if isinstance(form, (tuple, types.UnionType)):
        parts = form if isinstance(form, tuple) else get_args(form)
        return {"anyOf": [expand(part) for part in parts]}
    if isinstance(form, (set, frozenset)):
        return {"enum": sorted(form, key=repr)}
    if isinstance(form, (type, types.NoneType)) and form in _TYPES:
        return _TYPES[form]
    raise ConfigurationError(
        "Expected a field of the short schema to be str, int, float, bool, list, dict, None, object, "
        f"a mapping, a list of one of these, a tuple or a set, but got {form!r}"
    )


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
    bounded: Any = extend(chosen, {"uniqueItems": _unique_items})  # type: ignore[no-untyped-call]
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


def _blame(error: ValidationError) -> Iterator[Violation]:
    """The violations behind one error of `jsonschema`."""
    rule, path = str(error.validator), _path(error)
    if rule in ("anyOf", "oneOf") and error.context:
        for inner in _closest(error.context):
            yield from _blame(inner)
    elif rule in _MISSING:
        for name in _missing_names(error) or [""]:
            yield Violation("missing", _below(path, name), error.message)
    elif rule in _UNEXPECTED or (rule == "items" and error.validator_value is False):
        for name in _unexpected_names(error) or [""]:
            yield Violation("unexpected", _below(path, name), error.message)
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
        path = f"{path}[]" if isinstance(step, int) and path else _below(path, step)
    return path


def _below(path: str, name: object) -> str:
    if name == "" or isinstance(name, int):
        return path
    return f"{path}.{name}" if path else str(name)
