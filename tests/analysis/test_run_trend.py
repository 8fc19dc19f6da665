"""Trends across runs: by hand, paired against unpaired, what chance alone shows, and odd runs."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lightning_vlmeval.analysis.comparison import compare_tables
from lightning_vlmeval.analysis.intervals import Interval, interval
from lightning_vlmeval.analysis.run_trend import paired_run_trend, run_trend
from lightning_vlmeval.errors import ComparisonError, ConfigurationError
from lightning_vlmeval.table import Table
from tests.analysis.calibration import POPULATIONS
from tests.analysis.scorers import MicroF1, Ratio, table_of

NAN = math.nan


def runs(values: list[float], half: float) -> list[Interval]:
    return [Interval(value, value - half, value + half, 100, 100) for value in values]


def test_change_by_hand() -> None:
    """Through 0.1, 0.4, 0.3, 0.6 the slope is 0.14, three times of which is 0.42.

    The weights are (-1.5, -0.5, 0.5, 1.5) * 3 / 5, of squares 1.8: half a width is 0.1 sqrt(1.8).
    """
    found = run_trend(runs([0.1, 0.4, 0.3, 0.6], 0.1))
    assert found.state == "improving"
    assert found.change == pytest.approx(0.42)
    assert (found.high - found.low) / 2 == pytest.approx(0.1 * math.sqrt(1.8))
    assert found.reason == "Improving: +0.42 [0.286, 0.554] over 4 runs."


@pytest.mark.parametrize(
    ("values", "half", "state"),
    [
        ([0.5, 0.6, 0.7], 0.02, "improving"),
        ([0.7, 0.6, 0.5], 0.02, "declining"),
        ([0.6, 0.601, 0.6], 0.001, "plateaued"),
        ([0.6, 0.7, 0.6], 0.3, "unclear"),
        ([0.5, 0.6, 0.7], 0.5, "unclear"),
        ([0.5, 0.6], 0.01, "unclear"),
        ([0.5, NAN, 0.7], 0.01, "unclear"),
        ([], 0.01, "unclear"),
    ],
)
def test_state(values: list[float], half: float, state: str) -> None:
    assert run_trend(runs(values, half)).state == state
    turned = run_trend(runs([-value for value in values], half), higher_is_better=False)
    assert turned.state == state


def test_an_undefined_run_is_left_out() -> None:
    found = run_trend([*runs([0.5], 0.02), *runs([NAN], 0), *runs([0.6, 0.7], 0.02)])
    assert found == run_trend(runs([0.5, 0.6, 0.7], 0.02))


def means(*columns: list[float], groups: tuple[str, ...] = ()) -> list[Table]:
    return [table_of(Ratio(), [[x, 1] for x in column], groups) for column in columns]


def test_paired_by_hand() -> None:
    """Of three runs the change is the last less the first: the t-test of the samples' changes."""
    first, last = [0.1, 0.5, 0.3, 0.9], [0.3, 0.6, 0.6, 0.9]
    found = paired_run_trend(Ratio(), means(first, [0.4] * 4, last), "share")
    ends = stats.ttest_rel(last, first).confidence_interval(0.95)
    assert found.change == pytest.approx(0.15)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-6)


def test_of_three_runs_it_is_the_comparison_of_the_last_and_the_first() -> None:
    population = POPULATIONS[0]
    a, b, c = population.tables(np.random.default_rng(0), 300, (0.0, 0.05, 0.1))
    found = paired_run_trend(population.scorer, [a, b, c], "f1")
    compared = compare_tables(population.scorer, a, c, keys=["f1"]).differences["f1"]
    assert (found.change, found.low, found.high) == pytest.approx(
        (compared.difference, compared.low, compared.high), rel=1e-6
    )


def test_pairing_narrows_the_interval() -> None:
    population = POPULATIONS[0]
    tables = population.tables(np.random.default_rng(1), 300, (0.0, 0.02, 0.04, 0.06))
    paired = paired_run_trend(population.scorer, tables, "f1")
    each = [interval(population.scorer, table)["f1"] for table in tables]
    unpaired = run_trend(each)
    assert paired.change == pytest.approx(unpaired.change)
    assert paired.high - paired.low < 0.9 * (unpaired.high - unpaired.low)


def test_only_samples_that_all_have_and_their_groups() -> None:
    a, b, c = means([0.1, 0.2, 0.3], [0.2, 0.3, 0.4], [0.3, 0.5, 0.6], groups=("u", "u", "v"))
    two = paired_run_trend(Ratio(), [a, b.take([2, 0]), c], "share")
    assert two.change == pytest.approx((0.3 + 0.6) / 2 - (0.1 + 0.3) / 2)
    grouped = paired_run_trend(Ratio(), [a, b, c], "share")
    compared = compare_tables(Ratio(), a, c).differences["share"]
    assert (grouped.low, grouped.high) == pytest.approx((compared.low, compared.high), rel=1e-6)
    alone = paired_run_trend(Ratio(), [replace(one, groups=()) for one in (a, b, c)], "share")
    assert alone.high - alone.low != pytest.approx(grouped.high - grouped.low, rel=0.1)


@pytest.mark.parametrize("paired", [True, False])
def test_chance_alone_is_rarely_a_trend(paired: bool) -> None:
    """Of 300 triples of equal models about 5 % show one; independent intervals are too wide."""
    population, rng = POPULATIONS[0], np.random.default_rng(5)
    told = 0
    for _ in range(300):
        tables = population.tables(rng, 100, (0.0, 0.0, 0.0))
        if paired:
            found = paired_run_trend(population.scorer, tables, "f1")
        else:
            found = run_trend([interval(population.scorer, table)["f1"] for table in tables])
        told += found.state in ("improving", "declining")
    assert told <= 27


def test_errors() -> None:
    with pytest.raises(ConfigurationError, match=re.escape("`min_delta` above 0, but got 0")):
        run_trend([], min_delta=0)
    with pytest.raises(ConfigurationError, match="a score of `micro` as `key`, but got 'tp'"):
        paired_run_trend(MicroF1(), [], "tp")
    a, b = means([0.1], [0.2])
    other = Table(b.columns, ("z",), b.rows)
    with pytest.raises(ComparisonError, match="that all runs have in common"):
        paired_run_trend(Ratio(), [a, other, a], "share")
    assert paired_run_trend(Ratio(), [], "share").state == "unclear"
