"""Boxes as text: what a model wrote to boxes in the original image, and back."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_vlmeval.errors import ConfigurationError, InputError, InputTypeError
from lightning_vlmeval.parsing.answer import answer_of, says_none
from lightning_vlmeval.parsing.box import Box, Parsed, Quad, Size
from lightning_vlmeval.parsing.frames import Frame
from lightning_vlmeval.parsing.grammar import Grammar, Item


@dataclass(frozen=True)
class BoxFormat:
    """A way to write boxes as text: a grammar, and the coordinate space of its numbers.

    Training targets written by `render` and answers read by `parse` cannot drift apart: both use the
    same two parts. The coordinate space is never guessed from the numbers or from the truth.

    Args:
        name: What the format is called in messages and signatures.
        grammar: How labels and numbers are written.
        frame: What the numbers mean.

    Example:
        >>> from lightning_vlmeval.parsing import JSONGrammar
        >>> mine = BoxFormat("mine", JSONGrammar("box"), Frame(100, order="yxyx"))
        >>> mine.render([Box("cat", (64, 48, 320, 240))], size=(640, 480))
        '[{"box": [10, 10, 50, 50], "label": "cat"}]'
        >>> mine.parse('[{"box": [10, 10, 50, 50], "label": "cat"}, {"box": [1', size=(640, 480))
        Parsed(boxes=[Box(label='cat', xyxy=(64.0, 48.0, 320.0, 240.0))], \
issues=Counter({'truncated': 1}), said_none=False, numbers=[(10.0, 10.0, 50.0, 50.0)])
    """

    name: str
    grammar: Grammar
    frame: Frame

    @property
    def needs_fed_size(self) -> bool:
        """Whether `parse` and `render` need the size of the image that the model was fed."""
        return self.frame.needs_fed_size

    def parse(self, text: str, size: Size, fed_size: Size | None = None) -> Parsed:
        """The boxes of an answer, in pixels of the original image. Raises on no text.

        Reasoning blocks, markdown fences and the tokens around a text are passed over. Every box
        that is complete is recovered. What was met on the way is counted:

            issue       what was met                                     what becomes of it
            truncated   the text ends inside a box, a tag or reasoning   complete boxes are kept
            malformed   a box without exactly four finite numbers        that box is dropped
            degenerate  a box without an area in the image               that box is dropped
            inverted    right before left, or bottom above top           sorted
            clipped     a corner outside the image                       moved to the edge
            duplicate   a box with the label and corners of another      kept
            untagged    none of the tags that the format writes          read without them
            overlong    more than a million characters                   the rest is not read

        An answer without boxes says none (`said_none`) or is unparsable (not `ok`):

            answer                                                        state
            an empty list; null or "none" for a box; "There are no ..."   said none
            empty text in a format that writes no boxes so (PaliGemma)    said none
            any other empty text; other prose; reasoning without an end   unparsable
            nothing but malformed, degenerate or cut boxes                unparsable

        Args:
            text: What the model wrote, decoded with special tokens where the tags are such tokens.
            size: Width and height of the original image.
            fed_size: Width and height of the image that the model was fed, after the processor's
                resize; needed where `needs_fed_size`, and not looked at elsewhere.

        Raises:
            ConfigurationError: The format needs `fed_size` and did not get it.
            InputError: A size is not two positive numbers.
            InputTypeError: `text` is not a string.
        """
        if not isinstance(text, str):
            raise InputTypeError(f"Expected the answer as a string, but got {type(text).__name__}")
        size, fed_size = self._sizes(size, fed_size)
        answer = answer_of(text)
        reading = self.grammar.read(answer.text)
        issues = Counter(reading.issues)
        issues["truncated"] += answer.unfinished
        issues["overlong"] += answer.overlong
        boxes: list[Box] = []
        numbers: list[Quad] = []
        seen: set[Box] = set()
        for label, quad in reading.items:
            corners = self.frame.decode(quad, size, fed_size)
            if not all(map(math.isfinite, corners)):
                issues["malformed"] += 1
                continue
            numbers.append(quad)
            placed = self._placed(corners, size, issues)
            if placed is not None:
                box = Box(label, placed)
                if box in seen:
                    issues["duplicate"] += 1
                seen.add(box)
                boxes.append(box)
        broken = issues["truncated"] or issues["malformed"] or reading.items
        none = not broken and (reading.said_none or says_none(answer.text))
        return Parsed(boxes, +issues, none, numbers)

    def _placed(self, corners: Quad, size: Size, issues: Counter[str]) -> Quad | None:
        """The box sorted and clipped to the image; None where it has no area there."""
        x1, y1, x2, y2 = corners
        if x2 < x1 or y2 < y1:
            issues["inverted"] += 1
            x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
        slack = self.frame.slack(size)
        width, height = size
        if x1 < -slack or y1 < -slack or x2 > width + slack or y2 > height + slack:
            issues["clipped"] += 1
        x1, x2 = min(max(x1, 0.0), width), min(max(x2, 0.0), width)
        y1, y2 = min(max(y1, 0.0), height), min(max(y2, 0.0), height)
        if x1 == x2 or y1 == y2:
            issues["degenerate"] += 1
            return None
        return x1, y1, x2, y2

    def render(self, boxes: Iterable[Box], size: Size, fed_size: Size | None = None) -> str:
        """The text that a model of this family would write for boxes.

        `parse` gives the boxes back, moved by the format's rounding. Boxes that share a label stay
        apart where other boxes stand between them. A label must not hold the format's own marks.

        Args:
            boxes: Boxes in pixels of the original image; no boxes give the format's "none".
            size: Width and height of the original image.
            fed_size: Width and height of the image that the model is fed; see `parse`.

        Raises:
            ConfigurationError: The format needs `fed_size` and did not get it.
            InputError: A size is not two positive numbers, or a box is inverted or not finite.
        """
        size, fed_size = self._sizes(size, fed_size)
        return self.grammar.write(
            [Item(box.label, self.frame.encode(_corners(box), size, fed_size)) for box in boxes]
        )

    def ceiling(self, boxes: Sequence[Box], size: Size, fed_size: Size | None = None) -> float:
        """The mean IoU of boxes with themselves after a round trip: the most that rounding allows.

        Args:
            boxes: Boxes in pixels of the original image.
            size: Width and height of the original image.
            fed_size: See `parse`; here the size of the original image where it is not given.

        Returns:
            A value in [0, 1]; NaN for no boxes; a box without an area counts 0.

        Raises:
            InputError: A size is not two positive numbers, or a box is inverted or not finite.

        Example:
            Of 100 x 100 pixels written as 0-10, the corner at 13 moves to 10:

            >>> from lightning_vlmeval.parsing import JSONGrammar
            >>> BoxFormat("coarse", JSONGrammar(), Frame(10)).ceiling(
            ...     [Box("cat", (13, 0, 100, 100))], size=(100, 100)
            ... )
            0.966...
        """
        fed_size = fed_size or size
        total = 0.0
        for box in boxes:
            again = self.parse(self.render([box], size, fed_size), size, fed_size).boxes
            total += _iou(box.xyxy, again[0].xyxy) if again else 0.0
        return total / len(boxes) if boxes else math.nan

    def _sizes(self, size: Size, fed_size: Size | None) -> tuple[Size, Size | None]:
        """Both sizes, checked."""
        if self.needs_fed_size and fed_size is None:
            raise ConfigurationError(
                f"Box format {self.name!r} writes pixels of the image that the model was fed: "
                "expected `fed_size=(width, height)`, the size after the processor's resize, "
                "but got None. `fed_size_from_grid` gives it from `image_grid_thw`"
            )
        fed = None if fed_size is None else _checked_size("fed_size", fed_size)
        return _checked_size("size", size), fed


def fed_size_from_grid(grid_thw: Sequence[Any], patch_size: int = 14) -> tuple[int, int]:
    """Width and height of the image that a model of the Qwen-VL kind was fed.

    Its processor resizes an image to a whole number of patches and gives their count as
    `image_grid_thw`: frames, rows, columns. The patches of `image_grid_thw` are those before the
    merge, so its size plays no part.

    Args:
        grid_thw: One row of `image_grid_thw`: three numbers, as a list, an array or a tensor.
        patch_size: The side of a patch in pixels: 14 for Qwen2-VL and Qwen2.5-VL.

    Raises:
        InputError: It is not three positive whole numbers, or the patch size is not positive.

    Example:
        An image of 640 x 428 pixels is fed as 644 x 420:

        >>> fed_size_from_grid([1, 30, 46])
        (644, 420)
    """
    try:
        frames, rows, columns = (float(count) for count in grid_thw)
    except (TypeError, ValueError):
        frames = rows = columns = 0.0
    counts = (frames, rows, columns, float(patch_size))
    if not all(count >= 1 and count.is_integer() for count in counts):
        raise InputError(
            "Expected one row of `image_grid_thw`, (frames, rows, columns), and a positive "
            f"`patch_size`, but got {grid_thw!r} and {patch_size!r}"
        )
    return int(columns) * int(patch_size), int(rows) * int(patch_size)


def _checked_size(name: str, size: Size) -> Size:
    """Width and height as floats."""
    try:
        width, height = (float(side) for side in size)
    except (TypeError, ValueError):
        width = height = math.nan
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise InputError(f"Expected `{name}` as (width, height), both positive, but got {size!r}")
    return width, height


def _corners(box: Box) -> Quad:
    """The corners of a box that is to be written."""
    x1, y1, x2, y2 = box.xyxy
    if not (x1 <= x2 and y1 <= y2 and all(map(math.isfinite, box.xyxy))):
        raise InputError(
            f"Expected a box with finite corners, left <= right and top <= bottom, but got {box!r}"
        )
    return x1, y1, x2, y2


def _iou(first: Quad, second: Quad) -> float:
    """Intersection over union, where the second box has an area."""
    width = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return width * height / (areas - width * height)
