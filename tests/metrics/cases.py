"""Samples for each metric of the package: what the conformance harness is run on."""

from dataclasses import dataclass

import numpy as np

from lightning_vlmeval.functional.scorer import Scorer, Scores, check_texts, ratio
from lightning_vlmeval.metrics.table_metric import TableMetric
from tests.metrics.conformance import Case


@dataclass(frozen=True)
class OverlapScorer(Scorer):
    """The smallest scorer: F1 over sets of words."""

    name = "overlap"
    columns = ("matched", "predicted", "expected")
    keys = ("f1",)

    def rows(self, preds, target, *, prompts=None, truncated=None):
        preds, target = check_texts(preds, target)
        sets = [(set(p.split()), set(t[0].split())) for p, t in zip(preds, target, strict=True)]
        rows = [[len(p & t) / 3, len(p) / 3, len(t) / 3] for p, t in sets]  # not whole numbers
        return np.array(rows, dtype=np.float64).reshape(-1, 3)

    def from_sums(self, sums) -> Scores:
        return {"f1": ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])}


WORDS = ("a", "red", "car", "on", "the", "street", "stands", "two", "dogs", "")
_rng = np.random.default_rng(0)
PREDS = [" ".join(_rng.choice(WORDS, size=n)) for n in (3, 0, 5, 7, 1, 4, 9)]
TARGET = [" ".join(_rng.choice(WORDS, size=n)) for n in (3, 2, 5, 6, 1, 8, 4)]

CASES = [
    Case("overlap", lambda: TableMetric(OverlapScorer()), PREDS, TARGET, {}),
]
