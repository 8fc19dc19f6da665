"""Two scores of different samples against each other: their difference with its interval."""

import math

from lightning_vlmeval.analysis.finding import Number
from lightning_vlmeval.analysis.intervals import Interval


def difference(a: Interval, b: Interval) -> Number:
    """The difference a - b of scores of different samples, with its interval.

    The distances of its ends come from those of both scores' ends, added like independent errors
    (Newcombe's hybrid method): where both are Wilson's it stays within [-1, 1] and has a width at 0
    and 1 too.

    Args:
        a: A score with its interval.
        b: Another, of samples that have nothing to do with those of `a`.

    Example:
        >>> print(difference(Interval(0.9, 0.8, 0.95, 50, 50), Interval(0.5, 0.4, 0.6, 50, 50)))
        0.4 [0.259, 0.512]
    """
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Number(value, low, high)


def quotient(a: Interval, b: Interval) -> Number:
    """The quotient a / b likewise, by the difference of their logarithms.

    Args:
        a: A positive score with its interval.
        b: Another, of samples that have nothing to do with those of `a`.

    Returns:
        With NaN for its ends where an interval reaches 0.

    Example:
        >>> print(quotient(Interval(1.5, 1.4, 1.6, 50, 50), Interval(1.0, 0.9, 1.1, 50, 50)))
        1.5 [1.33, 1.7]
    """
    if not min(a.low, b.low) > 0:
        return Number(a.value / b.value if b.value > 0 else math.nan)
    found = difference(_log(a), _log(b))
    return Number(*(math.exp(one) for one in (found.value, found.low, found.high)))


def _log(one: Interval) -> Interval:
    value, low, high = (math.log(end) for end in (one.value, one.low, one.high))
    return Interval(value, low, high, one.num_samples, one.num_clusters)
