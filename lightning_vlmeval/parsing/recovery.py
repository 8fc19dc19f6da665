"""Lenient reading: the structured value inside an answer that is not, as a whole, a document."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lightning_vlmeval.parsing.loose_json import longest_json
from lightning_vlmeval.parsing.readers import Reading, Unreadable, is_container, table

_FENCE = re.compile(r"```[ \t]*[\w+-]*[ \t]*\r?\n?(.*?)(?:```|\Z)", re.DOTALL)

# Lines of block YAML: an item, a key with a colon, or more of the line above.
_YAML_LINE = re.compile(r"""\s*-(?:\s|$)|[ \t]+\S|["']?[\w$][^:#{}\[\]]{0,80}:(?:\s|$)""")


@dataclass(frozen=True)
class Recovery:
    """What could be read in an answer, and what had to be overlooked for it.

    Args:
        value: A mapping or a list.
        causes: What is wrong with the answer.
        duplicate_keys: How many keys stood twice in one mapping.
        columns: The names in a CSV header.
    """

    value: Any
    causes: frozenset[str]
    duplicate_keys: int = 0
    columns: tuple[str, ...] = ()


def fenced_blocks(text: str) -> list[str]:
    r"""What stands between Markdown fences, an unclosed last one too.

    Args:
        text: The whole answer.

    Example:
        >>> fenced_blocks("So:\n```json\n{}\n```")
        ['{}\n']
    """
    return [match.group(1) for match in _FENCE.finditer(text)] if "```" in text else []


def from_fences(text: str, read: Callable[[str], Reading]) -> Recovery | None:
    """The first fenced block that a strict reader accepts.

    Args:
        text: The whole answer.
        read: The reader; a block that it refuses with `Unreadable` is passed over.
    """
    for block in fenced_blocks(text):
        try:
            reading = read(block)
        except Unreadable:
            continue
        causes = {"fence"} | _outside_fences(text)
        return Recovery(reading.value, frozenset(causes), reading.duplicate_keys, reading.columns)
    return None


def _outside_fences(text: str) -> set[str]:
    return {"prose"} if _FENCE.sub("", text).strip("`\ufeff \t\r\n") else set()


def recover_json(text: str, max_depth: int = 64) -> Recovery | None:
    r"""The longest JSON mapping or list in a text, read leniently; None where there is none.

    Overlooked: fences, text around, a trailing comma, single or typographic quotes, keys without
    quotes, `NaN` and the like, a missing comma, Python's literals, line breaks and wrong escapes in
    a text, and the missing end of a cut answer: a member that may be incomplete (a text without its closing quote,
    a number at the very end, a key without a value) is dropped.

    Args:
        text: The whole answer.
        max_depth: How deep brackets may nest.

    Example:
        >>> recover_json("Here: {'a': 1, 'b': [2, 3").value
        {'a': 1, 'b': [2]}
    """
    blocks = fenced_blocks(text)
    found = longest_json(blocks, max_depth) if blocks else None
    if found:
        causes = {"fence"} | _outside_fences(text)
    else:
        found, causes = longest_json([text], max_depth), set()
    if not found:
        return None
    return Recovery(found.value, frozenset(causes | found.causes), found.duplicates)


def recover_yaml(text: str, read: Callable[[str], Reading], max_depth: int = 64) -> Recovery | None:
    """The YAML mapping or list in a text; None where there is none.

    Tried in turn: fenced blocks; JSON style, as `recover_json`; the lines from the first to the last
    that look like block YAML; the same without the last line (a cut answer); each paragraph.

    Args:
        text: The whole answer.
        read: The strict reader.
        max_depth: How deep mappings and lists may nest.
    """
    fenced = from_fences(text, lambda block: _container(read(block)))
    if fenced:
        return fenced
    blocks = fenced_blocks(text)
    causes = {"fence"} | _outside_fences(text) if blocks else set()
    for body in blocks or [text]:
        if body.lstrip()[:1] in ("{", "["):
            return recover_json(text, max_depth)
        for attempt, added in _yaml_attempts(body):
            try:
                reading = _container(read(attempt))
            except Unreadable:
                continue
            return Recovery(reading.value, frozenset(causes | added), reading.duplicate_keys)
    return None


def _yaml_attempts(body: str) -> Iterator[tuple[str, set[str]]]:
    """Parts of a text that may be YAML, each with the causes that taking it supposes."""
    lines = body.splitlines()
    like = [number for number, line in enumerate(lines) if _YAML_LINE.match(line)]
    if not like:
        return
    part = lines[like[0] : like[-1] + 1]
    around = {"prose"} if "".join(lines[: like[0]] + lines[like[-1] + 1 :]).strip() else set()
    if around:
        yield "\n".join(part), around
    if len(part) > 1:
        yield "\n".join(part[:-1]), around | {"cut_off"}
    for paragraph in sorted(re.split(r"\n\s*\n", body), key=len, reverse=True)[:8]:
        yield paragraph, {"prose"}


def _container(reading: Reading) -> Reading:
    if not is_container(reading.value):
        raise Unreadable("prose", "neither a mapping nor a list")
    return reading


def recover_csv(text: str, delimiter: str = ",", header: bool = True) -> Recovery | None:
    """The longest run of rows with as many columns, at least two; None where there is none.

    With a header, the run must have a row below it. A last row whose quotes are not closed is dropped.

    Args:
        text: The whole answer.
        delimiter: What stands between two cells.
        header: Whether the first row of the run holds the names of the columns.
    """
    blocks = fenced_blocks(text)
    body = max(blocks, key=len) if blocks else text
    causes = {"fence"} | _outside_fences(text) if blocks else set()
    try:
        rows, cut = _loose_rows(body.replace("\0", "").strip("\r\n"), delimiter)
    except csv.Error:
        return None
    start, end = _longest_run([len(row) for row in rows])
    if end - start < 1 + header:
        return None
    reading = table(rows[start:end], header)
    causes |= _around_table(rows[:start] + rows[end:]) | ({"cut_off"} if cut else set())
    return Recovery(reading.value, frozenset(causes), reading.duplicate_keys, reading.columns)


def _loose_rows(body: str, delimiter: str) -> tuple[list[list[str]], bool]:
    """The rows, quotes read leniently, and whether an unfinished last one was dropped."""
    rows: list[list[str]] = []
    try:
        rows.extend(csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        cut = "unexpected end" in str(error)
        if not cut:
            rows = list(csv.reader(io.StringIO(body, newline=""), delimiter=delimiter))
        return rows, cut
    return rows, False


def _longest_run(widths: list[int]) -> tuple[int, int]:
    """Start and end of the longest run of one width of at least two; the first of equals."""
    best, start = (0, 0), 0
    for position in range(1, len(widths) + 1):
        if position < len(widths) and widths[position] == widths[start]:
            continue
        if widths[start] >= 2 and position - start > best[1] - best[0]:
            best = (start, position)
        start = position
    return best


def _around_table(rows: list[list[str]]) -> set[str]:
    """What the rows outside of the table are: sentences, or rows of another length."""
    return {"prose" if _is_prose(row) else "ragged_rows" for row in rows if row}


def _is_prose(row: list[str]) -> bool:
    return len(row) == 1 and (len(row[0].split()) > 1 or row[0].strip()[-1:] in tuple(".:!?"))
