"""One pass over text that resembles JSON, for the boxes of its objects.

`json` refuses what models write: cut answers, missing commas, single quotes, prose between objects.
Trying it on every pair of braces takes time quadratic in the length. This scan keeps a stack of the
objects and arrays that are open, and takes each token once.
"""

import json
import re
from collections.abc import Sequence

from lightning_vlmeval.parsing.box import Quad
from lightning_vlmeval.parsing.number_groups import NUMBER, NumberGroups

_OPEN = re.compile(r"[\[{]")
# A string ends at its quote or at the end of the line. In single quotes an apostrophe is a part of
# the text unless something follows that can follow a string. Every alternative matches as soon as
# its first character does, so that no text is looked at twice.
_TOKEN = re.compile(
    r'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*(?P<double>")?'
    r"|(?<!\w)'(?:[^'\\\n]+|\\[^\n]|'(?![^\S\n]*(?:[,:}\]\n]|$)))*(?P<single>')?"
    rf"|{NUMBER}|[^\W0-9]\w*|\S"
)
_NULLS = frozenset({"null", "None", "none", "NULL"})


class _Array:
    """An array that is open."""

    __slots__ = ("nested", "numbers", "owner", "pure")

    def __init__(self, owner: "_Object | None") -> None:
        self.owner = owner  # the object under whose box key it stands
        self.numbers: list[float] = []
        self.pure = True  # nothing but numbers and arrays
        self.nested = False  # it has arrays or objects in it

    def close(self) -> bool:
        """Give the owner what the array holds; True for an empty array without an owner."""
        empty = self.pure and not self.numbers and not self.nested
        if self.owner is None:
            return empty
        if self.pure and not self.nested and len(self.numbers) == 4:
            a, b, c, d = self.numbers
            self.owner.add((a, b, c, d))
        elif empty:
            self.owner.said_none = True
        elif self.numbers or not self.pure:
            self.owner.num_malformed += 1
        return False


class _Object:
    """An object that is open."""

    word: str | None = None  # the last string: a key, if a colon follows
    key: str | None = None  # the key whose value comes next
    label: str | None = None
    rank = -1  # which of the label keys gave the label
    num_malformed = 0
    said_none = False
    quads: list[Quad] | None = None
    corners: dict[str, float] | None = None

    def __init__(self, start: int) -> None:
        self.start = start

    def add(self, quad: Quad) -> None:
        """A box of the object."""
        if self.quads is None:
            self.quads = []
        self.quads.append(quad)

    def name(self, label: str, rank: int) -> None:
        """A label, and how good a key it stands under: the lowest rank is kept."""
        if self.label is None or rank < self.rank:
            self.label, self.rank = label, rank

    def set_corner(self, key: str, number: float) -> None:
        """A number of a box whose numbers stand under one key each."""
        if self.corners is None:
            self.corners = {}
        self.corners[key] = number

    def clear_key(self) -> None:
        """A value, or a comma, has come."""
        self.word = self.key = None


class JSONScan:
    """The boxes of the objects in a text.

    Args:
        box_keys: The keys under which a box may stand.
        corner_keys: Four keys that hold one number each, or none.
        label_keys: The keys under which a label may stand, the best first.

    Attributes:
        found: Of each object with boxes, where it begins, its label and its boxes.
        num_malformed: How many boxes are not four numbers.
        unclosed: The text ends inside an object or an array.
        said_none: There is no box, and a box that is null or an empty list.
    """

    def __init__(
        self, box_keys: frozenset[str], corner_keys: Sequence[str], label_keys: Sequence[str]
    ) -> None:
        self._box_keys = box_keys
        self._corner_keys = tuple(corner_keys)
        self._ranks = {key: rank for rank, key in reversed(list(enumerate(label_keys)))}
        self._stack: list[_Array | _Object] = []
        self._num_open = 0
        self._nulls = self._empty = self._labelled = False
        self.found: list[tuple[int, str, list[Quad]]] = []
        self.num_malformed = 0
        self.unclosed = False

    @property
    def said_none(self) -> bool:
        """Whether there is no box, and a box that is null or an empty list."""
        if self.found or self.num_malformed or self.unclosed:
            return False
        return self._nulls or (self._empty and not self._labelled)

    def run(self, text: str) -> "JSONScan":
        """Take the whole text.

        Args:
            text: Any text.
        """
        position = 0
        while opening := _OPEN.search(text, position):
            position = self._take_until_closed(text, opening.start())
        self.unclosed = bool(self._stack)
        for frame in self._stack:  # what the end of the text cut
            if isinstance(frame, _Object) and frame.label is not None and frame.quads:
                self.found.append((frame.start, frame.label, frame.quads))
        self.found.sort(key=lambda entry: entry[0])
        return self

    def _take_until_closed(self, text: str, start: int) -> int:
        """Take tokens from an opening bracket until it is closed, and return where that is."""
        stack = self._stack
        for token in _TOKEN.finditer(text, start):
            first = text[token.start()]
            if first in "\"'" and token.lastgroup is None and token.end() == len(text):
                break  # the end of the text cut this string
            if first == "{":
                self._open_object(token.start())
            elif first == "[":
                self._open_array()
            elif first == "}":
                self._close_object()
            elif first == "]":
                self._close_array()
            elif isinstance(stack[-1], _Array):
                self._add_to_array(stack[-1], token[0])
            else:
                self._add_to_object(stack[-1], token[0])
            if not stack and text[token.end() : token.end() + 1] not in {"{", "["}:
                return token.end()
        return len(text)

    def _open_object(self, start: int) -> None:
        parent = self._stack[-1] if self._stack else None
        if isinstance(parent, _Array):
            parent.nested = True
            parent.pure = parent.owner is None
        elif parent is not None and parent.key in self._box_keys:
            parent.num_malformed += 1
        self._stack.append(_Object(start))
        self._num_open += 1

    def _open_array(self) -> None:
        parent = self._stack[-1] if self._stack else None
        owner = None
        if isinstance(parent, _Array):
            parent.nested = True
            owner = parent.owner
        elif parent is not None and parent.key in self._box_keys:
            owner = parent
        self._stack.append(_Array(owner))

    def _close_array(self) -> None:
        """A stray bracket in an object is passed over: the object goes on."""
        array = self._stack[-1]
        if isinstance(array, _Array):
            self._empty |= array.close()
            self._leave()

    def _close_object(self) -> None:
        """Arrays that are still open in the object end with it; a stray brace is passed over."""
        if not self._num_open:
            return
        while isinstance(closed := self._stack[-1], _Array):
            self._close_array()
        self._leave()
        self._num_open -= 1
        if closed.corners is not None:
            self._read_corners(closed, closed.corners)
        self.num_malformed += closed.num_malformed
        self._nulls |= closed.said_none
        self._labelled |= closed.label is not None
        if closed.quads:
            self.found.append((closed.start, closed.label or "", closed.quads))

    def _leave(self) -> None:
        """Take the innermost frame off: the value that its parent was waiting for is complete."""
        self._stack.pop()
        if self._stack and isinstance(parent := self._stack[-1], _Object):
            parent.clear_key()

    def _read_corners(self, closed: _Object, corners: dict[str, float]) -> None:
        """A box whose numbers stand under one key each."""
        if len(corners) == 4:
            a, b, c, d = (corners[key] for key in self._corner_keys)
            closed.add((a, b, c, d))
        else:
            closed.num_malformed += 1

    def _add_to_array(self, array: _Array, token: str) -> None:
        """A number, or anything else, in an array."""
        if token == ",":
            return
        number = _number(_string(token) if token[0] in "\"'" else token)
        if number is None:
            array.pure = False
        else:
            array.numbers.append(number)

    def _add_to_object(self, frame: _Object, token: str) -> None:
        """A key, a colon, a value or anything else in an object."""
        if token == ",":
            frame.clear_key()
        elif token == ":":
            frame.key, frame.word = frame.word, None
        elif token[0] in "\"'" or token[0].isalnum() or len(token) > 1:
            value = _string(token) if token[0] in "\"'" else token
            if frame.key is None:
                frame.word = value
            else:
                self._set(frame, frame.key, value, quoted=token[0] in "\"'")
                frame.clear_key()

    def _set(self, frame: _Object, key: str, value: str, quoted: bool) -> None:
        """A key with a value that is no array and no object."""
        if key in self._box_keys:
            self._set_box(frame, value)
        elif key in self._corner_keys:
            number = _number(value)
            if number is not None:
                frame.set_corner(key, number)
        elif key in self._ranks and (quoted or value not in _NULLS):
            frame.name(value, self._ranks[key])

    @staticmethod
    def _set_box(frame: _Object, value: str) -> None:
        """A box given as null, or as a text with a list in it."""
        if value in _NULLS:
            frame.said_none = True
            return
        groups = NumberGroups.of(value if value[:1] in "[(" else f"[{value}]")
        for group in groups.quads:
            frame.add(group.numbers)
        if groups.malformed or groups.unclosed or groups.dangling or not groups.quads:
            frame.num_malformed += 1


def _number(token: str) -> float | None:
    """The number that a token writes, or None."""
    try:
        return float(token)
    except ValueError:
        return None


def _string(token: str) -> str:
    """The text between the quotes of a string, which may lack the second."""
    inner = token[1:-1] if len(token) > 1 and token[-1] == token[0] else token[1:]
    if "\\" not in inner:
        return inner
    if token[0] == "'":
        return inner.replace("\\'", "'").replace('\\"', '"').replace("\\\\", "\\")
    try:
        return str(json.loads(f'"{inner}"', strict=False)).encode("utf-8", "replace").decode()
    except ValueError:
        return inner
