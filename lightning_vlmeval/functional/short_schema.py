"""The short form of a schema: a mapping from the names of fields to Python types."""

import types
from collections.abc import Mapping
from typing import Any, get_args

from lightning_vlmeval.errors import ConfigurationError

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


def is_short(schema: Any) -> bool:
    """Whether types stand in a schema: then it is the short form.

    Args:
        schema: A short form, or a JSON Schema.
    """
    if isinstance(schema, Mapping):
        return any(is_short(part) for part in schema.values())
    if isinstance(schema, (list, tuple)):
        return any(is_short(part) for part in schema)
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
