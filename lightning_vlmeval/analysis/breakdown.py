"""Where a score is low: the same score on each part of the samples, the worst part first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_vlmeval.analysis.influence import cluster_names
from lightning_vlmeval.analysis.intervals import Interval, interval
from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Table


@dataclass(frozen=True)
class Part:
    """The samples of one label.

    Args:
        label: What they have in common.
        num_samples: How many there are.
        score: Their score with its interval; None where there are too few to score.
    """

    label: str
    num_samples: int
    score: Interval | None


def breakdown(
    scorer: Scorer,
    table: Table,
    labels: Sequence[str],
    key: str,
    *,
    min_samples: int = 10,
    higher_is_better: bool = True,
    level: float = 0.95,
) -> list[Part]:
    """A score by label: the worst label first, those with too few samples last, the larger first.

    The samples of a group count as one where it is asked if there are enough.

    | label | part |
    |---|---|
    | fewer than `min_samples` independent samples | listed with its number, not scored |
    | an undefined score | scored NaN, after the others that are scored |

    Args:
        scorer: What made the table.
        table: Each id once.
        labels: What each sample is, in the table's order: its phrase, its group, a class of sizes.
        key: The score to give.
        min_samples: The fewest independent samples that are scored.
        higher_is_better: Whether a low value is bad.
        level: The confidence of the intervals.

    Raises:
        ConfigurationError: The scorer has no such score, or it counts something.
        InputError: There is not one label for each sample.

    Example:
        >>> from lightning_vlmeval.functional.answers import AnswerScorer
        >>> scorer = AnswerScorer()
        >>> rows = scorer.rows(["a", "b", "c", "d"], ["a", "x", "c", "d"])
        >>> table = Table(scorer.columns, ("1", "2", "3", "4"), rows)
        >>> for part in breakdown(scorer, table, list("vuuv"), "exact_match", min_samples=2):
        ...     print(part.label, part.num_samples, part.score.value)
        u 2 0.5
        v 2 1.0
    """
    known = [name for name in scorer.keys if name not in scorer.counts]
    if key not in known:
        raise ConfigurationError(f"Expected `key` among {', '.join(known)}, but got {key!r}")
    if len(labels) != len(table):
        raise InputError(f"Expected {len(table)} `labels`, but got {len(labels)}")
    positions: dict[str, list[int]] = {}
    for position, label in enumerate(labels):
        positions.setdefault(label, []).append(position)
    parts = []
    for label, chosen in positions.items():
        part = table.take(chosen)
        enough = len(set(cluster_names(part))) >= min_samples
        score = interval(scorer, part, level=level)[key] if enough else None
        parts.append(Part(label, len(chosen), score))
    sign = 1 if higher_is_better else -1
    return sorted(parts, key=lambda part: _place(part, sign))


def _place(part: Part, sign: int) -> tuple[int, float, int, str]:
    """Where a part stands in the list."""
    if part.score is None:
        return 2, 0.0, -part.num_samples, part.label
    if math.isnan(part.score.value):
        return 1, 0.0, -part.num_samples, part.label
    return 0, sign * part.score.value, -part.num_samples, part.label
