"""Scorers small enough to check by hand; their rows are made by the tests."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lightning_vlmeval.functional.scorer import Scorer, Scores, ratio
from lightning_vlmeval.table import Floats, Table


@dataclass(frozen=True)
class _FromRows(Scorer):
    def rows(self, preds: Any, target: Any, **_: Any) -> Floats:
        return np.array(preds, float)


@dataclass(frozen=True)
class MicroF1(_FromRows):
    """Precision, recall and F1 of counts, and the counts."""

    name: ClassVar[str] = "micro"
    columns: ClassVar[tuple[str, ...]] = ("tp", "fp", "fn")
    keys: ClassVar[tuple[str, ...]] = ("precision", "recall", "f1", "tp")
    unbounded: ClassVar[frozenset[str]] = frozenset({"tp"})
    counts: ClassVar[frozenset[str]] = frozenset({"tp"})

    def from_sums(self, sums: Floats) -> Scores:
        tp, fp, fn = np.moveaxis(sums, -1, 0)
        return {
            "precision": ratio(tp, tp + fp),
            "recall": ratio(tp, tp + fn),
            "f1": ratio(2 * tp, 2 * tp + fp + fn),
            "tp": tp,
        }


@dataclass(frozen=True)
class Ratio(_FromRows):
    """A ratio of two sums, in [0, 1] ("share") and the same without bounds ("ratio")."""

    name: ClassVar[str] = "ratio"
    columns: ClassVar[tuple[str, ...]] = ("numerator", "denominator")
    keys: ClassVar[tuple[str, ...]] = ("share", "ratio")
    unbounded: ClassVar[frozenset[str]] = frozenset({"ratio"})

    def from_sums(self, sums: Floats) -> Scores:
        value = ratio(sums[..., 0], sums[..., 1])
        return {"share": value, "ratio": value}


@dataclass(frozen=True)
class NoSums(_FromRows):
    """A mean and a maximum that are no function of the column sums."""

    name: ClassVar[str] = "no-sums"
    columns: ClassVar[tuple[str, ...]] = ("value",)
    keys: ClassVar[tuple[str, ...]] = ("mean", "largest")
    unbounded: ClassVar[frozenset[str]] = frozenset({"mean", "largest"})

    def from_sums(self, sums: Floats) -> Scores:
        nothing = np.full(sums.shape[:-1], np.nan)
        return {"mean": nothing, "largest": nothing}

    def score(self, table: Table) -> dict[str, float]:
        values = table.rows[:, 0]
        if not len(values):
            return dict.fromkeys(self.keys, np.nan)
        return {"mean": float(values.mean()), "largest": float(values.max())}

    def sample_scores(self, table: Table) -> Scores:
        return {"mean": table.rows[:, 0], "largest": table.rows[:, 0]}


def table_of(scorer: Scorer, rows: Any, groups: tuple[str, ...] = ()) -> Table:
    """A table of these rows, the ids "0", "1", ..."""
    rows = np.array(rows, float).reshape(-1, len(scorer.columns))
    return Table(scorer.columns, tuple(str(i) for i in range(len(rows))), rows, groups)
