"""Boxes between tags, ``<ref>cat</ref><box>...</box>``: Qwen-VL, InternVL, DeepSeek-VL2 and others."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lightning_vlmeval.parsing.grammar import Item, Reading, by_label
from lightning_vlmeval.parsing.json_boxes import JSONGrammar
from lightning_vlmeval.parsing.number_groups import NumberGroups

_EMPTY = frozenset({"", "none", "null", "nothing", "n/a"})
_EDGES = " \t\r\n[](){}<>.,"


class Span(NamedTuple):
    """What stands between the tags of a box.

    Args:
        label: The text of the last label before it.
        body: The text between the tags.
        ending: "closed" by its tag; "broken" by another tag; "cut" by the end of the text.
    """

    label: str
    body: str
    ending: str


@dataclass(frozen=True)
class Tags:
    """The marks around a label and around a box.

    Args:
        ref: Before and after a label.
        box: Before and after a box, or several boxes of one label.
    """

    ref: tuple[str, str] = ("<ref>", "</ref>")
    box: tuple[str, str] = ("<box>", "</box>")

    def spans(self, text: str) -> Iterator[Span]:
        """The boxes of a text, each with the label before it, in one pass.

        Args:
            text: Any text.
        """
        tags = sorted({*self.ref, *self.box}, key=len, reverse=True)
        label, start, inside, tagged = "", 0, "", False
        for tag in re.finditer("|".join(map(re.escape, tags)), text):
            tagged = True
            body, closes = text[start : tag.start()], tag[0] == self.box[1]
            # A prompt may end with the opening tag, so that the answer lacks it.
            if inside == "box" or (closes and re.search("[0-9]", body)):
                yield Span(label, body, "closed" if closes else "broken")
            elif inside == "ref":
                label = body.strip()
            inside = {self.ref[0]: "ref", self.box[0]: "box"}.get(tag[0], "")
            start = tag.end()
        if inside == "box":
            yield Span(label, text[start:], "cut")
        elif inside == "ref" or (tagged and self._ends_in_a_tag(text)):
            yield Span(label, "", "cut")

    def _ends_in_a_tag(self, text: str) -> bool:
        """Whether the end of the text cut an opening tag."""
        return any(
            text.endswith(tag[:length])
            for tag in (self.ref[0], self.box[0])
            for length in range(2, len(tag))
        )

    def completed(self, body: str) -> str:
        """The body of a box that the end of the text cut, with a bracket if its numbers are complete.

        They are when the cut is inside the closing tag; numbers in angle brackets also when there are
        four.

        Args:
            body: The text after the opening tag.
        """
        ending = next(
            (n for n in range(len(self.box[1]) - 1, 0, -1) if body.endswith(self.box[1][:n])), 0
        )
        body = body[: len(body) - ending]
        complete = body.count(">") == 4 if body.endswith(">") else ending > 0
        return body + "]" * complete


@dataclass(frozen=True)
class TaggedGrammar:
    """Labels and boxes between tags: ``<ref>cat</ref><box>[[1, 2, 3, 4]]</box>``.

    A box has the label before it; several boxes may follow one label. The numbers between the tags
    may be written with any brackets, commas or spaces. Where a text has no tag at all, for example
    because special tokens were dropped in decoding, it is read as `JSONGrammar` does.

    Args:
        tags: The marks around a label and around a box.
        quad: How four numbers are written: a format string with four fields.
        template: The brackets around the boxes inside the tags, with one field for them.
        joiner: What is written between two boxes inside the same tags; None gives each its own.
        before_box: What is written between the label and its first box.
        between: What is written between two boxes of one label that have their own tags.
        none: What is written for no boxes.
        optional: Text without tags is one of the format's own ways, and is not counted as untagged.

    Example:
        >>> grammar = TaggedGrammar()
        >>> grammar.write([Item("cat", (1, 2, 3, 4)), Item("cat", (5, 6, 7, 8))])
        '<ref>cat</ref><box>[[1, 2, 3, 4], [5, 6, 7, 8]]</box>'
        >>> grammar.read("<ref>cat</ref><box>(1,2),(3,4)</box>").items
        [Item(label='cat', numbers=(1.0, 2.0, 3.0, 4.0))]
    """

    tags: Tags = Tags()
    quad: str = "{}, {}, {}, {}"
    template: str = "[[{}]]"
    joiner: str | None = "], ["
    before_box: str = ""
    between: str = ""
    none: str = "None"
    optional: bool = False

    def read(self, text: str) -> Reading:
        """The complete boxes of a text.

        Args:
            text: An answer without reasoning blocks and end-of-text tokens.
        """
        reading = Reading()
        tagged = False
        for span in self.tags.spans(text):
            tagged = True
            self._read_span(span, reading)
        if tagged:
            return reading
        reading = JSONGrammar().read(text)
        if reading.items and not self.optional:
            reading.issues["untagged"] += 1
        return reading

    def _read_span(self, span: Span, reading: Reading) -> None:
        """The boxes between two tags."""
        body, cut = span.body, span.ending == "cut"
        if cut:
            reading.issues["truncated"] += 1
        if "{" in body and self.tags.box[0] != "{":
            inner = JSONGrammar().read(body)
            reading.items += [Item(label or span.label, numbers) for label, numbers in inner.items]
            unfinished = not cut and inner.issues["truncated"]
            reading.issues["malformed"] += inner.issues["malformed"] + unfinished
            reading.said_none |= inner.said_none
            return
        if body.strip(_EDGES).lower() in _EMPTY:
            reading.said_none |= span.ending == "closed"
            reading.issues["malformed"] += span.ending == "broken"
            return
        bare = "[" not in body and "(" not in body
        body = self.tags.completed(body) if cut else body + "]" * (span.ending == "closed")
        groups = NumberGroups.of("[" + body if bare else body)
        reading.items += [Item(span.label, group.numbers) for group in groups.quads]
        faults = groups.malformed + groups.spoiled
        if not cut:
            unfinished = groups.dangling or groups.unclosed
            faults += unfinished or not (groups.quads or faults)
        reading.issues["malformed"] += faults

    def write(self, items: Sequence[Item]) -> str:
        """The text that `read` turns back into these items.

        Args:
            items: Labels and numbers.
        """
        texts = []
        for label, quads in by_label(items):
            ref = f"{self.tags.ref[0]}{label}{self.tags.ref[1]}{self.before_box}" if label else ""
            boxes = [self.quad.format(*quad) for quad in quads]
            groups = boxes if self.joiner is None else [self.joiner.join(boxes)]
            texts.append(ref + self.between.join(map(self._tagged, groups)))
        return "".join(texts) if texts else self.none

    def _tagged(self, boxes: str) -> str:
        """Boxes inside one pair of tags."""
        return f"{self.tags.box[0]}{self.template.format(boxes)}{self.tags.box[1]}"
