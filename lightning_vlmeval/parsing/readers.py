"""Strict readers of JSON and CSV: the whole text is one document of the format, or refused."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

MAX_DIGITS = 4300
"""The digits of the longest integer that is read: Python's own limit, beyond which it may refuse."""

_MAX_MESSAGE = 200  # PyYAML quotes from the text

# A JSON string (even an unfinished one), or one bracket outside of any string.
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)


class Unreadable(ValueError):
    """A text is not a document of its format.

    Args:
        cause: One of `lightning_vlmeval.parsing.payload.CAUSES`.
        message: What is wrong with it.
    """

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message[:_MAX_MESSAGE])
        self.cause = cause


@dataclass(frozen=True)
class Reading:
    """What a strict reader found.

    Args:
        value: The document.
        duplicate_keys: How many keys stood twice in one mapping; the last one counts.
        columns: The names in a CSV header.
    """

    value: Any
    duplicate_keys: int = 0
    columns: tuple[str, ...] = ()


def read_json(text: str, max_depth: int = 64) -> Reading:
    r"""The JSON document of RFC 8259 that a text is.

    Stricter than Python's `json`: no `NaN` or `Infinity`, which RFC 8259 lacks. Where the RFC leaves
    the choice to a reader: a byte order mark is refused, keys may repeat, an escaped lone surrogate
    (`"\ud800"`) is kept, a number beyond float64 is infinite, and an integer of more than 4,300
    digits or brackets deeper than `max_depth` are refused.

    Args:
        text: The whole answer.
        max_depth: How deep brackets may nest.

    Raises:
        Unreadable: The text is not JSON, or beyond a limit.

    Example:
        >>> read_json('{"a": [1, 2.5, null]}').value
        {'a': [1, 2.5, None]}
    """
    if _deeper_than(text, max_depth):
        raise too_deep(max_depth)
    duplicates = 0

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal duplicates
        mapping = dict(pairs)
        duplicates += len(pairs) - len(mapping)
        return mapping

    long = len(text) > MAX_DIGITS  # the hook costs a call for each number
    decoder = json.JSONDecoder(
        object_pairs_hook=members,
        parse_constant=_refuse_constant,
        parse_int=integer if long else None,
    )
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        cause = "other" if "{" in text or "[" in text else "prose"
        raise Unreadable(cause, str(error)) from None
    return Reading(value, duplicates)


def integer(digits: str) -> int:
    """The integer that decimal digits write.

    Args:
        digits: Digits with an optional sign.

    Raises:
        Unreadable: There are more than 4,300.
    """
    if len(digits) > MAX_DIGITS:
        raise Unreadable("too_long", f"an integer of {len(digits)} digits, more than {MAX_DIGITS}")
    return int(digits)


def check_digits(number: int) -> None:
    """Raise where an integer is too long to be written in decimal digits.

    Args:
        number: The integer.

    Raises:
        Unreadable: It has more than about 4,300.
    """
    if number.bit_length() > MAX_DIGITS * 3.33:
        raise Unreadable("too_long", f"an integer of more than {MAX_DIGITS} digits")


def read_csv(text: str, delimiter: str = ",", header: bool = True) -> Reading:
    r"""The table that a text is: a list of mappings under the header's names, or of lists without one.

    RFC 4180 quoting; at least two columns, as many in each row; blank lines only at either end.
    Every cell is text. A lone header line is a table without rows, unless a name in it holds white
    space: then it is a sentence with a comma.

    Args:
        text: The whole answer.
        delimiter: What stands between two cells.
        header: Whether the first row holds the names of the columns.

    Raises:
        Unreadable: The text is not such a table.

    Example:
        >>> read_csv("type,count\nscratch,2\n").value
        [{'type': 'scratch', 'count': '2'}]
    """
    if "\0" in text:
        raise Unreadable("other", "a NUL character")
    lines = io.StringIO(text.strip("\r\n"), newline="")
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        cause = "cut_off" if "unexpected end" in str(error) else "other"
        raise Unreadable(cause, str(error)) from None
    return table(rows, header)


def table(rows: list[list[str]], header: bool) -> Reading:
    """The rows of a table as mappings under its header's names, or as they are without a header.

    Args:
        rows: The cells.
        header: Whether the first row holds the names of the columns.

    Raises:
        Unreadable: The rows differ in length, or have fewer than two cells.
    """
    widths = {len(row) for row in rows}
    if widths == {1} or (
        header and len(rows) == 1 and any(len(name.split()) > 1 for name in rows[0])
    ):
        raise Unreadable("prose", "text without columns")
    if len(widths) != 1:
        raise Unreadable("ragged_rows", f"rows of {_listed(sorted(widths))} columns")
    if not header:
        return Reading(rows)
    names = rows[0]
    records = [dict(zip(names, row, strict=True)) for row in rows[1:]]
    return Reading(records, len(names) - len(set(names)), tuple(names))


def _listed(numbers: Iterable[int]) -> str:
    """Numbers as text: at most five, so that a message stays short."""
    texts = [str(number) for number in numbers]
    return ", ".join(texts[:5]) + (", ..." if len(texts) > 5 else "")


def _refuse_constant(name: str) -> NoReturn:
    raise Unreadable("nan_literal", f"{name} is not JSON")


def too_deep(max_depth: int) -> Unreadable:
    """The refusal of what nests too deep.

    Args:
        max_depth: How deep it may nest.
    """
    return Unreadable("too_deep", f"nested deeper than {max_depth}")


def _deeper_than(text: str, max_depth: int) -> bool:
    """Whether brackets outside of JSON strings nest deeper, in linear time and without recursion."""
    if text.count("[") + text.count("{") <= max_depth:
        return False
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
            if depth > max_depth:
                return True
        elif token in "]}":
            depth -= 1
    return False


def is_container(value: object) -> bool:
    """Whether a value can be the top of a structured answer: a mapping or a list.

    Args:
        value: A value that was read.
    """
    return isinstance(value, (Mapping, list))
