"""Precision less recall, with its interval: whether boxes are missed or false, whatever the level."""

from dataclasses import dataclass, fields
from typing import ClassVar

from lightning_vlmeval.analysis.finding import Number
from lightning_vlmeval.analysis.intervals import interval
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.scorer import Scores
from lightning_vlmeval.table import Floats, Table


@dataclass(frozen=True)
class _Balance(GroundingScorer):
    """(1 + precision - recall) / 2, a share: so that its interval is Wilson's, as all others' are."""

    unbounded: ClassVar[frozenset[str]] = frozenset()
    counts: ClassVar[frozenset[str]] = frozenset()

    @property
    def keys(self) -> tuple[str, ...]:
        return ("balance",)

    def from_sums(self, sums: Floats) -> Scores:
        found = super().from_sums(sums)
        return {"balance": (1 + found["precision"] - found["recall"]) / 2}


def imbalance(scorer: GroundingScorer, table: Table, level: float) -> Number:
    """Precision less recall: above 0 where more targets are missed than boxes are false.

    Both come from the same samples, and so does the interval of their difference: from each cluster's
    influence on it (the delta method).

    Args:
        scorer: What made the table.
        table: Each id once.
        level: The confidence of the interval.

    Returns:
        In [-1, 1]; NaN where one of the two is undefined.

    Example:
        >>> scorer, boxes = GroundingScorer(), [[0, 0, 9, 9], [20, 0, 29, 9]]
        >>> rows = scorer.rows([boxes[:1], boxes] * 20, [boxes, boxes] * 20)
        >>> print(imbalance(scorer, Table(scorer.columns, tuple(map(str, range(40))), rows), 0.95))
        0.25 [0.168, 0.329]
    """
    balance = _Balance(*(getattr(scorer, field.name) for field in fields(scorer)))
    found = interval(balance, table, level=level)["balance"]
    return Number(*(2 * one - 1 for one in (found.value, found.low, found.high)))
