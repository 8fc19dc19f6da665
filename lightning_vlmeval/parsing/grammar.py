"""What a grammar of boxes is: text to labelled numbers and back, without a coordinate space."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from lightning_vlmeval.parsing.box import Quad


class Item(NamedTuple):
    """A label ("" for none) and the four numbers that stand with it in the text."""

    label: str
    numbers: Quad


@dataclass
class Reading:
    """What a grammar found in a text.

    Args:
        items: The complete boxes, in the order of the text.
        issues: How often each fault was met, by name.
        said_none: The text has the grammar's own way to write "no boxes".
    """

    items: list[Item] = field(default_factory=list)
    issues: Counter[str] = field(default_factory=Counter)
    said_none: bool = False


class Grammar(Protocol):
    """How boxes are written. Any object with these two methods is a grammar."""

    def read(self, text: str) -> Reading:
        """The complete boxes of a text. Raises on no text, and takes time linear in its length.

        Args:
            text: An answer without reasoning blocks and end-of-text tokens.
        """
        ...

    def write(self, items: Sequence[Item]) -> str:
        """The text that `read` turns back into these items.

        Args:
            items: Labels and numbers.
        """
        ...


def by_label(items: Iterable[Item]) -> list[tuple[str, list[Quad]]]:
    """Each run of neighbours that share a label, with their numbers: order is kept.

    Args:
        items: Labels and numbers.

    Example:
        >>> by_label([Item("a", (1, 2, 3, 4)), Item("a", (5, 6, 7, 8)), Item("b", (0, 0, 1, 1))])
        [('a', [(1, 2, 3, 4), (5, 6, 7, 8)]), ('b', [(0, 0, 1, 1)])]
    """
    runs: list[tuple[str, list[Quad]]] = []
    for label, numbers in items:
        if not runs or runs[-1][0] != label:
            runs.append((label, []))
        runs[-1][1].append(numbers)
    return runs
