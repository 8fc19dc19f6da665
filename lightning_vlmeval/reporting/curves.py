"""A value over the evaluations, with its interval, as a picture in SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_vlmeval.reporting.markup import escaped

_WIDTH, _HEIGHT = 240, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 8, 22


@dataclass(frozen=True)
class Point:
    """A value at a step.

    Args:
        step: The step.
        value: The value.
        low: The lower end of its interval; NaN where it has none.
        high: The upper end.
    """

    step: float
    value: float
    low: float = math.nan
    high: float = math.nan


def curve(title: str, series: Sequence[tuple[str, Sequence[Point]]]) -> str:
    """A figure of lines and, where there are intervals, bands.

    Args:
        title: What it shows.
        series: The name and the points of each line; the second is dashed, the third dotted.

    Returns:
        HTML; empty where there is no finite value.
    """
    drawn = [
        (name, [point for point in points if math.isfinite(point.value)]) for name, points in series
    ]
    points = [point for _, line in drawn for point in line]
    if not points:
        return ""
    frame = _Frame(points)
    lines = "".join(frame.line(i, name, line) for i, (name, line) in enumerate(drawn) if line)
    last = ", ".join(f"{name} {line[-1].value:.3g}" for name, line in drawn if line)
    return (
        f'<figure class="chart"><figcaption>{escaped(title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escaped(title)}: last {escaped(last)}">{frame.axes()}{lines}</svg></figure>'
    )


def series_key(names: Sequence[str]) -> str:
    """Which line is whose.

    Args:
        names: The names, in the order of the lines.
    """
    line = '<svg viewBox="0 0 26 8" aria-hidden="true"><line x1="0" x2="26" y1="4" y2="4"/></svg>'
    shown = (
        f'<span class="series-{i % 3}">{line}{escaped(name)}</span>' for i, name in enumerate(names)
    )
    return f'<p class="key">{"".join(shown)}</p>'


class _Frame:
    """Where steps and values lie in the picture."""

    def __init__(self, points: Sequence[Point]) -> None:
        ends = [end for one in points for end in (one.value, one.low, one.high)]
        values = [end for end in ends if math.isfinite(end)]
        steps = [one.step for one in points]
        self._x0, self._x1 = min(steps), max(steps)
        low, high = min(values), max(values)
        room = 0.08 * (high - low) or 0.05
        self._y0 = max(0.0, low - room) if low >= 0 else low - room
        self._y1 = min(1.0, high + room) if low >= 0 and high <= 1 else high + room

    def _x(self, step: float) -> str:
        share = (step - self._x0) / (self._x1 - self._x0 or 1)
        return f"{_LEFT + share * (_WIDTH - _LEFT - _RIGHT):.1f}"

    def _y(self, value: float) -> str:
        share = (value - self._y0) / (self._y1 - self._y0)
        return f"{_TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    def axes(self) -> str:
        """Three lines across with their values, and the first and last step."""
        made = []
        for value in (self._y0, (self._y0 + self._y1) / 2, self._y1):
            y = self._y(value)
            made.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
                f'<text x="{_LEFT - 5}" y="{y}" dy="3" text-anchor="end">{value:.3g}</text>'
            )
        for step, anchor in dict.fromkeys(((self._x0, "start"), (self._x1, "end"))):
            made.append(
                f'<text x="{self._x(step)}" y="{_HEIGHT - 6}" text-anchor="{anchor}">'
                f"{step:g}</text>"
            )
        return "".join(made)

    def line(self, i: int, name: str, points: Sequence[Point]) -> str:
        """A line with its band and its points."""
        banded = [one for one in points if math.isfinite(one.low) and math.isfinite(one.high)]
        upper = [f"{self._x(one.step)},{self._y(one.high)}" for one in banded]
        lower = [f"{self._x(one.step)},{self._y(one.low)}" for one in reversed(banded)]
        band = f'<polygon class="band" points="{" ".join(upper + lower)}"/>' if banded else ""
        places = " ".join(f"{self._x(one.step)},{self._y(one.value)}" for one in points)
        dots = "".join(
            f'<circle cx="{self._x(one.step)}" cy="{self._y(one.value)}" r="2.4">'
            f"<title>{escaped(name)}, step {one.step:g}: {one.value:.4g}</title></circle>"
            for one in points
        )
        line = f'<polyline class="line" points="{places}"/>'
        return f'<g class="series-{i % 3}">{band}{line}{dots}</g>'
