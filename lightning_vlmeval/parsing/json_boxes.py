"""Boxes as JSON objects: Qwen2.5-VL and later, Gemini, LFM2.5-VL, Kimi-VL and others."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_vlmeval.parsing.grammar import Item, Reading
from lightning_vlmeval.parsing.inline import InlineGrammar
from lightning_vlmeval.parsing.json_scan import JSONScan

# Other names that models use for the same things, whatever they were asked for.
_BOX_KEYS = ("bbox_2d", "box_2d", "bbox", "box", "bounding_box")
_LABEL_KEYS = ("label", "class", "category", "name", "object", "text_content", "description")


@dataclass(frozen=True)
class JSONGrammar:
    """One JSON object a box: ``[{"bbox_2d": [1, 2, 3, 4], "label": "cat"}, ...]``.

    The text need not be valid JSON. Every object with a box key counts, wherever it stands: in lists,
    nested objects, lines, prose or a fence; with single quotes, missing or trailing commas, extra
    keys. In a cut text an object counts when both its box and its label are complete. Where the text
    has no object at all, bare lists of four numbers are read as `InlineGrammar` does.

    Args:
        key: The key of the four numbers; or four keys, one for each number.
        label: The key of the label.
        label_first: The label is written before the box.
        number: The format of a number, as in a format string; "" for Python's own.
        fenced: A markdown fence is written around the list, and one object a line.
        wrapper: The key of an object around the list, "" for a bare list.

    Example:
        >>> grammar = JSONGrammar("box_2d")
        >>> grammar.write([Item("cat", (1, 2, 3, 4))])
        '[{"box_2d": [1, 2, 3, 4], "label": "cat"}]'
        >>> grammar.read("{'box_2d': [1, 2, 3, 4], 'label': 'a man's hat'} {'box_2d': [5").items
        [Item(label="a man's hat", numbers=(1.0, 2.0, 3.0, 4.0))]
    """

    key: str | tuple[str, str, str, str] = "bbox_2d"
    label: str = "label"
    label_first: bool = False
    number: str = ""
    fenced: bool = False
    wrapper: str = ""

    def read(self, text: str) -> Reading:
        """The complete boxes of a text.

        Args:
            text: An answer without reasoning blocks and end-of-text tokens.
        """
        if "{" not in text:
            return InlineGrammar().read(text)
        keys = {self.key} if isinstance(self.key, str) else set()
        corners = () if isinstance(self.key, str) else self.key
        scan = JSONScan(frozenset({*keys, *_BOX_KEYS}), corners, (self.label, *_LABEL_KEYS)).run(
            text
        )
        reading = Reading([Item(label, quad) for _, label, quads in scan.found for quad in quads])
        reading.issues.update(truncated=int(scan.unclosed), malformed=scan.num_malformed)
        reading.said_none = scan.said_none
        return reading

    def write(self, items: Sequence[Item]) -> str:
        """The text that `read` turns back into these items.

        Args:
            items: Labels and numbers.
        """
        rows = [self._row(*item) for item in items]
        if self.fenced:
            inner = "\n\t" + ",\n\t".join(rows) + "\n" if rows else ""
            return f"```json\n[{inner}]\n```"
        text = f"[{', '.join(rows)}]"
        return f"{{{json.dumps(self.wrapper)}: {text}}}" if self.wrapper else text

    def _row(self, label: str, numbers: Sequence[float]) -> str:
        """One object."""
        texts = [format(number, self.number) for number in numbers]
        if isinstance(self.key, str):
            fields = [f"{json.dumps(self.key)}: [{', '.join(texts)}]"]
        else:
            fields = [
                f"{json.dumps(key)}: {text}" for key, text in zip(self.key, texts, strict=True)
            ]
        if label:
            name = f"{json.dumps(self.label)}: {json.dumps(label, ensure_ascii=False)}"
            fields.insert(0 if self.label_first else len(fields), name)
        return f"{{{', '.join(fields)}}}"
