"""The checkpoints to keep, ties, and what loss and main value say together."""

import math
import re
from typing import Any, cast

import numpy as np
import pytest

from lightning_vlmeval.analysis.checkpoints import (
    BestCheckpoints,
    Checkpoint,
    best_checkpoints,
    judgement,
    read_checkpoints,
)
from lightning_vlmeval.analysis.overfitting import OverfittingDetector, State, Verdict
from lightning_vlmeval.analysis.trend import Trend, TrendState, trend
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.table import Table
from tests.analysis.scorers import Ratio, table_of

NAN = math.nan


def run(
    values: list[float], losses: list[float | None] | None = None, half: float = NAN
) -> list[Checkpoint]:
    return [
        Checkpoint(i, 10 * i, value, value - half, value + half, loss)
        for i, (value, loss) in enumerate(zip(values, losses or [None] * len(values), strict=True))
    ]


CASES: dict[str, tuple[list[Checkpoint], int | None, int | None, list[int]]] = {
    "both": (run([0.1, 0.5, 0.4], [3.0, 1.0, 2.0]), 1, 1, []),
    "apart": (run([0.1, 0.5, 0.6], [3.0, 1.0, 2.0], 0.05), 1, 2, []),
    "tied by intervals": (run([0.1, 0.5, 0.6], None, 0.1), None, 2, [1]),
    "tied by value": (run([0.6, 0.5, 0.6]), None, 0, [2]),
    "undefined values and losses": (run([NAN, 0.5], [NAN, None]), None, 1, []),
    "an infinite loss": (run([0.1, 0.5], [math.inf, 2.0]), 1, 1, []),
    "nothing defined": (run([NAN]), None, None, []),
    "nothing": ([], None, None, []),
}


@pytest.mark.parametrize("name", CASES)
def test_best_checkpoints(name: str) -> None:
    evaluations, lowest, best, tied = CASES[name]
    found = best_checkpoints(evaluations[::-1])
    assert (found.lowest_loss and found.lowest_loss.index) == lowest
    assert (found.best and found.best.index) == best
    assert [one.index for one in found.tied] == tied


def test_lower_may_be_better() -> None:
    found = best_checkpoints(run([0.3, 0.1, 0.15], None, 0.06), higher_is_better=False)
    assert found.best is not None
    assert (found.best.index, [one.index for one in found.tied]) == (1, [2])


def with_tables(columns: list[list[float]]) -> list[Checkpoint]:
    return [
        Checkpoint(
            i,
            i,
            float(np.mean(column)),
            0.0,
            1.0,
            table=table_of(Ratio(), [[x, 1] for x in column]),
        )
        for i, column in enumerate(columns)
    ]


def test_ties_by_the_paired_test() -> None:
    """Intervals of 0 to 1 tie all; but each sample of the first is worse by about 0.1."""
    rng = np.random.default_rng(0)
    ease = rng.uniform(0.2, 0.8, 40)
    columns = [(ease + shift + rng.normal(0, 0.05, 40)).tolist() for shift in (0.0, 0.1, 0.1)]
    run_of_three = with_tables(columns)
    assert len(best_checkpoints(run_of_three).tied) == 2
    found = best_checkpoints(run_of_three, scorer=Ratio(), score="ratio")
    assert found.best is not None
    assert {found.best.index, *(one.index for one in found.tied)} == {1, 2}


def test_tables_of_other_samples_are_tied_by_intervals() -> None:
    a, b = with_tables([[0.1, 0.2], [0.7, 0.9]])
    assert a.table is not None
    other = Table(a.table.columns, ("x", "y"), a.table.rows)
    apart = Checkpoint(0, 0, a.value, a.low, a.high, table=other)
    found = best_checkpoints([apart, b], scorer=Ratio(), score="ratio")
    assert [one.index for one in found.tied] == [0]


def test_sentence() -> None:
    found = best_checkpoints(run([0.5, 0.61, 0.6, 0.62], [3.0, 1.0, 2.0, 4.0], 0.03))
    assert found.sentence("grounding/f1") == (
        "Lowest validation loss at evaluation 1 (step 10); best grounding/f1 at evaluation 3 "
        "(step 30), tied with evaluations 1, 2."
    )
    assert best_checkpoints([]).sentence("f1") == ""


def test_read_checkpoints() -> None:
    """A history has NaN for what is undefined, a stored summary None; intervals may be left out."""
    entries: list[dict[str, Any]] = [
        {"index": 0, "step": 0, "val_loss": None, "values": {"f1": None}},
        {
            "index": 1,
            "step": 9,
            "val_loss": 2.0,
            "values": {"f1": 0.5},
            "intervals": {"f1": [0.4, 0.6]},
        },
        {"index": 2, "step": 18, "val_loss": 1.5, "values": {}, "intervals": {}},
    ]
    zero, one, two = read_checkpoints(entries, "f1")
    assert one == Checkpoint(1, 9, 0.5, 0.4, 0.6, 2.0)
    assert (zero.index, zero.val_loss, two.step, two.val_loss) == (0, None, 18, 1.5)
    assert all(map(math.isnan, (zero.value, zero.low, two.value, two.high)))


def test_a_scorer_needs_its_score() -> None:
    with pytest.raises(
        ConfigurationError, match=re.escape("Expected `score`, one of the scorer's")
    ):
        best_checkpoints([], scorer=Ratio())


# ------------------------------------------------------------------------------------- wording

SAYS = {
    (
        "overfitting",
        "improving",
    ): "overfits since evaluation 2 (step 20), and F1 still improves (+0.1",
    ("overfitting", "declining"): "Both worsen: the loss overfits since evaluation 2",
    ("overfitting", "plateaued"): "and F1 no longer moves",
    ("overfitting", "unclear"): "where F1 is going cannot be told yet",
    ("watch", "improving"): "has begun to rise after evaluation 2 (step 20); F1 still improves",
    ("watch", "declining"): "both may worsen",
    ("watch", "unclear"): "has begun to rise after evaluation 2 (step 20).",
    ("diverging", "declining"): "the run diverges. Lower the learning rate",
    ("diverging", "improving"): "Training and validation loss both rise since evaluation 2",
    ("ok", "declining"): "The loss does not overfit, but F1 declines (+0.1",
    ("ok", "plateaued"): "The loss does not overfit, and F1 no longer moves",
    ("ok", "improving"): "",
    ("ok", "unclear"): "",
    ("invalid", "improving"): "",
}


def verdict(state: str, onset: int | None) -> Verdict:
    return Verdict(cast(State, state), 0.1, onset, 20, (), 0.1, 0.02, 6, "Because.")


@pytest.mark.parametrize(("state", "direction"), SAYS)
def test_judgement(state: str, direction: str) -> None:
    going = Trend(cast(TrendState, direction), 0.1, 0.05, 0.15, "")
    kept = best_checkpoints(run([0.1, 0.2, 0.3, 0.4], [4.0, 3.0, 1.0, 2.0]))
    said = judgement(verdict(state, 20 if state != "ok" else None), going, kept, "F1")
    expected = SAYS[state, direction]
    assert expected in said
    assert said.endswith(kept.sentence("F1"))
    assert bool(expected) == (said != kept.sentence("F1"))
    assert "{" not in said


def test_the_step_where_the_evaluation_is_another() -> None:
    going = Trend("improving", NAN, NAN, NAN, "")
    kept = best_checkpoints(run([0.1, 0.2], [1.0, 2.0]))
    said = judgement(verdict("overfitting", 500), going, kept, "F1")
    assert said.startswith("The loss overfits since step 500, and F1 still improves: train on")


def test_nothing_known() -> None:
    assert judgement(None, None, BestCheckpoints(None, None, ()), "F1") == ""


def test_both_messages_from_curves() -> None:
    """The same losses with a main value that goes up, and one that goes down."""
    losses = [1.0, 0.9, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3]
    detector = OverfittingDetector()
    for step, loss in enumerate(losses):
        found = detector.update(step=10 * step, train_loss=1 / (step + 1), val_loss=loss)
    up = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    for values, message in ((up, "still improves"), (up[::-1], "Both worsen")):
        evaluations = run(values, list(losses))
        said = judgement(found, trend(values), best_checkpoints(evaluations), "F1")
        assert message in said
        assert "Lowest validation loss at evaluation 2 (step 20)" in said
