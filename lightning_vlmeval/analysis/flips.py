"""The samples whose answers became right or wrong from one evaluation to another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Floats, Table

# The score from which on a sample is solved, where nothing else is said.
SOLVED = 0.5


@dataclass(frozen=True)
class Flips:
    """The samples that changed sides between two evaluations, and those that were never right.

    A sample whose score is undefined in either is in none of them.

    Args:
        fixed: Ids of those solved by B alone.
        broken: Ids of those solved by A alone.
        never_solved: Ids of those solved by neither.
    """

    fixed: tuple[str, ...]
    broken: tuple[str, ...]
    never_solved: tuple[str, ...]


def flips(
    scorer: Scorer,
    a: Table,
    b: Table,
    keys: Sequence[str],
    solved: float | Mapping[str, float] = SOLVED,
) -> dict[str, Flips | None]:
    """The samples that changed sides, by key; None for an unbounded score without a threshold.

    Args:
        scorer: The scorer that made both tables.
        a: The evaluation before.
        b: The evaluation after, of the same samples in the same order.
        keys: The scores to look at, such that more is better.
        solved: The score from which on a sample is solved, for all bounded scores or by key.

    Example:
        >>> from lightning_vlmeval.functional.answers import AnswerScorer
        >>> scorer = AnswerScorer()
        >>> a, b = (
        ...     Table(scorer.columns, ("x", "y", "z"), scorer.rows(answers, ["cat"] * 3))
        ...     for answers in (["dog", "cat", "pig"], ["cat", "dog", "cow"])
        ... )
        >>> flips(scorer, a, b, ["exact_match"])["exact_match"]
        Flips(fixed=('x',), broken=('y',), never_solved=('z',))
    """
    bounded = [key for key in keys if key not in scorer.unbounded]
    thresholds = solved if isinstance(solved, Mapping) else dict.fromkeys(bounded, solved)
    thresholds = dict.fromkeys(bounded, SOLVED) | dict(thresholds)
    scores_a, scores_b = scorer.sample_scores(a), scorer.sample_scores(b)
    return {
        key: _flips_at(a.ids, scores_a[key], scores_b[key], thresholds[key])
        if key in thresholds
        else None
        for key in keys
    }


def _flips_at(ids: Sequence[str], a: Floats, b: Floats, threshold: float) -> Flips:
    """The samples that changed sides of a threshold."""
    defined = np.isfinite(a) & np.isfinite(b)
    good_a, good_b = a >= threshold, b >= threshold
    chosen = (~good_a & good_b, good_a & ~good_b, ~good_a & ~good_b)
    return Flips(*(tuple(ids[int(i)] for i in np.flatnonzero(mask & defined)) for mask in chosen))
