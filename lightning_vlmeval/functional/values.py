"""When two values of JSON's types are the same: exactly, or to a reader."""

import json
import unicodedata
from typing import Any


def frozen(value: Any) -> Any:
    """A hashable form of a value of JSON's types, equal just where the values are.

    Args:
        value: A mapping, a list, a text, a number, a boolean or null.

    Example:
        >>> frozen([1, True]) == frozen([1.0, True]), frozen(1) == frozen(True)
        (True, False)
    """
    if isinstance(value, dict):
        return ("mapping", frozenset((key, frozen(one)) for key, one in value.items()))
    if isinstance(value, list):
        return ("list", tuple(frozen(one) for one in value))
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    return value


def folded(value: Any) -> str:
    """A value as text, case, white space and compatibility forms (NFKC) apart.

    Args:
        value: A text, or anything that JSON writes.

    Example:
        >>> folded(" Deep Scratch"), folded(True), folded(2.0)
        ('deep scratch', 'true', '2')
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
