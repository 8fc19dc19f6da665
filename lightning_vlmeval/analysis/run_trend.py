"""Where a score is going across runs, in the order in which they were made."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lightning_vlmeval.analysis.influence import (
    Statistics,
    cluster_rows,
    influences,
    standard_error,
    student,
)
from lightning_vlmeval.analysis.intervals import Interval
from lightning_vlmeval.analysis.trend import Trend, trend_state
from lightning_vlmeval.errors import ComparisonError, ConfigurationError
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Floats, Table

_LEVEL = 0.95

# The fewest runs of which a trend is told.
_FEWEST = 3


def run_trend(
    scores: Sequence[Interval], *, min_delta: float = 0.01, higher_is_better: bool = True
) -> Trend:
    """The trend of a score across runs, from each run's score and its interval.

    The change is that of the least-squares line through the runs, from the first to the last; its
    interval comes from theirs, as of independent samples. Runs on the same validation set vary
    together, and `paired_run_trend` tells more of them. What another seed of training would have
    changed is in neither.

    | runs | trend |
    |---|---|
    | fewer than three that are defined, or one without an interval | unclear, NaN |

    Args:
        scores: Each run's, in the order in which the runs were made; NaN for one without.
        min_delta: The smallest change that matters, in the score's unit.
        higher_is_better: Whether larger values are better.

    Raises:
        ConfigurationError: `min_delta` is not positive.

    Example:
        >>> runs = [Interval(x, x - 0.05, x + 0.05, 100, 100) for x in (0.5, 0.6, 0.7)]
        >>> print(run_trend(runs).reason)
        Improving: +0.2 [0.129, 0.271] over 3 runs.
    """
    known = [one for one in scores if not math.isnan(one.value)]
    weights = _weights(len(known))
    halves = np.array([(one.high - one.low) / 2 for one in known])
    half = math.sqrt(float((weights**2) @ (halves**2))) if len(known) else math.nan
    values = np.array([one.value for one in known], float)
    return _trend(values, half, min_delta, higher_is_better)


def paired_run_trend(
    scorer: Scorer,
    tables: Sequence[Table],
    key: str,
    *,
    min_delta: float = 0.01,
    higher_is_better: bool = True,
) -> Trend:
    """The trend of a score across runs on the same validation set, paired by sample id.

    As `run_trend`, but on the samples that all runs have, and with the interval of each cluster's
    influence on the change, so that what makes a sample hard for all runs cancels.

    Args:
        scorer: What made the tables.
        tables: Each run's, in the order in which the runs were made.
        key: The score.
        min_delta: The smallest change that matters, in the score's unit.
        higher_is_better: Whether larger values are better.

    Raises:
        ConfigurationError: `min_delta` is not positive, or the scorer has no such score.
        ComparisonError: The runs have no sample in common.
    """
    if key not in scorer.keys or key in scorer.counts:
        raise ConfigurationError(f"Expected a score of `{scorer.name}` as `key`, but got {key!r}")
    shared = _shared(tables)
    statistics = [Statistics.of(scorer, table) for table in shared]
    values = np.array([one.scores[key] for one in statistics], float)
    if not len(values):
        return _trend(values, math.nan, min_delta, higher_is_better)
    weights = _weights(len(values))
    pairs = zip(weights, statistics, shared, strict=True)
    influence: Floats = np.sum(
        [
            weight * influences(one.from_sums, cluster_rows(one.rows, table))[key]
            for weight, one, table in pairs
        ],
        axis=0,
    )
    half = student(_LEVEL, len(influence)) * standard_error(influence)
    return _trend(values, half, min_delta, higher_is_better)


def _shared(tables: Sequence[Table]) -> list[Table]:
    """The samples that all tables have, in one order and with one grouping."""
    if not tables:
        return []
    canonical = [table.canonical() for table in tables]
    ids = set.intersection(*(set(table.ids) for table in canonical))
    if not ids:
        raise ComparisonError("Expected samples that all runs have in common, but there are none")
    taken = [
        table.take([i for i, name in enumerate(table.ids) if name in ids]) for table in canonical
    ]
    groups = tuple(
        next(filter(None, one), "") for one in zip(*(t.groups for t in taken), strict=True)
    )
    return [replace(table, groups=groups) for table in taken]


def _weights(count: int) -> Floats:
    """What each of evenly spaced values adds to the gain of the line through them."""
    from_mean = np.arange(count, dtype=np.float64) - (count - 1) / 2
    spread = float(from_mean @ from_mean)
    weights: Floats = from_mean * ((count - 1) / spread if spread else 0.0)
    return weights


def _trend(values: Floats, half: float, min_delta: float, higher_is_better: bool) -> Trend:
    """The change of the values, with its state."""
    if not (math.isfinite(min_delta) and min_delta > 0):
        raise ConfigurationError(f"Expected `min_delta` above 0, but got {min_delta!r}")
    if len(values) < _FEWEST or math.isnan(half) or np.isnan(values).any():
        reason = f"{len(values)} runs, and a trend takes {_FEWEST} or more with defined intervals."
        return Trend("unclear", math.nan, math.nan, math.nan, reason)
    change = float(_weights(len(values)) @ values)
    better = 1 if higher_is_better else -1
    state = trend_state(better * values, better * change, half, min_delta, len(values) - 1)
    low, high = change - half, change + half
    reason = f"{state.capitalize()}: {change:+.3g} [{low:.3g}, {high:.3g}] over {len(values)} runs."
    return Trend(state, change, low, high, reason)
