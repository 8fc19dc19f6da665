"""How much each sample moves a score: what standard errors are made of."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.scorer import Scorer, Scores, ratio
from lightning_vlmeval.table import Floats, Table

FromSums = Callable[[Floats], Scores]

# A standard error below this is the rounding of none at all.
STILL = 1e-9

# The step of the central differences, as a share of a sum: near the cube root of the resolution of
# a float, where the error of rounding and that of curvature balance.
_STEP = 1e-5


@dataclass(frozen=True)
class Statistics:
    """A scorer's scores of a table, as a function of the sums of rows.

    A score that the scorer itself does not take from column sums, but that is the mean of the
    samples' own scores (CIDEr), gets columns of its own: what the samples have in common, such as
    the weights of words, then counts as fixed.

    Args:
        scores: The value of each key but the counts.
        rows: Shape (n, K).
        from_sums: The scores of column sums, shape (..., K); NaN for one that is neither.
    """

    scores: dict[str, float]
    rows: Floats
    from_sums: FromSums

    @classmethod
    def of(cls, scorer: Scorer, table: Table) -> "Statistics":
        """The scores of a table that the scorer made.

        Args:
            scorer: The scorer.
            table: Each id once.
        """
        all_scores = scorer.score(table)
        scores = {key: all_scores[key] for key in scorer.keys if key not in scorer.counts}
        summed = scorer.from_sums(table.rows.sum(axis=0))
        others = [key for key, value in scores.items() if _differ(summed[key], value)]
        if not others:
            return cls(scores, table.rows, scorer.from_sums)
        samples = scorer.sample_scores(table)
        means = [key for key in others if not _differ(samples[key].mean(), scores[key])]
        columns = [samples[key] for key in means]
        rows = np.column_stack([table.rows, *columns, np.ones(len(table))])
        num_columns = table.rows.shape[1]

        def from_sums(sums: Floats) -> Scores:
            unknown: Floats = np.full(sums.shape[:-1], np.nan)
            found = scorer.from_sums(sums[..., :num_columns]) | dict.fromkeys(others, unknown)
            for i, key in enumerate(means, num_columns):
                found[key] = ratio(sums[..., i], sums[..., -1])
            return found

        return cls(scores, rows, from_sums)


def _differ(found: float | Floats, value: float) -> bool:
    """Whether a defined score is another than was found."""
    return not math.isnan(value) and not math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-12)


def check_level(level: float) -> None:
    """Raise unless a level of confidence lies between 0 and 1.

    Args:
        level: The level.

    Raises:
        ConfigurationError: It does not.
    """
    if not 0 < level < 1:
        raise ConfigurationError(f"Expected `level` between 0 and 1, but got {level!r}")


def cluster_names(table: Table) -> list[str]:
    """The name of what each sample varies with: its group, or itself.

    Args:
        table: The samples.
    """
    return [
        f"group {group}" if group else f"id {sample_id}"
        for sample_id, group in zip(table.ids, table.groups, strict=True)
    ]


def cluster_rows(rows: Floats, table: Table) -> Floats:
    """The sums of the rows of each cluster, in the order in which the clusters first come.

    Args:
        rows: One for each sample of the table, shape (n, K).
        table: Says which samples are of one group; the others are clusters of their own.

    Returns:
        Shape (clusters, K).

    Example:
        >>> table = Table(("x",), ("1", "2", "3"), np.zeros((3, 1)), groups=("cat", "", "cat"))
        >>> cluster_rows(np.array([[1.0], [2.0], [4.0]]), table)
        array([[5.],
               [2.]])
    """
    if not any(table.groups):
        return rows
    position: dict[str, int] = {}
    names = cluster_names(table)
    cluster = np.array([position.setdefault(name, len(position)) for name in names], dtype=np.intp)
    order = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[order], np.arange(len(position)))
    sums: Floats = np.add.reduceat(rows[order], starts, axis=0)
    return sums


def influences(from_sums: FromSums, clusters: Floats) -> Scores:
    """How much each cluster moves each score: n times the first-order change without its deviation.

    It is n times the derivative of `from_sums` at the column sums, found by central differences,
    along the cluster's deviation from the mean cluster. The variance of a score is that of the mean
    influence: the delta method.

    Args:
        from_sums: The scores of column sums, as `Scorer.from_sums`.
        clusters: The statistics of n clusters, shape (n, K).

    Returns:
        Each key with shape (n,); NaN where the score is undefined.

    Example:
        >>> share = lambda sums: {"share": sums[..., 0] / sums[..., 1]}
        >>> influences(share, np.array([[1.0, 1], [0, 1], [0, 1], [1, 1]]))["share"].round(6)
        array([ 0.5, -0.5, -0.5,  0.5])
    """
    n, num_columns = clusters.shape
    sums = clusters.sum(axis=0)
    # A column that cancels has a small sum, but its resamples have not.
    scale = np.maximum(np.abs(sums), np.sqrt((clusters**2).sum(axis=0)))
    steps = np.diag(_STEP * scale)
    above, below = sums + steps, sums - steps
    around = from_sums(np.stack([above, below]))
    widths = np.diag(above - below)
    changes = np.stack([high - low for high, low in around.values()], axis=-1)
    # An undefined score is kept out of the product, in which some builds of numpy warn of NaN.
    defined = np.isfinite(changes).all(axis=0)
    slopes = np.zeros((num_columns, len(around)))
    np.divide(changes, widths[:, None], out=slopes, where=defined & (widths != 0)[:, None])
    deviations = clusters - sums / max(n, 1)
    found = (n * (deviations @ slopes)).T
    found[~defined] = np.nan
    return dict(zip(around, found, strict=True))


def standard_error(influence: Floats) -> float:
    """The standard error of a score, or of a difference, from the influences of the clusters.

    Args:
        influence: Shape (n,), of mean 0.

    Returns:
        NaN for fewer than two clusters.
    """
    n = len(influence)
    return math.sqrt(float(influence @ influence) / (n * (n - 1))) if n > 1 else math.nan


def student(level: float, num_clusters: int) -> float:
    """The two-sided quantile of Student's t; NaN for fewer than two clusters.

    Args:
        level: The level of confidence.
        num_clusters: One more than the degrees of freedom.
    """
    if num_clusters < 2:
        return math.nan
    return float(special.stdtrit(num_clusters - 1, (1 + level) / 2))
