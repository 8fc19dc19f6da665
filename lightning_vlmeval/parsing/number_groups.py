"""Groups of numbers in brackets: ``[a, b, c, d]``, ``(a, b), (c, d)``, ``[a, b, c, d; e, f, g, h]``."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from lightning_vlmeval.parsing.box import Quad

NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"

# Every alternative matches as soon as its first character does: no text is looked at twice. Commas,
# spaces and angle brackets are between tokens.
_TOKEN = re.compile(
    rf"(?P<number>{NUMBER})|(?P<open>[\[(])|(?P<close>[\])])|(?P<semicolon>;)"
    r"|(?P<words>[^\[\]();,\s<>0-9.+-]+|[.+-])"
)


class Group(NamedTuple):
    """Four numbers, and where in the text they stand with their brackets."""

    numbers: Quad
    start: int
    end: int


@dataclass
class NumberGroups:
    """The bracketed groups of numbers in a text.

    A group is an innermost pair of brackets with nothing but numbers in it. Two neighbouring groups
    of two numbers are one of four. Brackets with words in them, or with one number, are prose.

    Args:
        quads: The groups of four numbers.
        malformed: How many groups have another number of numbers.
        dangling: The text ends after a first pair of numbers without a second.
        spoiled: How many brackets have numbers and something else in them.
        unclosed: The text ends inside a group.
        empty: There is ``[]``.

    Example:
        >>> groups = NumberGroups.of("a [1, 2, 3, 4] (5,6),(7,8) [9, 9, 9] [1, 2")
        >>> [group.numbers for group in groups.quads], groups.malformed, groups.unclosed
        ([(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)], 1, True)
    """

    quads: list[Group] = field(default_factory=list)
    malformed: int = 0
    dangling: bool = False
    spoiled: int = 0
    unclosed: bool = False
    empty: bool = False

    _words: bool = False
    _start: int = 0
    _pair: tuple[float, float, int] | None = None

    @classmethod
    def of(cls, text: str) -> "NumberGroups":
        """The groups of a text, in one pass.

        Args:
            text: Any text.
        """
        groups = cls()
        numbers: list[float] | None = None  # of the innermost open bracket
        for token in _TOKEN.finditer(text):
            kind = token.lastgroup
            if kind == "number" and numbers is not None:
                numbers.append(float(token[0]))
            elif kind == "open":
                if numbers and not groups._words:  # numbers beside a bracket: [1, [2, 3, 4, 5]]
                    groups.malformed += 1
                numbers, groups._words, groups._start = [], False, token.start()
            elif kind == "words" or numbers is None:
                groups._words = True
                groups._lone_pair(kind)
            else:
                groups._finish(numbers, token)
                numbers = [] if kind == "semicolon" else None
                groups._words, groups._start = False, token.end()
        groups.unclosed = numbers is not None and not groups._words
        groups.dangling = groups._pair is not None
        return groups

    def _finish(self, numbers: list[float], token: re.Match[str]) -> None:
        """A group that has ended."""
        if self._words:
            self.spoiled += bool(numbers)
        elif len(numbers) == 2 and self._pair is not None:
            a, b, start = self._pair
            self.quads.append(Group((a, b, numbers[0], numbers[1]), start, token.end()))
            self._pair = None
        else:
            self._lone_pair()
            self._keep(numbers, token)

    def _keep(self, numbers: list[float], token: re.Match[str]) -> None:
        """A group of numbers only, without a pair before it."""
        self.empty |= not numbers and token[0] == "]"
        if len(numbers) == 2:
            self._pair = (numbers[0], numbers[1], self._start)
        elif len(numbers) == 4:
            a, b, c, d = numbers
            self.quads.append(Group((a, b, c, d), self._start, token.end()))
        else:
            self.malformed += len(numbers) > 1

    def _lone_pair(self, kind: str | None = None) -> None:
        """A pair that was not followed by another is a point, and no box."""
        if self._pair is not None and kind != "close":
            self.malformed += 1
            self._pair = None
