"""Boxes as two cells of a grid: Kosmos-2."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_vlmeval.parsing.box import Quad
from lightning_vlmeval.parsing.grammar import Item, Reading, by_label
from lightning_vlmeval.parsing.tagged import Tags

_TAGS = Tags(("<phrase>", "</phrase>"), ("<object>", "</object>"))
_DELIMITER = "</delimiter_of_multi_objects/>"
_CELL = re.compile(r"<patch_index_([0-9]{1,9})>")
# Fractions of the image times the side are whole only up to the rounding of floats.
_DIGITS = 9


@dataclass(frozen=True)
class PatchGrammar:
    """The upper left and the lower right cell of a box, in rows of a square grid.

    ``<phrase> a cat</phrase><object><patch_index_0044><patch_index_0863></object>``. The numbers of a
    box are in units of cells: from centre to centre of the two cells, or, where they share a row or
    a column, the whole cells. Written are the cells that hold the corners.

    Args:
        side: The number of cells in a row and in a column.

    Example:
        >>> grammar = PatchGrammar()
        >>> grammar.write([Item("a cat", (2.5, 1.5, 30.5, 26.5))])
        '<phrase> a cat</phrase><object><patch_index_0034><patch_index_0862></object>'
        >>> grammar.read("<object><patch_index_0034><patch_index_0862></object>").items[0].numbers
        (2.5, 1.5, 30.5, 26.5)
    """

    side: int = 32

    def read(self, text: str) -> Reading:
        """The complete boxes of a text.

        Args:
            text: An answer without reasoning blocks and end-of-text tokens.
        """
        reading = Reading()
        for label, body, ending in _TAGS.spans(text):
            parts = body.split(_DELIMITER)
            if ending == "cut":
                reading.issues["truncated"] += 1
                if len(_CELL.findall(parts[-1])) < 2:
                    parts.pop()
            for part in parts:
                cells = [int(cell) for cell in _CELL.findall(part)]
                if len(cells) == 2 and max(cells) < self.side**2:
                    corners = self._corners(cells[0], cells[1], reading)
                    reading.items.append(Item(label, corners))
                else:
                    reading.issues["malformed"] += 1
        return reading

    def _corners(self, first: int, last: int, reading: Reading) -> Quad:
        """The corners of two cells, in units of cells."""
        (top, left), (bottom, right) = divmod(first, self.side), divmod(last, self.side)
        if bottom < top or right < left:
            reading.issues["inverted"] += 1
            left, right = sorted((left, right))
            top, bottom = sorted((top, bottom))
        if left == right or top == bottom:
            return left, top, right + 1, bottom + 1
        return left + 0.5, top + 0.5, right + 0.5, bottom + 0.5

    def write(self, items: Sequence[Item]) -> str:
        """The text that `read` turns back into these items, moved to the grid.

        Args:
            items: Labels and numbers.
        """
        texts = []
        for label, quads in by_label(items):
            phrase = f"<phrase> {label}</phrase>" if label else ""
            texts.append(f"{phrase}<object>{_DELIMITER.join(map(self._cells, quads))}</object>")
        return "".join(texts) if texts else "None"

    def _cells(self, quad: Quad) -> str:
        """The cells that hold the corners of a box."""
        left, top = (min(math.floor(round(v, _DIGITS)), self.side - 1) for v in quad[:2])
        right, bottom = (math.ceil(round(v, _DIGITS)) - 1 for v in quad[2:])
        first = top * self.side + left
        last = max(bottom, top) * self.side + max(right, left)
        return f"<patch_index_{first:04d}><patch_index_{last:04d}>"
