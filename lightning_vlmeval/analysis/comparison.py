"""Two evaluations compared sample by sample: which is better, by how much, and on which samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from lightning_vlmeval.analysis.comparability import check_comparable
from lightning_vlmeval.analysis.flips import Flips, flips
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
from lightning_vlmeval.analysis.resampling import COIN, resampled_sums
from lightning_vlmeval.errors import ComparisonError, ConfigurationError
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Table

Test = Literal["delta", "randomisation"]
Direction = Literal["higher", "lower", "undecided"]

# The power at which the smallest difference that can be seen is stated.
_POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """How one score differs between two evaluations of the same samples.

    Args:
        value_a: The score of A on the samples that both have.
        value_b: The score of B on them.
        difference: B - A.
        low: The lower end of its confidence interval; NaN for fewer than two clusters.
        high: The upper end.
        p_value: Two-sided, of no difference; NaN where it is undefined.
        adjusted_p_value: Holm's over the primary scores; None for an exploratory one.
        direction: B's score is "higher" or "lower" where the p-value (the adjusted one of a primary
            score) is below 1 - level, else "undecided".
        detectable: The true difference that samples like these show in 80 % of comparisons; NaN
            where they do not tell.
        flips: The samples fixed, broken and never solved; None for an unbounded score without a
            threshold.
    """

    value_a: float
    value_b: float
    difference: float
    low: float
    high: float
    p_value: float
    adjusted_p_value: float | None
    direction: Direction
    detectable: float
    flips: Flips | None


@dataclass(frozen=True)
class Comparison:
    """Two evaluations compared on the samples that both have.

    Args:
        differences: Each key's.
        num_samples: The samples compared.
        num_only_a: Those of A that B has not.
        num_only_b: Those of B that A has not.
        num_clusters: The independent ones of the samples compared.
        level: The level of confidence.
        method: How the p-values were found.
    """

    differences: dict[str, Difference]
    num_samples: int
    num_only_a: int
    num_only_b: int
    num_clusters: int
    level: float
    method: Test


def compare_tables(
    scorer: Scorer,
    table_a: Table,
    table_b: Table,
    *,
    keys: Sequence[str] | None = None,
    primary: Sequence[str] = (),
    level: float = 0.95,
    method: Test = "delta",
    solved: float | Mapping[str, float] = 0.5,
    signatures: tuple[str, str] | None = None,
    fingerprints: tuple[str, str] | None = None,
    architectures: tuple[str, str] | None = None,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """B against A, paired by sample id, on the samples that both have.

    The interval comes from each cluster's influence on B's score less that on A's, by Student's t;
    samples of one group are one cluster. So does the p-value with "delta". With "randomisation" it
    is the share of random swaps of A and B within the clusters (the one at hand among them) whose
    difference is as large. The p-values of the primary scores are corrected for their number by
    Holm's method; the other scores are exploratory, their p-values are not corrected.

    | samples | result |
    |---|---|
    | none in common | ComparisonError |
    | one cluster, or a score that is undefined in A or B | interval, p and detectable NaN |
    | nothing changed in any cluster | p 1, interval 0 to 0, detectable NaN |
    | every cluster of n changed alike | p 2 / 2^n as by swaps, interval and detectable NaN |

    Args:
        scorer: The scorer that made both tables.
        table_a: The evaluation to compare with.
        table_b: The evaluation to judge.
        keys: The scores to compare; by default all but the counts.
        primary: Those of them that were chosen beforehand to decide.
        level: The confidence of the intervals; 1 - level is the level of the tests.
        method: How to find the p-values, "delta" or "randomisation".
        solved: The score from which on a sample is solved, for all keys or by key; an unbounded
            score only by key.
        signatures: The recipes of A's and of B's scores, where the tables were read back.
        fingerprints: Of the validation sets of A and B.
        architectures: Of the models of A and B; losses compare only where they are equal.
        num_resamples: The random swaps.
        seed: Of the swaps.

    Raises:
        ComparisonError: The evaluations are not comparable; the message says what differs.
        ConfigurationError: A key is unknown or an option is out of range.

    Example:
        >>> from lightning_vlmeval.functional.losses import LossScorer
        >>> scorer = LossScorer()
        >>> a, b = (
        ...     Table(scorer.columns, ("1", "2", "3"), scorer.rows(losses, [None] * 3))
        ...     for losses in ([1.0, 2.0, 3.0], [0.5, 1.8, 2.3])
        ... )
        >>> found = compare_tables(scorer, a, b, architectures=("tiny", "tiny")).differences["loss"]
        >>> round(found.difference, 3), round(found.p_value, 3)  # t = -0.467 / 0.145, 2 degrees
        (-0.467, 0.085)
    """
    check_level(level)
    _check_method(method, num_resamples)
    check_comparable(scorer, table_a, table_b, signatures, fingerprints, architectures)
    keys = _check_keys(scorer, keys, primary)
    a, b = _paired(table_a, table_b)
    pair = _Pair(scorer, a, b)
    if method == "delta":
        p_values = {key: pair.p_value(key) for key in keys}
    else:
        p_values = pair.randomised(keys, num_resamples, seed)
    adjusted = holm({key: p_values[key] for key in primary})
    flipped = flips(scorer, a, b, keys, solved)
    return Comparison(
        differences={
            key: pair.compared(key, level, p_values[key], adjusted.get(key), flipped[key])
            for key in keys
        },
        num_samples=len(a),
        num_only_a=len(set(table_a.ids) - set(table_b.ids)),
        num_only_b=len(set(table_b.ids) - set(table_a.ids)),
        num_clusters=pair.num_clusters,
        level=level,
        method=method,
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values: below a level with at most that chance of any false one.

    Args:
        p_values: By name; those that are NaN stay so and do not count.

    Example:
        >>> holm({"f1": 0.01, "iou": 0.04, "bleu": 0.03})
        {'f1': 0.03, 'iou': 0.06, 'bleu': 0.06}
    """
    tested = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    adjusted = dict.fromkeys(p_values, math.nan)
    largest = 0.0
    for rank, (p, name) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[name] = largest
    return adjusted


class _Pair:
    """The scores of two tables of the same samples, and each cluster's influence on both."""

    def __init__(self, scorer: Scorer, table_a: Table, table_b: Table) -> None:
        self.a = a = Statistics.of(scorer, table_a)
        self.b = b = Statistics.of(scorer, table_b)
        self._clusters_a = cluster_rows(a.rows, table_a)
        self._clusters_b = cluster_rows(b.rows, table_b)
        self._names = list(dict.fromkeys(cluster_names(table_a)))
        self.num_clusters = len(self._names)
        influence_a = influences(a.from_sums, self._clusters_a)
        influence_b = influences(b.from_sums, self._clusters_b)
        self._error = {key: standard_error(influence_b[key] - influence_a[key]) for key in a.scores}

    def compared(
        self, key: str, level: float, p_value: float, adjusted: float | None, flipped: Flips | None
    ) -> Difference:
        """All that is said of one score."""
        difference = self.difference(key)
        low, high = self.ends(key, level)
        decisive = p_value if adjusted is None else adjusted
        return Difference(
            value_a=self.a.scores[key],
            value_b=self.b.scores[key],
            difference=difference,
            low=low,
            high=high,
            p_value=p_value,
            adjusted_p_value=adjusted,
            direction=_direction(difference, decisive, level),
            detectable=self.detectable(key, level),
            flips=flipped,
        )

    def difference(self, key: str) -> float:
        """The score of B less that of A."""
        return self.b.scores[key] - self.a.scores[key]

    def p_value(self, key: str) -> float:
        """The two-sided p-value of Student's t."""
        difference, error = self.difference(key), self._error[key]
        if math.isnan(difference) or math.isnan(error):
            return math.nan
        if not self._still(key):
            return 2 * float(special.stdtr(self.num_clusters - 1, -abs(difference) / error))
        return 2.0 ** (1 - self.num_clusters) if abs(difference) > STILL else 1.0

    def ends(self, key: str, level: float) -> tuple[float, float]:
        """The confidence interval of the difference."""
        difference = self.difference(key)
        if self._still(key) and abs(difference) > STILL:
            return math.nan, math.nan
        half = student(level, self.num_clusters) * self._error[key]
        return difference - half, difference + half

    def detectable(self, key: str, level: float) -> float:
        """The difference that is found in 80 % of comparisons."""
        if self._still(key):
            return math.nan
        quantiles = student(level, self.num_clusters) + float(special.ndtri(_POWER))
        return quantiles * self._error[key]

    def randomised(self, keys: Sequence[str], num_resamples: int, seed: int) -> dict[str, float]:
        """The two-sided p-values by random swaps of the clusters' rows."""
        if self.num_clusters < 2 or self._clusters_a.shape != self._clusters_b.shape:
            return dict.fromkeys(keys, math.nan)
        swapped = self._clusters_b - self._clusters_a
        moved = resampled_sums(swapped, self._names, COIN, num_resamples, seed)
        scores_a = self.a.from_sums(self._clusters_a.sum(axis=0) + moved)
        scores_b = self.b.from_sums(self._clusters_b.sum(axis=0) - moved)
        p_values = {}
        for key in keys:
            difference = abs(self.difference(key))
            # A swap under which a score is undefined counts against a finding.
            smaller = np.abs(scores_b[key] - scores_a[key]) < difference - STILL
            at_least = num_resamples - int(smaller.sum())
            known = not math.isnan(difference)
            p_values[key] = (1 + at_least) / (1 + num_resamples) if known else math.nan
        return p_values

    def _still(self, key: str) -> bool:
        """Whether the clusters all changed alike."""
        scale = max(1.0, abs(self.a.scores[key]), abs(self.b.scores[key]))
        return self._error[key] <= STILL * scale


def _check_method(method: str, num_resamples: int) -> None:
    """Raise unless the test is known and can run."""
    if method not in {"delta", "randomisation"}:
        raise ConfigurationError(
            f'Expected `method` "delta" or "randomisation", but got {method!r}'
        )
    if num_resamples < 1:
        raise ConfigurationError(f"Expected `num_resamples` of at least 1, but got {num_resamples}")


def _check_keys(
    scorer: Scorer, keys: Sequence[str] | None, primary: Sequence[str]
) -> Sequence[str]:
    """The keys to compare, each known."""
    known = [key for key in scorer.keys if key not in scorer.counts]
    chosen = known if keys is None else keys
    for name, given, allowed in (("keys", chosen, known), ("primary", primary, chosen)):
        if wrong := [key for key in given if key not in allowed]:
            raise ConfigurationError(
                f"Expected `{name}` among {', '.join(allowed)}, but got {', '.join(wrong)}"
            )
    return chosen


def _paired(table_a: Table, table_b: Table) -> tuple[Table, Table]:
    """The samples that both tables have, in the order of their ids, with one grouping."""
    first, second = table_a.canonical(), table_b.canonical()
    shared = set(first.ids) & set(second.ids)
    if not shared:
        raise ComparisonError(
            f"Expected samples in common, but none of A's {len(first)} ids is among B's "
            f"{len(second)}"
        )
    a, b = (
        table.take([i for i, sample_id in enumerate(table.ids) if sample_id in shared])
        for table in (first, second)
    )
    groups = tuple(one or other for one, other in zip(a.groups, b.groups, strict=True))
    return replace(a, groups=groups), replace(b, groups=groups)


def _direction(difference: float, p_value: float, level: float) -> Direction:
    """What the test says."""
    if not p_value < 1 - level:
        return "undecided"
    return "higher" if difference > 0 else "lower"
