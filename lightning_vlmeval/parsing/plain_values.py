"""Values of any kind in JSON's terms, up to a depth and a number of values."""

import datetime
from collections.abc import Mapping
from typing import Any

from lightning_vlmeval.parsing.readers import Unreadable, check_digits, too_deep

_MAX_DEPTH = 100


def plain_value(value: Any, max_depth: int = _MAX_DEPTH, max_values: int | None = None) -> Any:
    """A value in JSON's terms: mappings with text keys, lists, text, numbers, booleans and null.

    Dates become ISO text and bytes text; sets and tuples become lists; a number of another library
    (an array's or a tensor's element) becomes Python's. What is left is its text.

    Args:
        value: What YAML, a user's function or a data set gave.
        max_depth: How deep mappings and lists may nest.
        max_values: How many values there may be; None for any number.

    Raises:
        Unreadable: It is beyond a limit, or holds an integer of more than 4,300 digits.

    Example:
        >>> import datetime
        >>> plain_value({1: (datetime.date(2024, 1, 2), None)})
        {'1': ['2024-01-02', None]}
    """
    return _Conversion(max_depth, max_values).plain(value, max_depth)


class _Conversion:
    """The conversion of one value, which counts what it meets."""

    def __init__(self, max_depth: int, max_values: int | None) -> None:
        self.max_depth, self.max_values = max_depth, max_values
        self.found = 0

    def plain(self, value: Any, depth: int) -> Any:
        """A part of the value that may be this deep."""
        self.found += 1
        if self.max_values is not None and self.found > self.max_values:
            raise Unreadable("too_long", f"more than {self.max_values} values")
        if isinstance(value, int) and not isinstance(value, bool):
            check_digits(value)
        if value is None or isinstance(value, (str, bool, int, float)):
            return value
        if isinstance(value, (Mapping, list, tuple, set, frozenset)):
            return self._container(value, depth)
        if hasattr(value, "tolist"):
            return self.plain(value.tolist(), depth)
        return _text(value)

    def _container(self, value: Any, depth: int) -> Any:
        if depth == 0:
            raise too_deep(self.max_depth)
        if isinstance(value, Mapping):
            return {self._key(key): self.plain(one, depth - 1) for key, one in value.items()}
        parts = [self.plain(one, depth - 1) for one in value]
        return parts if isinstance(value, (list, tuple)) else sorted(parts, key=repr)

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return key
        plain = self.plain(key, self.max_depth)
        if isinstance(plain, bool) or plain is None:
            return {True: "true", False: "false", None: "null"}[plain]
        return str(plain)


def _text(value: Any) -> str:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
