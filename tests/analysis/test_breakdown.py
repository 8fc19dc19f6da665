"""Breakdowns: order, small parts, clusters, and what cannot be asked for."""

import math
import re

import numpy as np
import pytest

from lightning_vlmeval.analysis.breakdown import breakdown
from lightning_vlmeval.analysis.intervals import interval
from lightning_vlmeval.errors import ConfigurationError, InputError
from tests.analysis.scorers import MicroF1, Ratio, table_of


def test_worst_first_and_small_ones_last() -> None:
    rows = [[1, 1]] * 10 + [[0, 1]] * 5 + [[1, 1]] * 5 + [[0, 1]] * 2 + [[0, 1]] * 3 + [[0, 0]] * 10
    labels = ["good"] * 10 + ["bad"] * 10 + ["two"] * 2 + ["three"] * 3 + ["none"] * 10
    table = table_of(Ratio(), rows)
    parts = breakdown(Ratio(), table, labels, "share")
    assert [(part.label, part.num_samples) for part in parts] == [
        ("bad", 10),
        ("good", 10),
        ("none", 10),
        ("three", 3),
        ("two", 2),
    ]
    assert parts[0].score == interval(Ratio(), table.take(range(10, 20)))["share"]
    assert parts[2].score is not None
    assert math.isnan(parts[2].score.value)
    assert [part.score for part in parts[3:]] == [None, None]
    assert sum(part.num_samples for part in parts) == len(table)
    turned = breakdown(Ratio(), table, labels, "share", higher_is_better=False)
    assert [part.label for part in turned] == ["good", "bad", "none", "three", "two"]


def test_the_samples_of_a_group_count_once() -> None:
    table = table_of(Ratio(), [[1, 1]] * 12, groups=tuple("aaaabbbbcccc"))
    assert breakdown(Ratio(), table, ["x"] * 12, "share")[0].score is None
    found = breakdown(Ratio(), table, ["x"] * 12, "share", min_samples=3)[0].score
    assert found is not None
    assert found.num_clusters == 3


def test_micro_scores_of_a_part_are_those_of_its_sums() -> None:
    rows = np.random.default_rng(0).integers(0, 4, (60, 3))
    labels = ["even" if i % 2 == 0 else "odd" for i in range(60)]
    for part in breakdown(MicroF1(), table_of(MicroF1(), rows), labels, "f1"):
        tp, fp, fn = rows[0 if part.label == "even" else 1 :: 2].sum(axis=0)
        assert part.score is not None
        assert part.score.value == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_nothing() -> None:
    assert breakdown(Ratio(), table_of(Ratio(), []), [], "share") == []


def test_errors() -> None:
    table = table_of(MicroF1(), [[1, 1, 1]])
    with pytest.raises(
        ConfigurationError, match=re.escape("among precision, recall, f1, but got 'tp'")
    ):
        breakdown(MicroF1(), table, ["x"], "tp")
    with pytest.raises(InputError, match=re.escape("Expected 1 `labels`, but got 2")):
        breakdown(MicroF1(), table, ["x", "y"], "f1")
