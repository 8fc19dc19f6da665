"""A lenient reader of JSON: what is complete in a broken answer, and what is broken about it.

Own code, not the package `json-repair` (0.64 was tried): that takes time quadratic in the length on a
repeated `["` (over 20 seconds for 40 kB), gives a key without a value an empty text and a cut `tru` the
text "tru", and changes with its releases, and the scores would with it. Here only what is complete
is kept, nothing is invented, and the time is linear in the length of the text.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lightning_vlmeval.parsing.readers import Unreadable, integer

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<mark>[{}\[\]:,])
    | (?P<text>"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*'|“[^”]*”)
    | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.+-]))
    | (?P<word>-?[A-Za-z_$][\w$-]*)
    )""",
    re.VERBOSE | re.DOTALL,
)
_OPENING = re.compile(r"[{\[]")
_BRACKET = re.compile(r"[{}\[\]]")
_UNFINISHED = re.compile(r"""\s*(?:["'“].*|[-+.\w]*)\Z""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)|\"", re.DOTALL)
_WRONG_ESCAPE = re.compile(r"\\(?!u[0-9a-fA-F]{4})([^\"\\/bfnrt])", re.DOTALL)

_WORDS: dict[str, tuple[Any, str]] = {
    "true": (True, ""),
    "false": (False, ""),
    "null": (None, ""),
    "True": (True, "other"),
    "False": (False, "other"),
    "None": (None, "other"),
    "NaN": (float("nan"), "nan_literal"),
    "nan": (float("nan"), "nan_literal"),
    "Infinity": (float("inf"), "nan_literal"),
    "-Infinity": (float("-inf"), "nan_literal"),
    "inf": (float("inf"), "nan_literal"),
    "-inf": (float("-inf"), "nan_literal"),
}


@dataclass(frozen=True)
class Found:
    """A value that was read leniently.

    Args:
        value: A mapping or a list.
        length: How many characters it takes in its text.
        causes: What is wrong with it or around it.
        duplicates: How many keys stood twice in one mapping.
    """

    value: Any
    length: int
    causes: set[str]
    duplicates: int


def longest_json(bodies: list[str], max_depth: int = 64) -> Found | None:
    """The longest JSON mapping or list in some texts, read leniently; None where there is none.

    Args:
        bodies: The texts.
        max_depth: How deep brackets may nest.

    Example:
        >>> longest_json(["Here: {'a': 1, 'b': [2, 3"]).value
        {'a': 1, 'b': [2]}
    """
    candidates = (found for body in bodies for found in _candidates(body, max_depth))
    return max(candidates, key=lambda found: found.length, default=None)


def _candidates(body: str, max_depth: int) -> Iterator[Found]:
    """Each readable value of a text, in linear time: no character is read by two scans.

    Where a scan fails after it read something, the whole bracket is passed over: a part of a broken
    answer is not the answer.
    """
    position = 0
    while opening := _OPENING.search(body, position):
        start = opening.start()
        scan = _Scan(max_depth)
        position = max(scan.run(body, start), start + 1)
        if not scan.done and scan.root:
            position = _behind(body, position, len(scan.open))
        elif scan.done:
            outside = body[:start].strip("\ufeff \t\r\n") or body[position:].strip()
            causes = scan.causes | ({"prose"} if outside else set())
            yield Found(scan.root, position - start, causes, scan.duplicates)


def _behind(body: str, position: int, depth: int) -> int:
    """Where the brackets that are open at a position are closed."""
    for match in _BRACKET.finditer(body, position):
        depth += 1 if match.group() in "{[" else -1
        if depth == 0:
            return match.end()
    return len(body)


@dataclass
class _Scan:
    """A lenient reader of one JSON value, without recursion."""

    max_depth: int
    root: Any = None
    done: bool = False
    causes: set[str] = field(default_factory=set)
    duplicates: int = 0
    expect: str = "value"  # value, key, colon or comma
    after_comma: bool = False
    open: list[Any] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)  # of each open mapping, its last key

    def run(self, text: str, position: int) -> int:
        """Read from a position; `done` says whether a value was read, up to the position returned."""
        while not self.done:
            match = _TOKEN.match(text, position)
            kind = match.lastgroup if match else None
            if match is None or kind is None or self._may_go_on(match, text):
                if match is None and not _UNFINISHED.match(text, position):
                    return position
                self._cut_off()
                return len(text)
            if not self._accept(kind, match.group(kind)):
                return match.start(kind)
            position = match.end()
        return position

    def _may_go_on(self, match: re.Match[str], text: str) -> bool:
        """Whether a token ends with the text, so that more of it may have been cut off."""
        if match.end() < len(text):
            return False
        return match.lastgroup == "number" or (
            match.lastgroup == "word" and match.group("word") not in _WORDS
        )

    def _accept(self, kind: str, token: str) -> bool:
        if self.expect == "comma" and (kind == "text" or token in "{["):
            self.causes.add("other")  # a comma is missing
            self.expect = "key" if isinstance(self.open[-1], dict) else "value"
        if kind == "mark":
            return self._mark(token)
        if self.expect == "key":
            return self._key(kind, token)
        return self.expect == "value" and self._scalar(kind, token)

    def _mark(self, token: str) -> bool:
        if token in "{[":
            return self._begin(token)
        if token in "}]":
            return self._end(token)
        if token == ":" and self.expect == "colon":
            self.expect = "value"
            self.after_comma = False
            return True
        if token == "," and self.expect == "comma":
            self.expect = "key" if isinstance(self.open[-1], dict) else "value"
            self.after_comma = True
            return True
        return False

    def _begin(self, token: str) -> bool:
        if self.expect != "value" or len(self.open) >= self.max_depth:
            return False
        value: Any = {} if token == "{" else []
        if self.open:
            self._put(value)
        else:
            self.root = value
        self.open.append(value)
        self.keys.append("")
        self.expect = "key" if token == "{" else "value"
        self.after_comma = False
        return True

    def _end(self, token: str) -> bool:
        mapping = isinstance(self.open[-1], dict)
        if (token == "}") != mapping or self.expect not in ("comma", "key" if mapping else "value"):
            return False
        if self.after_comma and self.expect != "comma":
            self.causes.add("trailing_comma")
        self._close()
        self.done = not self.open
        return True

    def _close(self) -> None:
        self.open.pop()
        self.keys.pop()
        self.expect, self.after_comma = "comma", False

    def _key(self, kind: str, token: str) -> bool:
        if kind == "number":
            return False
        if kind == "word":
            self.causes.add("quotes")
        self.keys[-1] = token if kind == "word" else self._text(token)
        self.expect, self.after_comma = "colon", False
        return True

    def _scalar(self, kind: str, token: str) -> bool:
        if kind == "text":
            value: Any = self._text(token)
        elif kind == "number":
            try:
                value = integer(token) if token.lstrip("-").isdigit() else float(token)
            except Unreadable:
                return False
        elif token in _WORDS:
            value, cause = _WORDS[token]
            self.causes.update({cause} if cause else ())
        else:
            return False
        self._put(value)
        self.expect, self.after_comma = "comma", False
        return True

    def _put(self, value: Any) -> None:
        container = self.open[-1]
        if isinstance(container, dict):
            self.duplicates += self.keys[-1] in container
            container[self.keys[-1]] = value
        else:
            container.append(value)

    def _text(self, token: str) -> str:
        if token[0] != '"':
            self.causes.add("quotes")
            token = f'"{_ESCAPE.sub(_double_quoted, token[1:-1])}"'
        try:
            return str(json.loads(token))
        except ValueError:
            self.causes.add("other")  # a line break or a wrong escape
        return str(json.loads(_WRONG_ESCAPE.sub(r"\1", token), strict=False))

    def _cut_off(self) -> None:
        """Close what is open, and drop what was opened and holds nothing yet."""
        self.causes.add("cut_off")
        while self.open:
            empty = not self.open[-1]
            self._close()
            if empty and self.open:
                self._drop_last()
        self.done = bool(self.root)

    def _drop_last(self) -> None:
        container = self.open[-1]
        if isinstance(container, dict):
            del container[self.keys[-1]]
        else:
            container.pop()


def _double_quoted(match: re.Match[str]) -> str:
    """A piece of a single-quoted text as JSON writes it."""
    if match.group() == '"':
        return '\\"'
    return "'" if match.group(1) == "'" else match.group()
