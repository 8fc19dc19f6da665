"""Intervals: by hand, against the analytic formulas, by simulation, and every odd table."""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from lightning_vlmeval.analysis.influence import (
    cluster_rows,
    influences,
    standard_error,
    student,
)
from lightning_vlmeval.analysis.intervals import interval
from lightning_vlmeval.analysis.resampling import COIN, POISSON, resampled_sums
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.table import Table
from tests.analysis.calibration import POPULATIONS, coverage
from tests.analysis.scorers import MicroF1, NoSums, Ratio, table_of

BY_NAME = {population.name: population for population in POPULATIONS}


def test_wilson_by_hand() -> None:
    """Three of four right: influences of 1/4 or -3/4, so error^2 = 3/4 / 12 = 1/16.

    The effective size is (3/16) / (1/16) = 3, and t of three degrees of freedom is 3.182446.
    """
    found = interval(Ratio(), table_of(Ratio(), [[1, 1], [1, 1], [0, 1], [1, 1]]))["share"]
    t2 = 3.182446305284263**2
    centre = (3 / 4 + t2 / 6) / (1 + t2 / 3)
    half = math.sqrt(t2) / (1 + t2 / 3) * math.sqrt(3 / 16 / 3 + t2 / 36)
    assert (found.value, found.num_samples, found.num_clusters) == (0.75, 4, 4)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), rel=1e-9)


def test_unbounded_by_hand() -> None:
    """A mean's interval is Student's: 2 +- t s / sqrt(3)."""
    found = interval(Ratio(), table_of(Ratio(), [[1, 1], [2, 1], [3, 1]]))["ratio"]
    half = 4.302652729911275 * 1 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), rel=1e-9)
    narrow = interval(Ratio(), table_of(Ratio(), [[1, 1], [2, 1], [3, 1]]), level=0.5)["ratio"]
    assert narrow.high == pytest.approx(2 + 0.816496580927726 / math.sqrt(3), rel=1e-9)


def test_wilson_is_wilson_for_a_share() -> None:
    """For 0 of n, the classic interval with n in place of the effective size, and t for z."""
    found = interval(Ratio(), table_of(Ratio(), [[0, 1]] * 30))["share"]
    t2 = stats.t.ppf(0.975, 29) ** 2
    assert found.low == 0.0
    assert found.high == pytest.approx(t2 / 30 / (1 + t2 / 30))
    ones = interval(Ratio(), table_of(Ratio(), [[1, 1]] * 30))["share"]
    assert (ones.low, ones.high) == pytest.approx((1 - found.high, 1.0))


@pytest.mark.parametrize("n", [5, 40, 300])
def test_influence_of_f1_is_the_analytic_one(n: int) -> None:
    rng = np.random.default_rng(n)
    rows = rng.integers(0, 4, (n, 3)).astype(float)
    found = influences(MicroF1().from_sums, rows)["f1"]
    tp, fp, fn = rows.T
    size = 2 * tp + fp + fn
    f1 = 2 * tp.sum() / size.sum()
    np.testing.assert_allclose(found, (2 * tp - f1 * size) / size.mean(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n", [5, 40, 300])
@pytest.mark.parametrize("longer", [-3, 3])
def test_influence_of_bleu_is_the_analytic_one(n: int, longer: int) -> None:
    """Of the geometric mean's four quotients, and of exp(1 - R / C) where answers are short."""
    rng = np.random.default_rng(n)
    length = rng.integers(6, 15, n)
    total = np.stack([length - k for k in range(4)], axis=-1)
    correct = rng.binomial(total, [0.8, 0.6, 0.5, 0.4])
    reference = length + longer
    rows = np.column_stack([correct, total, length, reference, np.ones(n)]).astype(float)
    scorer = BLEUScorer()
    assert scorer.columns[8:] == ("pred_length", "target_length", "num_samples")
    found = influences(scorer.from_sums, rows)["bleu"]
    bleu = scorer.from_sums(rows.sum(axis=0))["bleu"]
    change = (correct / correct.mean(axis=0) - total / total.mean(axis=0)).sum(axis=1) / 4
    if longer > 0:
        mean = length.mean()
        change += -reference / mean + reference.mean() * length / mean**2
    np.testing.assert_allclose(found, bleu * change, rtol=1e-6, atol=1e-9)


def test_a_real_scorer_whole() -> None:
    """Each key of the grounding scorer, against leaving out one sample at a time."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (200, 2, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 20, (200, 2, 2))], axis=-1)
    preds = [box[: rng.integers(0, 3)] for box in boxes + rng.normal(0, 2, boxes.shape)]
    target = [box[: rng.integers(0, 3)] for box in boxes]
    scorer = GroundingScorer()
    table = table_of(scorer, scorer.rows(preds, target))
    found = interval(scorer, table)
    assert list(found) == [key for key in scorer.keys if key not in {"tp", "fp", "fn"}]
    left_out = scorer.from_sums(table.sums() - table.rows)
    for key, one in found.items():
        jackknife = math.sqrt(
            199 / 200 * float(((left_out[key] - left_out[key].mean()) ** 2).sum())
        )
        error = standard_error(influences(scorer.from_sums, table.rows)[key])
        assert error == pytest.approx(jackknife, rel=0.02), key
        assert 0 <= one.low < one.value < one.high <= 1
        assert one.value == scorer.score(table)[key]


def test_groups_count_once() -> None:
    """Every sample twice in a group: the same interval as of the half, and n clusters."""
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 3, (40, 3)).astype(float)
    once = interval(MicroF1(), table_of(MicroF1(), rows))
    groups = tuple(str(i) for i in range(40)) * 2
    twice = interval(MicroF1(), table_of(MicroF1(), np.vstack([rows, rows]), groups))
    for key, found in twice.items():
        assert (found.num_samples, found.num_clusters) == (80, 40)
        assert (found.value, found.low, found.high) == pytest.approx(
            (once[key].value, once[key].low, once[key].high), rel=1e-9
        )


def test_clusters() -> None:
    rows = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]])
    table = Table(("x",), ("a", "b", "c", "d", "e"), rows, groups=("u", "", "u", "", "b"))
    assert cluster_rows(rows, table).tolist() == [[5.0], [2.0], [8.0], [16.0]]


NAN = math.nan

# Rows of numerator and denominator, groups, and the intervals of "share" and of "ratio".
ODD: dict[str, tuple[list[list[float]], tuple[str, ...], Any, Any]] = {
    "no sample": ([], (), (NAN, NAN, NAN), (NAN, NAN, NAN)),
    "one sample": ([[1, 2]], (), (0.5, 0, 1), (0.5, NAN, NAN)),
    "one group": ([[1, 2], [0, 2]], ("g", "g"), (0.25, 0, 1), (0.25, NAN, NAN)),
    "undefined": ([[0, 0], [0, 0]], (), (NAN, NAN, NAN), (NAN, NAN, NAN)),
    "NaN in a row": ([[NAN, 1], [1, 1]], (), (NAN, NAN, NAN), (NAN, NAN, NAN)),
    "all alike": ([[0.7, 1]] * 9, (), (0.7, 0.3367, 0.9147), (0.7, 0.7, 0.7)),
    "all alike, uneven": ([[0.7, 1], [2.1, 3], [1.4, 2]], (), (0.7, 0.0693, 0.9865), (0.7,) * 3),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_tables(name: str) -> None:
    rows, groups, share, ratio = ODD[name]
    found = interval(Ratio(), table_of(Ratio(), rows, groups))
    for key, expected in (("share", share), ("ratio", ratio)):
        one = found[key]
        np.testing.assert_allclose([one.value, one.low, one.high], expected, atol=1e-4)


def test_scores_that_are_not_of_sums() -> None:
    """A mean of sample scores has its interval; what is neither has none."""
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, 50)
    found = interval(NoSums(), table_of(NoSums(), values))
    half = stats.t.ppf(0.975, 49) * values.std(ddof=1) / math.sqrt(50)
    assert found["mean"].value == values.mean()
    ends = (found["mean"].low, found["mean"].high)
    assert ends == pytest.approx((values.mean() - half, values.mean() + half))
    assert found["largest"].value == values.max()
    assert math.isnan(found["largest"].low)
    nothing = interval(NoSums(), table_of(NoSums(), []))
    assert math.isnan(nothing["mean"].value)
    bootstrap = interval(NoSums(), table_of(NoSums(), values), method="bootstrap")
    assert bootstrap["mean"].low == pytest.approx(ends[0], abs=0.2)
    assert math.isnan(bootstrap["largest"].low)


def test_a_column_that_cancels() -> None:
    """Values of either sign whose sum is 0 still have their spread."""
    values = np.array([1.0, -1.0, 2.0, -2.0])
    found = interval(Ratio(), table_of(Ratio(), np.column_stack([values, np.ones(4)])))["ratio"]
    half = stats.t.ppf(0.975, 3) * values.std(ddof=1) / math.sqrt(4)
    assert found.high == pytest.approx(half, rel=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 5)] * 3), max_size=12),
    st.sampled_from(["delta", "bootstrap"]),
)
def test_interval_is_in_range(rows: list[tuple[int, int, int]], method: Any) -> None:
    found = interval(MicroF1(), table_of(MicroF1(), rows), method=method, num_resamples=20)
    assert list(found) == ["precision", "recall", "f1"]
    for one in found.values():
        if math.isnan(one.value):
            assert math.isnan(one.low)
            assert math.isnan(one.high)
        elif method == "delta":
            assert 0 <= one.low <= one.value + 1e-12
            assert one.value - 1e-12 <= one.high <= 1


def test_bootstrap_agrees_with_delta() -> None:
    rng = np.random.default_rng(3)
    table = BY_NAME["micro F1"].tables(rng, 500)[0]
    delta = interval(MicroF1(), table)
    found = interval(MicroF1(), table, method="bootstrap", num_resamples=4000)
    for key in delta:
        assert found[key].low == pytest.approx(delta[key].low, abs=0.004)
        assert found[key].high == pytest.approx(delta[key].high, abs=0.004)


def test_bootstrap_hangs_on_names_alone() -> None:
    rng = np.random.default_rng(4)
    rows = rng.integers(0, 9, (50, 3)).astype(float)
    table = table_of(MicroF1(), rows)
    plain = interval(MicroF1(), table, method="bootstrap", seed=7)
    shuffled = table.take(rng.permutation(50).tolist())
    assert interval(MicroF1(), shuffled, method="bootstrap", seed=7) == plain
    assert interval(MicroF1(), table, method="bootstrap", seed=8) != plain
    names = [str(i) for i in range(50)]
    whole = resampled_sums(rows, names, POISSON, 101, 7)
    assert whole.shape == (101, 3)
    parts = [
        resampled_sums(rows[part], names[part], POISSON, 101, 7)
        for part in (slice(0, 3), slice(3, 3), slice(3, 50))
    ]
    assert (sum(parts) == whole).all()
    assert (resampled_sums(rows, names, POISSON, 1000, 7)[:101] == whole).all()


def test_bootstrap_by_groups() -> None:
    """A group is one draw: its samples in one row give the same resamples."""
    rows = np.arange(1.0, 13).reshape(6, 2)
    groups = ("u", "u", "v", "v", "w", "w")
    split = interval(Ratio(), table_of(Ratio(), rows, groups), method="bootstrap")
    together = interval(
        Ratio(),
        Table(("numerator", "denominator"), ("1", "2", "3"), rows[::2] + rows[1::2], groups[::2]),
        method="bootstrap",
    )
    assert [(i.low, i.high) for i in split.values()] == [(i.low, i.high) for i in together.values()]


def test_bootstrap_of_one() -> None:
    found = interval(Ratio(), table_of(Ratio(), [[1, 2]]), method="bootstrap")["share"]
    assert found.value == 0.5
    assert math.isnan(found.low)


def test_poisson_weights() -> None:
    """Their mean, variance and shares, those of single samples, and no likeness between samples."""
    assert POISSON.mean() == pytest.approx(1, abs=1e-3)
    assert POISSON.var() == pytest.approx(1, abs=2e-3)
    for k in range(6):
        assert (k == POISSON).mean() == pytest.approx(math.exp(-1) / math.factorial(k), abs=2e-5)
    weights = resampled_sums(np.eye(40), [f"id {i}" for i in range(40)], POISSON, 4000, 1)
    assert np.abs(weights.mean(axis=0) - 1).max() < 5 / math.sqrt(4000)
    likeness = np.corrcoef(weights.T) - np.eye(40)
    assert np.abs(likeness).max() < 5 / math.sqrt(4000)
    after = np.corrcoef(weights[:-1].ravel(), weights[1:].ravel())[0, 1]
    assert abs(after) < 5 / math.sqrt(160000)
    coins = resampled_sums(np.eye(3), ["a", "b", "c"], COIN, 4000, 1)
    assert set(np.unique(coins)) == {0.0, 1.0}
    assert np.abs(coins.mean(axis=0) - 0.5).max() < 0.04


def test_weights_are_pinned() -> None:
    """So that a stored interval can be made again, on any machine."""
    found = resampled_sums(np.eye(3), ["id 1", "group é", "id 3"], POISSON, 5, seed=42)
    assert found.astype(int).tolist() == [[1, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 1.0}, "Expected `level` between 0 and 1, but got 1.0"),
        ({"level": NAN}, "Expected `level` between 0 and 1, but got nan"),
        ({"method": "exact"}, 'Expected `method` "delta" or "bootstrap", but got \'exact\''),
        ({"num_resamples": 0}, "Expected `num_resamples` of at least 1, but got 0"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        interval(Ratio(), table_of(Ratio(), [[1, 2]]), **options)


def test_student() -> None:
    assert student(0.95, 31) == pytest.approx(2.0422724563)
    assert student(0.95, 10**6) == pytest.approx(float(special.ndtri(0.975)), abs=1e-5)
    assert math.isnan(student(0.95, 1))


@pytest.mark.parametrize("name", ["micro F1", "mean IoU", "BLEU", "exact match", "similarity"])
@pytest.mark.parametrize(("n", "trials"), [(20, 300), (100, 300), (1000, 200)])
def test_coverage(name: str, n: int, trials: int) -> None:
    """Near 95 %: within three standard deviations of what 92 to 98.5 % would give."""
    found = coverage(BY_NAME[name], n, trials, seed=n)
    assert 0.92 - 3 * math.sqrt(0.92 * 0.08 / trials) < found
    assert found < 0.985 + 3 * math.sqrt(0.985 * 0.015 / trials)


def test_groups_must_be_heeded() -> None:
    """Five questions an image: intervals that ignore the images hold the truth too rarely."""
    population = BY_NAME["accuracy by image"]
    rng = np.random.default_rng(5)
    truth, hits = population.truth(), 0
    for _ in range(200):
        table = population.tables(rng, 500)[0]
        blind = Table(table.columns, table.ids, table.rows)
        found = interval(population.scorer, blind)["share"]
        hits += found.low <= truth <= found.high
    assert hits < 0.9 * 200
    assert coverage(population, 500, 200, seed=5) > 0.91


def test_a_score_is_as_sure_as_the_samples_that_have_it_are_many() -> None:
    """Of 40 samples three have a denominator: the interval is the one of these three alone."""
    some, nothing = [[0.8, 1], [0.9, 1], [0.7, 1]], [[0, 0]] * 37
    of_all = interval(Ratio(), table_of(Ratio(), some + nothing))
    alone = interval(Ratio(), table_of(Ratio(), some))
    for key in ("share", "ratio"):
        ends = of_all[key].low, of_all[key].high
        assert ends == pytest.approx((alone[key].low, alone[key].high), rel=1e-6), key
    one = interval(Ratio(), table_of(Ratio(), [*some[:1], *nothing]))
    assert (one["share"].low, one["share"].high) == (0.0, 1.0)
    assert math.isnan(one["ratio"].low)
