"""Where a score is going: improving, plateaued, declining, or too noisy to tell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lightning_vlmeval.analysis.influence import student
from lightning_vlmeval.analysis.loss_curve import noise
from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.table import Floats

TrendState = Literal["improving", "plateaued", "declining", "unclear"]

# What mild resemblance of successive errors adds to the noise.
_RESEMBLANCE = 1.3


@dataclass(frozen=True)
class Trend:
    """Where a score is going.

    Args:
        state: "improving", "plateaued", "declining", or "unclear".
        change: What the fitted line gains over the window, in the score's own unit; NaN for too few
            evaluations.
        low: The lower end of its 95 % confidence interval.
        high: The upper end.
        reason: One sentence with the numbers.
    """

    state: TrendState
    change: float
    low: float
    high: float
    reason: str


def trend(
    values: Sequence[float],
    steps: Sequence[float] | None = None,
    *,
    min_delta: float = 0.01,
    higher_is_better: bool = True,
    window: int = 5,
) -> Trend:
    """The trend of a score over its last evaluations.

    The change is that of the least-squares line through the last `window` values, from the first of
    them to the last. Its standard error comes from the noise of the whole history (the median
    absolute second difference, which a steep start does not move), times 1.3 for errors that mildly
    resemble each other. Its interval is Student's with n - 3 degrees of freedom, at least 2.

    - "improving": the interval is above 0, and the change is at least `min_delta` / 2;
    - "declining": the same downwards;
    - "plateaued": the interval is within +-`min_delta`; or the change is, and no value of the window
      exceeds the best before it by more than `min_delta`;
    - "unclear": otherwise.

    | values | trend |
    |---|---|
    | `window` or fewer | unclear, NaN |
    | one that is NaN (undefined) | left out, with its step |

    Args:
        values: The score at each evaluation.
        steps: The training step of each, where they are not evenly apart.
        min_delta: The smallest change that matters, in the score's unit.
        higher_is_better: Whether larger values are better.
        window: How many evaluations to look at.

    Raises:
        ConfigurationError: `min_delta` is not positive, or `window` is below 3.
        InputError: There is not one step for each value, or a value is infinite.

    Example:
        >>> found = trend([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
        >>> found.state, round(found.change, 3)
        ('improving', 0.4)
    """
    _check(values, steps, min_delta, window)
    y = np.asarray(values, float)
    known = ~np.isnan(y)
    t = np.arange(len(y), dtype=float) if steps is None else np.asarray(steps, float)
    y, t = y[known], t[known]
    if len(y) <= window:
        reason = f"{len(y)} evaluations, and a trend over {window} takes {window + 1} or more."
        return Trend("unclear", math.nan, math.nan, math.nan, reason)
    change, error = _change(y, t[-window:])
    half = student(0.95, max(2, len(y) - 3) + 1) * error
    better = 1 if higher_is_better else -1
    state = trend_state(better * y, better * change, half, min_delta, window)
    low, high = change - half, change + half
    reason = (
        f"{state.capitalize()}: {change:+.3g} [{low:.3g}, {high:.3g}] over the last {window} "
        "evaluations."
    )
    return Trend(state, change, low, high, reason)


def _check(
    values: Sequence[float], steps: Sequence[float] | None, min_delta: float, window: int
) -> None:
    """Raise unless the arguments can work."""
    if not (math.isfinite(min_delta) and min_delta > 0):
        raise ConfigurationError(f"Expected `min_delta` above 0, but got {min_delta!r}")
    if window < 3:
        raise ConfigurationError(f"Expected `window` of at least 3, but got {window!r}")
    if steps is not None and len(steps) != len(values):
        raise InputError(
            f"Expected one step for each value, but got {len(steps)} and {len(values)}"
        )
    if np.isinf(np.asarray(values, float)).any():
        raise InputError("Expected finite values or NaN, but got an infinite one")


def _change(y: Floats, t: Floats) -> tuple[float, float]:
    """The gain of the line through the last values, and its standard error."""
    last = y[-len(t) :]
    from_mean = t - t.mean()
    spread = float(from_mean @ from_mean)
    if spread == 0:  # evaluations of one step
        return _change(y, np.arange(len(t), dtype=float))
    span = float(t[-1] - t[0])
    error = _RESEMBLANCE * noise(y.tolist()) * abs(span) / math.sqrt(spread)
    return span * float(from_mean @ last) / spread, error


def trend_state(y: Floats, change: float, half: float, min_delta: float, window: int) -> TrendState:
    """The state of a change with its interval, where higher is better.

    Args:
        y: The values.
        change: What the line gains over the window.
        half: Half the width of its interval.
        min_delta: The smallest change that matters.
        window: How many of the last values the line is through.
    """
    if change - half > 0 and change >= min_delta / 2:
        return "improving"
    if change + half < 0 and change <= -min_delta / 2:
        return "declining"
    beaten = y[-window:].max() - y[:-window].max() > min_delta
    if abs(change) + half < min_delta or (abs(change) < min_delta and not beaten):
        return "plateaued"
    return "unclear"
