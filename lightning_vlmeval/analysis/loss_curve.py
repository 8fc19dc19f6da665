"""What the overfitting rule reads from the curves of the validation and the training loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# A curve without noise would make every wobble significant.
_LEAST_NOISE = 1e-4

# How far above its lowest a training loss has certainly risen.
_RISEN = math.log1p(0.05)


@dataclass(frozen=True)
class LossCurve:
    """Two loss curves read at their last evaluation; losses are logarithms.

    Args:
        val: The validation loss of each evaluation.
        best: The position of the lowest of them.
        level: The median of those around the best, which one lucky evaluation does not move.
        now: The median of the last three after the best.
        noise: The validation loss' standard deviation from one evaluation to the next.
        train_level: The median of the training losses around the best.
        train_now: The median of the last three after the best.
        train_low: The lowest median of three training losses in a row.
        train_noise: The training loss' standard deviation.
    """

    val: tuple[float, ...]
    best: int
    level: float
    now: float
    noise: float
    train_level: float
    train_now: float
    train_low: float
    train_noise: float

    @classmethod
    def read(cls, val_losses: Sequence[float], train_losses: Sequence[float]) -> "LossCurve":
        """Read the curves of at least one evaluation.

        Args:
            val_losses: Positive and finite.
            train_losses: The same, one for each evaluation.
        """
        val = [math.log(loss) for loss in val_losses]
        train = [math.log(loss) for loss in train_losses]
        n = len(val)
        best = min(range(n), key=val.__getitem__)
        last = max(1, min(3, n - 1 - best))
        return cls(
            val=tuple(val),
            best=best,
            level=_level(val, best),
            now=median(val[-last:]),
            noise=noise(val, _LEAST_NOISE),
            train_level=_level(train, best),
            train_now=median(train[-last:]),
            train_low=min(median(train[max(0, i - 2) : i + 1]) for i in range(n)),
            train_noise=noise(train, _LEAST_NOISE),
        )

    @property
    def since(self) -> int:
        """The evaluations after the best."""
        return len(self.val) - 1 - self.best

    @property
    def rise(self) -> float:
        """How far the last losses lie above the best level; at least 0."""
        return max(0.0, self.now - self.level) if self.since else 0.0

    @property
    def rising(self) -> bool:
        """Whether the last validation loss is higher than the one before."""
        return len(self.val) > 1 and self.val[-1] > self.val[-2]

    def above(self, evaluations: int, margin: float) -> bool:
        """Whether the last evaluations all come after the best and exceed its level.

        Args:
            evaluations: How many.
            margin: By how much.
        """
        return self.since >= evaluations and min(self.val[-evaluations:]) - self.level > margin

    def train_fell(self, tolerance: float) -> bool:
        """Whether the training loss is lower than around the best, and about at its lowest.

        Args:
            tolerance: How far above its lowest it may be.
        """
        return self.train_now < self.train_level and self._above_low < self._slack(tolerance)

    def train_rose(self, tolerance: float) -> bool:
        """Whether the training loss stands clearly above its lowest.

        Args:
            tolerance: As in `train_fell`.
        """
        return self._above_low > max(_RISEN, 1.5 * self._slack(tolerance))

    @property
    def _above_low(self) -> float:
        return self.train_now - self.train_low

    def _slack(self, tolerance: float) -> float:
        """The tolerance, but at least what the training loss' own noise asks for."""
        return tolerance if math.isnan(self.train_noise) else max(tolerance, 2 * self.train_noise)


def noise(values: Sequence[float], least: float = 0.0) -> float:
    """The standard deviation from one value to the next, robust to a trend and to outliers.

    It is 1.4826 / sqrt(6) times the median absolute second difference: a second difference of
    independent values has six times their variance, a straight line adds nothing to it, and 1.4826
    turns a median of absolute values into a standard deviation. Noise whose successive values
    resemble each other is understated.

    Args:
        values: In their order.
        least: What it is at least.

    Returns:
        NaN for fewer than four values.

    Example:
        >>> round(noise([0.0, 0.1, 0.0, 0.1, 0.0]), 4)  # second differences of 0.2
        0.1211
    """
    bends = [abs(c - 2 * b + a) for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    if len(bends) < 2:
        return math.nan
    return max(least, 1.4826 / math.sqrt(6) * median(bends))


def _level(values: Sequence[float], best: int) -> float:
    """The median of the values around the best; the first value where that is the best."""
    return median(values[best - 1 : best + 2]) if best else values[0]
