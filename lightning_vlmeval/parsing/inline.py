"""Boxes as bracketed numbers in running text: Shikra, LLaVA, Ferret, CogVLM and others."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_vlmeval.parsing.grammar import Item, Reading, by_label
from lightning_vlmeval.parsing.number_groups import NumberGroups

# What may stand between a label and the brackets before and after it, and is no part of it.
_MARKS = " \t\r\n,:;.|\"'`*=-\u3002\uff1a\uff0c\u3001"
_BEFORE, _AFTER = _MARKS + "])}>", _MARKS + "[({<"
# Words before a box that name no object.
_LEAD_IN = re.compile(
    r"(?:the )?(?:final )?(?:answers?|bbox(?:es)?|b?box_2d|bounding box(?:es)?|coordinates?)"
    r"(?: (?:is|are))?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class InlineGrammar:
    """A label and its boxes in brackets: ``the man [201, 2, 940, 758] on a bench [12, 746, 664, 886]``.

    The label is the text between the box before and this one, from the last end of a sentence on.
    A box with no words before it has the label of the box before it. Square and round brackets are
    read alike, nested or not, with ``;`` between boxes of one bracket.

    Args:
        quad: How four numbers are written: a format string with four fields.
        template: The brackets around the boxes of one label, with one field for them.
        joiner: What is written between two boxes of one label.
        separator: What is written between two labels with their boxes.
        none: What is written for no boxes.

    Example:
        >>> grammar = InlineGrammar()
        >>> grammar.write([Item("cat", (1, 2, 3, 4)), Item("dog", (5, 6, 7, 8))])
        'cat [1, 2, 3, 4]. dog [5, 6, 7, 8]'
        >>> grammar.read("A cat (1, 2, 3, 4) sleeps.").items
        [Item(label='A cat', numbers=(1.0, 2.0, 3.0, 4.0))]
    """

    quad: str = "{}, {}, {}, {}"
    template: str = "[{}]"
    joiner: str = "] ["
    separator: str = ". "
    none: str = "[]"

    def read(self, text: str) -> Reading:
        """The complete boxes of a text.

        Args:
            text: An answer without reasoning blocks and end-of-text tokens.
        """
        groups = NumberGroups.of(text)
        reading = Reading()
        label, last = "", 0
        for group in groups.quads:
            gap = _bare(text[last : group.start])
            label = _label(gap) if gap else label
            last = group.end
            reading.items.append(Item(label, group.numbers))
        if groups.unclosed:
            reading.issues["truncated"] += 1
        reading.issues["malformed"] += groups.malformed + (groups.dangling and not groups.unclosed)
        reading.said_none = groups.empty
        return reading

    def write(self, items: Sequence[Item]) -> str:
        """The text that `read` turns back into these items.

        Args:
            items: Labels and numbers.
        """
        texts = []
        for label, quads in by_label(items):
            boxes = self.joiner.join(self.quad.format(*quad) for quad in quads)
            texts.append(label + " " * bool(label) + self.template.format(boxes))
        return self.separator.join(texts) if texts else self.none


def _bare(text: str) -> str:
    """A text without the marks around it."""
    return text.lstrip(_BEFORE).rstrip(_AFTER)


def _label(gap: str) -> str:
    """What names a box in the text before it."""
    sentence = _bare(re.split(r"\n|[.!?]\s", gap)[-1])
    if _LEAD_IN.match(sentence):
        return ""
    return re.sub(r"^answer:\s*", "", sentence, flags=re.IGNORECASE)
