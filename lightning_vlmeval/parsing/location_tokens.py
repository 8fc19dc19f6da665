"""Boxes as runs of location tokens: PaliGemma, Florence-2."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lightning_vlmeval.parsing.grammar import Item, Reading, by_label

_TOKEN = re.compile(r"<loc_?(\d{1,9})>")
# A token that the end of the text cut.
_CUT = re.compile(r"<(?:l(?:o(?:c(?:_?\d{0,9})?)?)?|s(?:e(?:g(?:_?\d{0,9})?)?)?)?$")
_SEGMENT = re.compile(r"<seg_?\d+>")


class _Run(NamedTuple):
    """Location tokens with nothing but space between them."""

    numbers: list[float]
    start: int
    end: int


@dataclass(frozen=True)
class LocationTokenGrammar:
    """Four location tokens a box: ``<loc0256><loc0128><loc0768><loc0640> cat ; ...``.

    A run of tokens whose number is no multiple of four is malformed. Segmentation tokens beside the
    location tokens are passed over.

    Args:
        token: How a token is written, with one field for the number.
        label_after: The label follows its box (PaliGemma) rather than comes before it (Florence-2).
        separator: What is written between two boxes that follow each other.
        space: What is written between a box and the label after it.
        keep_first: Of a malformed run, keep the complete boxes that it begins with.
        none: What is written for no boxes.

    Example:
        >>> grammar = LocationTokenGrammar()
        >>> grammar.write([Item("cat", (256, 128, 768, 640))])
        '<loc0256><loc0128><loc0768><loc0640> cat'
        >>> grammar.read("<loc0256><loc0128><loc0768><loc0640> red, small cat").items[0].label
        'red, small cat'
    """

    token: str = "<loc{:04d}>"
    label_after: bool = True
    separator: str = " ; "
    space: str = " "
    keep_first: bool = False
    none: str = ""

    def read(self, text: str) -> Reading:
        """The complete boxes of a text.

        Args:
            text: An answer without reasoning blocks and end-of-text tokens.
        """
        reading = Reading()
        reading.said_none = not text.strip() and not self.none
        text = _SEGMENT.sub("", text)
        cut = _CUT.search(text, max(0, len(text) - 16))
        if cut:
            reading.issues["truncated"] += 1
            text = text[: cut.start()]
        runs = _runs(text)
        for position, run in enumerate(runs):
            last = position + 1 == len(runs)
            after = text[run.end : len(text) if last else runs[position + 1].start].strip()
            if self.label_after:
                label = re.split(r"[;\n]", after, maxsplit=1)[0].strip()
            else:
                label = text[runs[position - 1].end if position else 0 : run.start].strip()
            self._add(reading, run.numbers, label, cut=bool(cut) and last and not after)
        return reading

    def _add(self, reading: Reading, numbers: list[float], label: str, cut: bool) -> None:
        """Take the boxes of one run; the last run of a cut text may be short without fault."""
        complete = len(numbers) // 4 * 4
        if complete != len(numbers) and not cut:
            reading.issues["malformed"] += 1
            complete = complete if self.keep_first else 0
        for at in range(0, complete, 4):
            a, b, c, d = numbers[at : at + 4]
            reading.items.append(Item(label, (a, b, c, d)))

    def write(self, items: Sequence[Item]) -> str:
        """The text that `read` turns back into these items.

        Args:
            items: Labels and numbers.
        """
        if not items:
            return self.none
        if self.label_after:
            texts = [
                self._tokens(numbers) + self.space * bool(label) + label for label, numbers in items
            ]
            return self.separator.join(texts)
        return "".join(
            label + "".join(map(self._tokens, quads)) for label, quads in by_label(items)
        )

    def _tokens(self, numbers: Sequence[float]) -> str:
        return "".join(self.token.format(int(number)) for number in numbers)


def _runs(text: str) -> list[_Run]:
    """The runs of location tokens, in order."""
    runs: list[_Run] = []
    for token in _TOKEN.finditer(text):
        if runs and not text[runs[-1].end : token.start()].strip():
            runs[-1].numbers.append(float(token[1]))
            runs[-1] = runs[-1]._replace(end=token.end())
        else:
            runs.append(_Run([float(token[1])], token.start(), token.end()))
    return runs
