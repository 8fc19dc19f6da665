"""The coordinate space of the numbers in a text: numbers to pixels of the original image and back."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.parsing.box import Quad, Size

Order = Literal["xyxy", "yxyx", "xywh", "cxcywh"]


@dataclass(frozen=True)
class Frame:
    """What four numbers mean: their denominator, order, rounding and the image they refer to.

    Args:
        scale: What stands for the whole width and height: a number; or "pixels" of the image that
            the model was fed; or "original", pixels of the original image.
        order: "xyxy" and "yxyx" (two corners), "xywh" (corner and size), "cxcywh" (centre and size).
        bins: A number is the index of a bin: written rounded down, read as the bin's centre.
        square: The numbers refer to the image padded equally on both sides to a square.
        top: The largest number that is written, where that is less than `scale`.
        decimals: How many decimals are written; None writes numbers unrounded.
        unit: How many pixels one number stands for, where the numbers are pixels.

    Raises:
        ConfigurationError: An option has a value that cannot work.

    Example:
        >>> frame = Frame(1000, order="yxyx")
        >>> frame.encode((64, 48, 320, 240), size=(640, 480))
        (100, 100, 500, 500)
        >>> frame.decode((250, 0, 500, 1000), size=(640, 480))
        (0.0, 120.0, 640.0, 240.0)
    """

    scale: float | Literal["pixels", "original"] = 1000
    order: Order = "xyxy"
    bins: bool = False
    square: bool = False
    top: float | None = None
    decimals: int | None = 0
    unit: float = 1

    def __post_init__(self) -> None:
        if isinstance(self.scale, str):
            known = self.scale in {"pixels", "original"} and not self.square
        else:
            known = 0 < self.scale < math.inf
        if not known:
            raise ConfigurationError(
                'Expected `scale` to be a positive number, or "pixels" or "original" with '
                f"square=False, but got scale={self.scale!r}, square={self.square}"
            )
        if self.order not in get_args(Order):
            raise ConfigurationError(
                f"Expected `order` to be one of {', '.join(get_args(Order))}, but got {self.order!r}"
            )
        if not self.unit > 0 or (self.decimals is not None and self.decimals < 0):
            raise ConfigurationError(
                f"Expected `unit` above 0 and `decimals` from 0 or None, "
                f"but got unit={self.unit!r}, decimals={self.decimals!r}"
            )
        if self.scale == 1 and self.decimals == 0:
            raise ConfigurationError(
                "Expected `decimals` to be above 0 with scale=1, but got 0: fractions would be "
                "written as 0 or 1"
            )

    @property
    def needs_fed_size(self) -> bool:
        """Whether the numbers are pixels of the image that the model was fed."""
        return self.scale == "pixels"

    def decode(self, numbers: Quad, size: Size, fed_size: Size | None = None) -> Quad:
        """The corners in pixels of the original image, as the numbers say: neither sorted nor clipped.

        Args:
            numbers: Four numbers in this frame's order.
            size: Width and height of the original image.
            fed_size: Width and height of the image that the model was fed; only for pixels.
        """
        a, b, c, d = numbers
        if self.order == "yxyx":
            a, b, c, d = b, a, d, c
        elif self.order == "xywh":
            c, d = a + c, b + d
        elif self.order == "cxcywh":
            a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
        per_x, per_y = self._units(size, fed_size)
        width, height, pad_x, pad_y = self._canvas(size)
        offset = 0.5 if self.bins else 0.0
        return (
            (a + offset) * width / per_x - pad_x,
            (b + offset) * height / per_y - pad_y,
            (c + offset) * width / per_x - pad_x,
            (d + offset) * height / per_y - pad_y,
        )

    def encode(self, xyxy: Quad, size: Size, fed_size: Size | None = None) -> Quad:
        """The numbers for corners in pixels of the original image.

        Corners beyond the image are moved to its edge. A box narrower than one step of the rounding
        is written one step wide: without an area it could not be read back.

        Args:
            xyxy: Left, top, right, bottom.
            size: Width and height of the original image.
            fed_size: Width and height of the image that the model was fed; only for pixels.
        """
        width, height, pad_x, pad_y = self._canvas(size)
        per_x, per_y = self._units(size, fed_size)
        xs = [min(max(x, 0), size[0]) + pad_x for x in (xyxy[0], xyxy[2], size[0])]
        ys = [min(max(y, 0), size[1]) + pad_y for y in (xyxy[1], xyxy[3], size[1])]
        a, c = self._rounded([x / width * per_x for x in xs], per_x)
        b, d = self._rounded([y / height * per_y for y in ys], per_y)
        if self.order == "yxyx":
            return b, a, d, c
        if self.order == "xywh":
            return a, b, self._trimmed(c - a), self._trimmed(d - b)
        if self.order == "cxcywh":
            return (a + c) / 2, (b + d) / 2, self._trimmed(c - a), self._trimmed(d - b)
        return a, b, c, d

    def slack(self, size: Size) -> float:
        """How far beyond the image, in pixels, a box may reach by rounding alone.

        Padding lies beyond the image, so there a coordinate on the edge may round outwards.

        Args:
            size: Width and height of the original image.
        """
        noise = 1e-6 * max(size)
        if not self.square or self.decimals is None or isinstance(self.scale, str):
            return noise
        return noise + max(size) * 0.5 * 10.0**-self.decimals / self.scale

    def _units(self, size: Size, fed_size: Size | None) -> Size:
        """The numbers that stand for the whole width and the whole height."""
        if not isinstance(self.scale, str):
            return float(self.scale), float(self.scale)
        width, height = fed_size if self.scale == "pixels" and fed_size else size
        return width / self.unit, height / self.unit

    def _canvas(self, size: Size) -> tuple[float, float, float, float]:
        """Width and height of what the numbers refer to, and the padding left and above."""
        width, height = size
        if not self.square:
            return width, height, 0.0, 0.0
        side = max(width, height)
        return side, side, (side - width) / 2, (side - height) / 2

    def _rounded(self, ends: list[float], per: float) -> tuple[float, float]:
        """The two ends of a side as they are written, at least one step apart inside the image."""
        start, end, edge = ends
        if self.decimals is None:
            return start, end
        last = per - 1 if self.bins else per if self.top is None else self.top
        low, high = self._written(start, last), self._written(end, last)
        if low == high:
            step = 10.0**-self.decimals
            low, high = (low, high + step) if high + step <= min(last, edge) else (low - step, high)
        return self._trimmed(low), self._trimmed(high)

    def _written(self, value: float, last: float) -> float:
        """A number rounded as it is written, at most the last that can be written."""
        if self.decimals == 0:
            return min(math.floor(value) if self.bins else round(value), math.floor(last))
        return min(round(value, self.decimals), last)

    def _trimmed(self, value: float) -> float:
        """A number with no more decimals than are written, as an integer where there are none."""
        if self.decimals is None:
            return value
        return round(value, self.decimals) if self.decimals else round(value)
