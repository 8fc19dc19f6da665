"""A box with its label, and what a model's answer said about boxes."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

Quad = tuple[float, float, float, float]
Size = tuple[float, float]


class Box(NamedTuple):
    """A rectangle in pixels of the original image, with the text that names it.

    Args:
        label: What the box holds; "" where nothing names it.
        xyxy: Left, top, right, bottom.

    Example:
        >>> Box("cat", (64, 48, 320, 240)).label
        'cat'
    """

    # A tuple, so that it may be in a batch: Lightning refuses to move frozen dataclasses.
    label: str
    xyxy: Quad


@dataclass(frozen=True)
class Parsed:
    """What a model's answer said about boxes: boxes, or "none", or nothing that can be read.

    Args:
        boxes: The boxes, in the order of the text, in pixels of the original image: corners sorted,
            clipped to the image, with an area.
        issues: How often each fault was met, by name; `BoxFormat.parse` lists them.
        said_none: The answer says that there is nothing to find, and gives no box.
        numbers: The four numbers of each box as they stand in the text, before any reading; boxes
            that were dropped as degenerate are among them. A test of coordinate spaces needs these.

    Example:
        >>> Parsed().ok, Parsed(said_none=True).ok
        (False, True)
    """

    boxes: list[Box] = field(default_factory=list)
    issues: Counter[str] = field(default_factory=Counter)
    said_none: bool = False
    numbers: list[Quad] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the answer gives a box or says that there is none; False is "unparsable"."""
        return bool(self.boxes) or self.said_none

    @property
    def dropped(self) -> int:
        """How many boxes the answer tried to give that are unusable: malformed or degenerate."""
        return self.issues["malformed"] + self.issues["degenerate"]
