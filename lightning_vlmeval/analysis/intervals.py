"""Confidence intervals of every score, from the table that it was made of."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lightning_vlmeval.analysis.influence import (
    STILL,
    Statistics,
    check_level,
    cluster_names,
    cluster_rows,
    influences,
    standard_error,
    student,
)
from lightning_vlmeval.analysis.resampling import POISSON, resampled_sums
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Floats, Table

Method = Literal["delta", "bootstrap"]
Ends = tuple[float, float]

_UNKNOWN: Ends = (math.nan, math.nan)


@dataclass(frozen=True)
class Interval:
    """A score with its confidence interval.

    Args:
        value: The score of all samples.
        low: The lower end; NaN where the samples do not tell.
        high: The upper end; NaN likewise.
        num_samples: The samples.
        num_clusters: The independent ones among them: those of a group count once.
    """

    value: float
    low: float
    high: float
    num_samples: int
    num_clusters: int


def interval(
    scorer: Scorer,
    table: Table,
    *,
    level: float = 0.95,
    method: Method = "delta",
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """The confidence interval of each score but the counts.

    The samples of one group vary together, so it is the groups that count as drawn independently; a
    sample without a group is one of its own.

    "delta": the standard error comes from each cluster's influence on the score (see `influences`).
    A score in [0, 1] gets Wilson's interval at the effective sample size value (1 - value) /
    error^2, which stays in [0, 1] and has a width at 0 and 1 too; where all clusters are alike,
    that size is their number. An unbounded score gets value +- t error. Student's t has one degree
    of freedom less than there are clusters that have the score themselves: the mean IoU of matched
    boxes is as sure as the samples with a match are many.

    "bootstrap": the ends are percentiles of the score over resamples in which each cluster counts
    as often as a Poisson variable of mean 1 says. The variable hangs on the seed, the resample and
    the cluster's name alone: the order of the samples and the processes they were spread over do
    not matter. The interval has no width where all samples are alike, and is too narrow for few
    samples and near 0 or 1.

    | table | interval |
    |---|---|
    | no samples, or an undefined score | NaN to NaN |
    | one cluster, or one that has the score | 0 to 1; NaN to NaN if unbounded, or by bootstrap |
    | a score that is no function of the column sums | NaN to NaN |

    Args:
        scorer: The scorer that made the table.
        table: Each id once, as in `Table.canonical`.
        level: The share of such intervals that hold the true value.
        method: "delta" or "bootstrap".
        num_resamples: The bootstrap's resamples.
        seed: The bootstrap's seed.

    Returns:
        Each key but the scorer's counts, in the order of its keys.

    Raises:
        ConfigurationError: An option is out of range.

    Example:
        >>> from lightning_vlmeval.functional.scorer import ratio
        >>> class Accuracy(Scorer):
        ...     name, columns, keys = "accuracy", ("right", "asked"), ("accuracy",)
        ...     def rows(self, preds, target, **_):
        ...         return np.array([[float(p == t), 1.0] for p, t in zip(preds, target)])
        ...     def from_sums(self, sums):
        ...         return {"accuracy": ratio(sums[..., 0], sums[..., 1])}
        >>> rows = Accuracy().rows(list("aabb"), list("aaba"))
        >>> found = interval(Accuracy(), Table(Accuracy.columns, tuple("1234"), rows))["accuracy"]
        >>> found.value, round(found.low, 2), round(found.high, 2)
        (0.75, 0.13, 0.98)
    """
    check_level(level)
    if method not in {"delta", "bootstrap"}:
        raise ConfigurationError(f'Expected `method` "delta" or "bootstrap", but got {method!r}')
    if num_resamples < 1:
        raise ConfigurationError(f"Expected `num_resamples` of at least 1, but got {num_resamples}")
    statistics = Statistics.of(scorer, table)
    clusters = cluster_rows(statistics.rows, table)
    if method == "delta":
        ends = _delta(statistics, clusters, scorer.unbounded, level)
    else:
        names = list(dict.fromkeys(cluster_names(table)))
        ends = _bootstrap(statistics, clusters, names, level, num_resamples, seed)
    return {
        key: Interval(value, *ends[key], len(table), len(clusters))
        for key, value in statistics.scores.items()
    }


def _delta(
    statistics: Statistics, clusters: Floats, unbounded: frozenset[str], level: float
) -> dict[str, Ends]:
    """The analytic interval of each key."""
    n = len(clusters)
    influence = influences(statistics.from_sums, clusters)
    own = statistics.from_sums(clusters)
    ends = {}
    for key, value in statistics.scores.items():
        m = int(np.isfinite(own[key]).sum())
        t = student(level, m)
        error = standard_error(influence[key])
        if 1 < m < n:  # as if the others were not there
            error *= math.sqrt(m * (n - 1) / ((m - 1) * n))
        if math.isnan(value) or (math.isnan(error) and n > 1):
            ends[key] = _UNKNOWN
        elif key not in unbounded:
            ends[key] = _wilson(min(max(value, 0.0), 1.0), error, m, t) if m > 1 else (0.0, 1.0)
        else:
            ends[key] = (value - t * error, value + t * error)
    return ends


def _wilson(value: float, error: float, n: int, t: float) -> Ends:
    """Wilson's interval at the sample size that would give a share this standard error."""
    spread = value * (1 - value)
    size = spread / error**2 if error > STILL and spread > 0 else float(n)
    shrink = 1 + t**2 / size
    centre = (value + t**2 / (2 * size)) / shrink
    half = t / shrink * math.sqrt(spread / size + t**2 / (4 * size**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _bootstrap(
    statistics: Statistics,
    clusters: Floats,
    names: list[str],
    level: float,
    num_resamples: int,
    seed: int,
) -> dict[str, Ends]:
    """The percentile interval of each key, over the resamples in which it is defined."""
    if len(clusters) < 2:
        return dict.fromkeys(statistics.scores, _UNKNOWN)
    sums = resampled_sums(clusters, names, POISSON, num_resamples, seed)
    resampled = statistics.from_sums(sums)
    tail = (1 - level) / 2
    ends = {}
    for key in statistics.scores:
        defined = resampled[key][np.isfinite(resampled[key])]
        low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else _UNKNOWN
        ends[key] = (float(low), float(high))
    return ends
