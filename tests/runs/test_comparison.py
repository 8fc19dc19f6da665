"""Two runs compared: what changed, and what does not compare."""

import json
import math
import re
from pathlib import Path

import pytest

from lightning_vlmeval import Run, compare
from lightning_vlmeval.analysis.comparison import compare_tables, holm
from lightning_vlmeval.errors import ComparisonError, ConfigurationError
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.cider import CIDErScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.health import HealthScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.runs.directions import better
from lightning_vlmeval.runs.files import StoreError
from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.store import RunStore
from tests.analysis.scorers import MicroF1
from tests.runs.made_runs import grounding_run

# Boxes found at shifts up to 3 of 10; 12 samples in 6 groups.
POOR = (8, 6, 2, 6, 9, 7, 5, 8, 6, 4, 7, 9)
GOOD = (1, 0, 2, 1, 0, 2, 1, 6, 0, 0, 1, 2)


def text_run(folder: Path, answers: list[str], scorers: list[Scorer], name: str = "texts") -> Path:
    target = ["a red dog", "two cats", "a bird", "no", "yes", "a red car"]
    record = run_record(name, ["vqa"], {scorer.name: scorer for scorer in scorers})
    samples = []
    for i, answer in enumerate(answers):
        pair = ([answer], [target[i]])
        samples.append(
            {
                "id": str(i),
                "prediction": answer,
                "target": target[i],
                "rows": {s.name: s.rows(*pair)[0] for s in scorers},
                "payloads": {s.name: (s.payloads(*pair) or [b""])[0] for s in scorers},
            }
        )
    RunStore(folder, record).write({"index": 0, "step": 1}, samples)
    return folder


def test_two_runs_by_their_tables(tmp_path: Path) -> None:
    a = grounding_run(tmp_path / "a", [GOOD, POOR], name="a")
    b = grounding_run(tmp_path / "b", [POOR, GOOD], name="b")
    found = compare(a, Run(b))
    assert (found.a.run, found.a.index, found.a.step) == ("a", 1, 10)
    scorer = GroundingScorer()
    tables = Run(a).table(-1, "grounding"), Run(b).table(-1, "grounding")
    expected = compare_tables(scorer, *tables)
    f1 = found.differences["grounding/f1"]
    assert f1.difference == expected.differences["f1"].difference > 0.5
    assert (f1.low, f1.high) == (expected.differences["f1"].low, expected.differences["f1"].high)
    assert found.metrics["grounding"].num_clusters == 6
    assert f1.flips is not None
    assert f1.flips.fixed[0] == "scene-0000"
    assert f1.flips.never_solved == ("scene-0007",)
    assert found.verdict("grounding/f1") == "better"
    assert found.regressions == []
    back = compare(b, a)
    assert back.verdict("grounding/f1") == "worse"
    assert back.regressions == ["grounding/f1", "grounding/mean_iou"]
    assert compare(a, b, 0, 0).differences["grounding/f1"].difference < -0.5
    same = compare(a, a)
    assert same.verdict("grounding/f1") == "undecided"
    assert same.differences["grounding/f1"].p_value == 1


def test_primary_scores_are_corrected_over_all_metrics(tmp_path: Path) -> None:
    scorers = [AnswerScorer(), CIDErScorer()]
    answers = ["a red dog", "one cat", "bird", "no", "no", "a red car"]
    a = text_run(tmp_path / "a", ["?"] * 6, scorers)
    b = text_run(tmp_path / "b", answers, scorers)
    primary = ["answers/exact_match", "answers/token_f1", "text/cider"]
    found = compare(a, b, primary=primary).differences
    expected = holm({key: found[key].p_value for key in primary})
    assert {key: found[key].adjusted_p_value for key in primary} == expected
    assert found["answers/anls"].adjusted_p_value is None
    assert all(found[key].adjusted_p_value >= found[key].p_value for key in primary)
    default = compare(a, b).differences
    assert [key for key, one in default.items() if one.adjusted_p_value is not None] == [
        "answers/exact_match",
        "answers/token_f1",
    ]
    message = "Expected `primary` among answers/exact_match"
    with pytest.raises(ConfigurationError, match=message):
        compare(a, b, primary=["f1"])


def test_a_primary_score_that_the_correction_takes_back(tmp_path: Path) -> None:
    a = grounding_run(tmp_path / "a", [(8, 6, 1, 6, 2, 1)], name="a")
    b = grounding_run(tmp_path / "b", [(1, 0, 1, 1, 2, 1)], name="b")
    level = 0.8
    found = compare(a, b, level=level).differences["grounding/mean_iou"]
    p = found.p_value
    between = 1 - (p + found.adjusted_p_value) / 2  # significant on its own, not of two
    assert found.adjusted_p_value > p
    both = compare(a, b, level=between).differences["grounding/mean_iou"]
    alone = compare(a, b, level=between, primary=["grounding/mean_iou"]).differences
    assert both.direction == "undecided"
    assert alone["grounding/mean_iou"].direction == "higher"


def test_losses_of_one_architecture(tmp_path: Path) -> None:
    a = grounding_run(tmp_path / "a", [POOR], name="a")
    b = grounding_run(tmp_path / "b", [GOOD], name="b")
    found = compare(a, b)
    loss = found.differences["loss/loss"]
    assert loss.value_a == pytest.approx(0.1 * (1 + sum(POOR) / 12))
    assert found.verdict("loss/loss") == "better"
    assert list(compare(a, b, metrics=["loss"]).differences) == ["loss/loss"]
    other = grounding_run(tmp_path / "c", [GOOD], name="c", model="Other")
    found = compare(a, other)
    assert "loss/loss" not in found.differences
    assert found.notes == (
        "Losses do not compare across architectures, but these are Tiny of 10 parameters and "
        "Other of 10 parameters: compare scores instead",
    )
    with pytest.raises(ComparisonError, match="Losses do not compare across architectures"):
        compare(a, other, metrics=["loss"])


def test_several_dataloaders(tmp_path: Path) -> None:
    a = grounding_run(tmp_path / "a", [POOR], loaders=("shelf", "street"))
    b = grounding_run(tmp_path / "b", [GOOD], loaders=("street", "yard"))
    found = compare(a, b)
    assert set(found.metrics) == {"street/grounding", "street/loss"}
    assert "street/grounding/f1" in found.differences
    assert found.verdict("street/grounding/f1") == "better"
    c = grounding_run(tmp_path / "c", [GOOD], loaders=("yard",))
    message = "Expected the same validation dataloaders, but got ['shelf', 'street'] and ['yard']"
    with pytest.raises(ComparisonError, match=re.escape(message)):
        compare(a, c)


def test_unlike_signatures_are_refused(tmp_path: Path) -> None:
    a = grounding_run(tmp_path / "a", [POOR])
    b = grounding_run(tmp_path / "b", [GOOD], scorer=GroundingScorer(iou_threshold=0.75))
    message = (
        "grounding: Expected scores made in the same way, but they differ in "
        "iou_threshold: 0.5 and 0.75"
    )
    with pytest.raises(ComparisonError, match=re.escape(message)):
        compare(a, b)


def test_unlike_validation_sets_are_refused(tmp_path: Path) -> None:
    a = grounding_run(tmp_path / "a", [POOR])
    b = grounding_run(tmp_path / "b", [GOOD[:-1]])
    with pytest.raises(ComparisonError, match="grounding: Expected the same validation set, but"):
        compare(a, b)


def test_without_fingerprints_the_ids_decide(tmp_path: Path) -> None:
    answers = ["a red dog", "two cats", "a bird", "no", "yes", "a red car"]
    a = text_run(tmp_path / "a", answers, [AnswerScorer()])
    b = text_run(tmp_path / "b", answers[:4], [AnswerScorer()])
    found = compare(a, b).metrics["answers"]
    assert (found.num_samples, found.num_only_a, found.num_only_b) == (4, 2, 0)


def test_metrics_that_are_not_compared_are_named(tmp_path: Path) -> None:
    answers = ["a red dog", "two cats", "a bird", "no", "yes", "a red car"]
    a = text_run(tmp_path / "a", answers, [AnswerScorer(), HealthScorer()], "one")
    b = text_run(tmp_path / "b", answers, [AnswerScorer()], "two")
    found = compare(a, b)
    assert found.notes == ("the metric 'health' is only in one",)
    with pytest.raises(ConfigurationError, match="the metric 'health' is only in one"):
        compare(a, b, metrics=["health"])
    with pytest.raises(ConfigurationError, match="of both runs, but: no metric 'bleu'"):
        compare(a, b, metrics=["bleu"])


def test_a_metric_of_ones_own_cannot_be_made_again(tmp_path: Path) -> None:
    record = run_record("mine", ["phrase_grounding"], {"micro": MicroF1()})
    RunStore(tmp_path, record).write({"index": 0}, [{"id": "a", "rows": {"micro": [1, 0, 0]}}])
    message = (
        "Expected a metric whose rows both runs have, but there is none: The metric 'micro' cannot "
        "be made again from its record"
    )
    with pytest.raises(ComparisonError, match=re.escape(message)):
        compare(tmp_path, tmp_path)


def test_no_metric_at_all(tmp_path: Path) -> None:
    RunStore(tmp_path, run_record("none", [], {})).write({"index": 0}, [{"id": "a"}])
    with pytest.raises(ComparisonError, match=r"rows both runs have, but there is none$"):
        compare(tmp_path, tmp_path)


def test_a_tokenizer_of_ones_own_compares(tmp_path: Path) -> None:
    scorer = CIDErScorer(tokenize=str.split)
    answers = ["a red dog", "two cats", "a bird", "no", "yes", "a red car"]
    a = text_run(tmp_path / "a", ["a dog", *answers[1:]], [scorer])
    b = text_run(tmp_path / "b", answers, [scorer])
    found = compare(a, b).differences["text/cider"]
    assert found.difference == pytest.approx(
        scorer.score(Run(b).table(0, "cider"))["cider"]
        - scorer.score(Run(a).table(0, "cider"))["cider"]
    )
    c = text_run(tmp_path / "c", answers, [CIDErScorer()])
    with pytest.raises(ComparisonError, match=r"tokenize: builtins.str.split and .*caption_tokens"):
        compare(b, c)


def test_a_loss_that_is_none(tmp_path: Path) -> None:
    folder = grounding_run(tmp_path / "a", [POOR], name="a")
    run = Run(folder)
    samples = [{**sample, "loss": "low"} for sample in run.samples()]
    RunStore(folder, run.record).write({"index": 1}, samples)
    message = "a, a: a loss: expected a number or null, but got a string"
    with pytest.raises(StoreError, match=re.escape(message)):
        compare(folder, folder)


def test_nothing_is_undefined_by_accident(tmp_path: Path) -> None:
    folder = grounding_run(tmp_path, [[9, 9], [9, 9]])
    found = compare(folder, folder, 0, 1)
    assert math.isnan(found.differences["grounding/iou"].difference)
    assert found.verdict("grounding/iou") == "undecided"
    json.dumps([found.a.run, found.notes])


def test_which_way_is_better() -> None:
    lower = ["val/health/empty", "answers/cer", "structured/cause_fence", "val/loss"]
    higher = ["val/health/healthy", "structured/schema_adherence", "val/shelf/grounding/f1"]
    assert {better(key) for key in lower} == {"lower"}
    assert {better(key) for key in higher} == {"higher"}
    assert better("grounding/said_none") == "neither"
