"""What is said of a run: news once, patterns with evidence, and no fault that ends a training."""

from typing import Any

import pytest

from lightning_vlmeval.analysis.overfitting import OverfittingDetector
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.keys import metric_key
from lightning_vlmeval.session.accounting import Accounting
from lightning_vlmeval.session.evaluation import Evaluation
from lightning_vlmeval.session.judge import Judge
from lightning_vlmeval.table import Table

BOX = [0.0, 0.0, 10.0, 10.0]
SCORER = GroundingScorer()


def evaluation(found: int, count: int = 200) -> Evaluation:
    """Of `count` samples with one box each, the first `found` are found and nothing is said of others."""
    rows = SCORER.rows([[BOX]] * found + [[]] * (count - found), [[BOX]] * count)
    table = Table(SCORER.columns, tuple(f"s{i:03d}" for i in range(count)), rows)
    scores = {metric_key("grounding", k): v for k, v in SCORER.score(table).items()}
    counted = Accounting(count, count, 0)
    return Evaluation(
        scores, {"grounding": table}, {"grounding": SCORER}, counted, {}, None, {}, 0.0
    )


def run(founds: list[int], losses: list[float]) -> tuple[Judge, list[list[str]]]:
    judge, detector = Judge(), OverfittingDetector()
    entries: list[dict[str, Any]] = []
    said = []
    for i, (found, loss) in enumerate(zip(founds, losses, strict=True)):
        one = evaluation(found)
        values = {f"val/{key}": value for key, value in one.scores.items()}
        entries.append(
            {"index": i, "step": 10 * (i + 1), "val_loss": loss, "values": values, "intervals": {}}
        )
        verdict = detector.update(step=10 * (i + 1), train_loss=1 / (i + 1), val_loss=loss)
        said.append(judge.look(entries, {None: one}, None, [], verdict))
    return judge, said


def test_a_pattern_is_told_once_with_its_evidence() -> None:
    judge, said = run([40] * 6, [1.0, 0.9, 0.8, 0.75, 0.72, 0.7])
    (cautious,) = [one for one in judge.findings if one["slug"] == "cautious"]
    assert cautious["numbers"]["grounding/recall"][0] == 0.2
    assert set(cautious["samples"]) <= {f"s{i:03d}" for i in range(40, 200)}
    assert sum(line.startswith("cautious:") for lines in said for line in lines) == 1


def test_loss_and_main_value_are_told_together() -> None:
    losses = [1.0, 0.8, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]
    better, said = run([20, 40, 60, 80, 100, 120, 140, 160], losses)
    assert better.sentence.startswith(
        "The loss overfits since evaluation 2 (step 30), and grounding/f1 still improves"
    )
    assert "Lowest validation loss at evaluation 2 (step 30)" in better.sentence
    assert "best grounding/f1 at evaluation 7 (step 80)" in better.sentence
    told = [line for lines in said for line in lines if "overfits since" in line]
    assert len(told) == 1
    worse, _ = run([160, 160, 160, 140, 120, 100, 80, 60], losses)
    assert worse.sentence.startswith("Both worsen: the loss overfits since evaluation 2 (step 30)")


def test_what_was_said_is_remembered_over_a_resume() -> None:
    judge, _ = run([40] * 6, [1.0, 0.9, 0.8, 0.75, 0.72, 0.7])
    again = Judge()
    again.load_state_dict(judge.state_dict())
    one = evaluation(40)
    values = {f"val/{key}": value for key, value in one.scores.items()}
    entry = {"index": 6, "step": 70, "val_loss": 0.69, "values": values, "intervals": {}}
    assert again.look([entry], {None: one}, None, [], None) == []
    assert any(one["slug"] == "cautious" for one in again.findings)


def test_a_fault_is_told_and_ends_nothing() -> None:
    one = evaluation(10)
    with pytest.warns(UserWarning, match="could not be judged: KeyError"):
        assert Judge().look([{}], {None: one}, None, [], None) == []


def test_another_run_is_told_anew_in_the_same_bands() -> None:
    """A recall of 0.2 is low by default, which is `cautious`; not in these bands."""
    judge, one = Judge(bands={"grounding/recall": [0.1, 0.15]}), evaluation(40)
    values = {f"val/{key}": value for key, value in one.scores.items()}
    entry = {"index": 1, "step": 10, "val_loss": 1.0, "values": values, "intervals": {}}
    (first,) = judge.look([entry], {None: one}, None, [], None)
    assert first.startswith("recall-behind-precision:")
    assert judge.look([entry], {None: one}, None, [], None) == []
    judge.begin()
    assert (judge.findings, judge.sentence) == ([], "")
    assert judge.look([entry], {None: one}, None, [], None) == [first]
