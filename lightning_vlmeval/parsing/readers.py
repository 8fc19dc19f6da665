"""Strict readers of JSON, YAML and CSV: the whole text is one document of the format, or refused."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

# Python's own default: longer integers take quadratic time to convert, and some versions refuse.
_MAX_DIGITS = 4300

_MAX_MESSAGE = 200  # PyYAML quotes from the text

# A JSON string (even an unfinished one), or one bracket outside of any string.
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)

# What SafeLoader raises on bad text beside its own errors: `!!bool x` is a KeyError, `!!timestamp x`
# an AttributeError, 2024-13-01 a ValueError.
_YAML_ERRORS = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


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
        raise _too_deep(max_depth)
    duplicates = 0

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal duplicates
        mapping = dict(pairs)
        duplicates += len(pairs) - len(mapping)
        return mapping

    long = len(text) > _MAX_DIGITS  # the hook costs a call for each number
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
    if len(digits) > _MAX_DIGITS:
        raise Unreadable("too_long", f"an integer of {len(digits)} digits, more than {_MAX_DIGITS}")
    return int(digits)


def read_yaml(text: str, max_depth: int = 64, max_nodes: int = 100_000) -> Reading:
    """The YAML document that a text is, as PyYAML's SafeLoader reads it.

    That is YAML 1.1. What YAML 1.2 would read otherwise: `yes`, `no`, `on` and `off` are booleans,
    `010` is 8, `1:30` is 90, `2024-01-02` is a date, `<<` merges, and `1e3` is text. Aliases are
    followed, each counted with all that it stands for; one inside its own anchor is refused.

    Args:
        text: The whole answer: one document.
        max_depth: How deep mappings and lists may nest, through aliases too.
        max_nodes: How many values there may be, aliases written out.

    Raises:
        Unreadable: The text is not YAML, or beyond a limit.

    Example:
        >>> read_yaml("a: [1, yes]").value
        {'a': [1, True]}
    """
    try:
        loader = _BoundedLoader(text, max_depth, max_nodes)
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
    except Unreadable:
        raise
    except _YAML_ERRORS as error:
        raise Unreadable("other", " ".join(str(error).split()) or type(error).__name__) from None
    return Reading(value, loader.duplicate_keys)


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


def _too_deep(max_depth: int) -> Unreadable:
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


class _BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which stops at a depth and at a number of values.

    Both are counted with aliases written out: they cost nothing to load, but whoever walks the
    value afterwards pays for each.
    """

    def __init__(self, text: str, max_depth: int, max_nodes: int) -> None:
        super().__init__(text)
        self.duplicate_keys = 0
        self._max_depth, self._max_nodes = max_depth, max_nodes
        self._depth, self._nodes = 0, 0
        self._heights = [0]  # of the tallest child so far, for each open collection
        self._sizes: dict[int, tuple[int, int]] = {}  # number of values and height of a node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node, with its children."""
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise Unreadable("other", "an alias inside its own anchor")
            size, height = self._sizes[id(node)]
            self._count(size, height)
            return node
        inner = self.check_event(yaml.SequenceStartEvent, yaml.MappingStartEvent)
        before = self._nodes
        self._count(1, int(inner))
        self._depth += inner
        self._heights.append(0)
        node = super().compose_node(parent, index)
        height = self._heights.pop() + inner
        self._depth -= inner
        self._heights[-1] = max(self._heights[-1], height)
        self._sizes[id(node)] = (self._nodes - before, height)
        if isinstance(node, yaml.MappingNode):
            self.duplicate_keys += _repeated_keys(node)
        return node

    def _count(self, size: int, height: int) -> None:
        """Add nodes, or stop where there are too many or they reach too deep."""
        self._nodes += size
        self._heights[-1] = max(self._heights[-1], height)
        if self._depth + height > self._max_depth:
            raise _too_deep(self._max_depth)
        if self._nodes > self._max_nodes:
            raise Unreadable("too_long", f"more than {self._max_nodes} values")


def _bounded_int(loader: _BoundedLoader, node: yaml.ScalarNode) -> int:
    """An integer, unless its decimal form is too long; a hexadecimal one may write a longer one."""
    value = loader.construct_yaml_int(node) if len(node.value) <= _MAX_DIGITS else None
    if value is None or value.bit_length() > _MAX_DIGITS * 3.33:
        raise Unreadable("too_long", f"an integer of more than {_MAX_DIGITS} digits")
    return int(value)


_BoundedLoader.add_constructor("tag:yaml.org,2002:int", _bounded_int)


def _repeated_keys(node: yaml.MappingNode) -> int:
    """How many scalar keys of a mapping stand there a second time."""
    keys = Counter(
        (key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)
    )
    return sum(keys.values()) - len(keys)


def is_container(value: object) -> bool:
    """Whether a value can be the top of a structured answer: a mapping or a list.

    Args:
        value: A value that was read.
    """
    return isinstance(value, (Mapping, list))
