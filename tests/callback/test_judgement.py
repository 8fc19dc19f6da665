"""What a user of the callback is told of a run, and the options that decide it."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from lightning_vlmeval import Run, Sample, VLMEvalCallback
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.runs.files import StoreError
from tests.callback.modules import QUIET, Finder, Scenes

SIZE = 80


class Annotated(Finder):
    """Eve annotates boxes tighter than two others; ladles, one box in four, are found half as often."""

    found = SIZE
    loose = 0.0
    as_samples = False

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        made = [self.sample(i) for i in batch["index"].tolist()]
        loss = {"loss": self.loss(batch).mean()}
        if self.as_samples:
            return {"samples": made, **loss}
        return {
            "preds": [one.prediction for one in made],
            "target": [one.target for one in made],
            "id": [one.id for one in made],
            "annotator": [one.annotator for one in made],
            **loss,
        }

    def sample(self, i: int) -> Sample:
        side, who = 40.0 + i % 7, ("eve", "bob", "dan")[i % 3]
        drawn = side * (1.2 if who == "eve" else 1.0) + i % 4 + self.loose
        label = "can" if i % 4 else "ladle"
        there = i % 8 != 0 and i < self.found
        return Sample(
            f"s{i:02}",
            {"boxes": [[0, 0, drawn, drawn]] * there, "labels": [label] * there},
            {"boxes": [[0, 0, side, side]], "labels": [label]},
            annotator=who,
        )


def fit(module: Finder | None = None, **options: Any) -> VLMEvalCallback:
    callback = VLMEvalCallback(**{"print_results": False, "store": False, **options})
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    sets = [DataLoader(Scenes(size, ids=False), batch_size=16) for size in (16, SIZE)]
    trainer.fit(module or Annotated(), *sets)
    return callback


def findings(callback: VLMEvalCallback) -> dict[str, dict[str, Any]]:
    judge = callback._run.patterns
    assert judge is not None
    return {one["slug"]: one for one in judge.findings}


@pytest.mark.parametrize("as_samples", [False, True])
def test_annotators_reach_the_diagnosis_and_the_store(tmp_path: Path, as_samples: bool) -> None:
    module = Annotated()
    module.as_samples = as_samples
    fit(module, store=str(tmp_path), report=False)
    run = Run(tmp_path)
    (found,) = [one for one in run.evaluations[-1]["findings"] if "annotator" in one["slug"]]
    assert found["slug"] == "annotator-tighter"
    ((name, (value, low, _)), *_) = found["numbers"].items()
    assert name == 'size ratio of annotator "eve" over that of the others'
    assert 1.3 < low < value < 1.5  # 1.2 squared, but for what is drawn wider anyhow
    assert not any(int(one[1:]) % 3 for one in found["samples"])
    assert {one["annotator"] for one in run.samples(-1)[::3]} == {"eve"}


def test_without_annotators_none_is_named() -> None:
    class Anonymous(Annotated):
        def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
            found = super().validation_step(batch, batch_idx)
            # A group is what varies together, and no annotator.
            return {**found, "group": found["annotator"], "annotator": None}

    assert not [slug for slug in findings(fit(Anonymous())) if "annotator" in slug]


def test_phrases_that_are_rare_in_training() -> None:
    assert "rare-phrases" not in findings(fit())
    found = findings(fit(training_phrases={"can": 500, "ladle": 3}))["rare-phrases"]
    ((name, (value, *_)), *_) = found["numbers"].items()
    assert name == 'recall of common less rare phrases ("ladle" 3)'
    assert value == 0.5
    assert "rare-phrases" not in findings(fit(training_phrases={"can": 500, "ladle": 10}))


def test_bands_are_the_users() -> None:
    assert "finds-and-fits" in findings(fit(metrics=["grounding"]))
    bands = {"grounding/f1": [0.97, 0.99], "grounding/recall": [0.6, 0.99]}
    assert "finds-and-fits" not in findings(fit(metrics=["grounding"], bands=bands))


def test_a_baseline_is_what_values_are_judged_against(tmp_path: Path) -> None:
    class Weaker(Annotated):
        found, loose = 40, 4.0

    fit(Weaker(), store=str(tmp_path), report=False)
    found = findings(fit(baseline=str(tmp_path)))
    assert found["finds-and-fits"]["meaning"].startswith("Against the baseline")
    assert found["finds-and-fits"]["numbers"]["grounding/f1 against the baseline"][1] > 0


def test_the_runs_own_first_evaluation_may_be_the_baseline(tmp_path: Path) -> None:
    """After the first epoch 40 of 80 are found, later all: that is more than the untrained model."""

    class Growing(Annotated):
        def sample(self, i: int) -> Sample:
            epoch = 0 if self.trainer.sanity_checking else self.trainer.current_epoch + 1
            self.found, self.loose = {0: 0, 1: 40}.get(epoch, SIZE), 4.0 if epoch < 2 else 0.0
            return super().sample(i)

    callback = VLMEvalCallback(print_results=False, store=str(tmp_path), baseline="first")
    trainer = pl.Trainer(**QUIET, max_epochs=4, callbacks=[callback])
    trainer.fit(Growing(), *[DataLoader(Scenes(n, ids=False), batch_size=16) for n in (16, SIZE)])
    told = [{one["slug"]: one for one in entry["findings"]} for entry in Run(tmp_path).evaluations]
    assert not [one for one in told[1].values() if "baseline" in one["meaning"]]
    last = told[-1]["finds-and-fits"]
    assert last["meaning"].startswith("Against the baseline")
    low = Run(tmp_path).scores(1)["val/grounding/f1"]
    high = Run(tmp_path).scores(-1)["val/grounding/f1"]
    assert last["numbers"]["grounding/f1 against the baseline"][0] == pytest.approx(high - low)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"iou_threshold": 0.7}, "grounding is "),
        ({"shift": 1.0}, "samples of the same id have other targets there"),
        ({"prefix": "t"}, "it has no sample in common with this validation set"),
    ],
)
def test_a_baseline_that_does_not_compare_is_told_once(
    tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    shift, prefix = options.pop("shift", 0.0), options.pop("prefix", "s")

    class Other(Annotated):
        def sample(self, i: int) -> Sample:
            one = super().sample(i)
            target = {**one.target, "boxes": [[x + shift for x in one.target["boxes"][0]]]}
            return Sample(prefix + one.id[1:], one.prediction, target, annotator=one.annotator)

    fit(store=str(tmp_path), report=False)
    with pytest.warns(UserWarning, match=re.escape(why)) as seen:
        callback = fit(Other(), baseline=str(tmp_path), metrics=["grounding"], **options)
    assert sum("are not judged against" in str(one.message) for one in seen) == 1
    assert not [one for one in findings(callback).values() if "baseline" in one["meaning"]]


def test_intervals_of_either_kind_or_none() -> None:
    analytic, resampled, none = (
        fit(intervals=one).history[-1] for one in (True, "bootstrap", False)
    )
    assert analytic["intervals"].keys() == resampled["intervals"].keys()
    key = "val/grounding/f1"
    a, b = analytic["intervals"][key], resampled["intervals"][key]
    assert a != b
    assert max(abs(x - y) for x, y in zip(a, b, strict=True)) < 0.03
    assert all(low <= high for low, high in resampled["intervals"].values())
    assert none["intervals"] == {}
    assert none["values"][key] == analytic["values"][key]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"intervals": "wald"}, ConfigurationError, "'delta' or 'bootstrap', but got 'wald'"),
        ({"bands": {"f1": [0, 1]}}, ConfigurationError, "text/bleu, "),
        ({"bands": {"text/bleu": [0.5, 0.2]}}, ConfigurationError, "low up to high, but got [0.5"),
        ({"bands": {"text/bleu": [0.5]}}, ConfigurationError, "to be two numbers"),
        ({"bands": {"text/bleu": [math.nan, 1]}}, ConfigurationError, "to be two numbers"),
        (
            {"bands": {"grounding/precision_less_recall": [0.1, 0.2]}},
            ConfigurationError,
            "to hold 0, as [-0.15, 0.15], but got [0.1, 0.2]",
        ),
        ({"training_phrases": {"can": -1}}, ConfigurationError, "but got 'can': -1"),
        ({"training_phrases": {"can": 0.5}}, ConfigurationError, "but got 'can': 0.5"),
        ({"baseline": "first", "store": False}, ConfigurationError, "`store` beside baseline='f"),
        ({"baseline": "nowhere"}, StoreError, "nowhere: expected the folder of a run"),
    ],
)
def test_options_that_cannot_work(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        VLMEvalCallback(**options)


def test_the_checkpoints_to_keep_are_named_at_the_end_and_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(store=str(tmp_path))
    said = Run(tmp_path).evaluations[-1]["judgement"]
    assert "owest validation loss at evaluation 1 (step 1); best grounding/f1 at evaluation" in said
    out = capsys.readouterr().out
    assert out.count(said) == 1
    assert out.index(said) < out.index("the report is")
    html = (tmp_path / "vlmeval" / "report.html").read_text(encoding="utf-8")
    assert html.count(said) == 2  # to read without scripts, and with


def test_what_is_learnt_by_heart_is_told() -> None:
    class Memory(Annotated):
        """It finds every box of the training set, whose numbers come after, and half of others."""

        def vlmeval_step(
            self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int
        ) -> dict[str, Any]:
            box = [[0.0, 0.0, 9.0, 9.0]]
            numbers = batch["index"].tolist()
            return {
                "preds": [box if i >= SIZE or i % 2 else [] for i in numbers],
                "target": [box] * len(numbers),
                "id": [f"s{i}" for i in numbers],
            }

    callback = VLMEvalCallback(training_samples=40, print_results=False, store=False)
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    sets = [DataLoader(Scenes(50, first=SIZE), 16), DataLoader(Scenes(SIZE), 16)]
    trainer.fit(Memory(), *sets)
    found = findings(callback)["memorised"]
    ((name, (value, low, _)), *_) = found["numbers"].items()
    assert name == "grounding/f1 on training less validation samples"
    assert value == pytest.approx(1 - 2 / 3)
    assert low > 0.1
    assert trainer.callback_metrics["train/grounding/f1"] == 1


def test_intervals_are_logged_beside_their_values() -> None:
    for wanted in (True, False):
        callback = VLMEvalCallback(print_results=False, store=False, intervals=wanted)
        trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
        trainer.fit(Annotated(), DataLoader(Scenes(4), 4), DataLoader(Scenes(SIZE), 16))
        logged = {
            key: float(value)
            for key, value in trainer.callback_metrics.items()
            if "grounding/f1" in key and "50" not in key
        }
        ends = [f"val_ci/grounding/f1_{end}" for end in ("low", "high")]
        assert set(logged) == {"val/grounding/f1", *(ends if wanted else [])}
        if wanted:
            assert logged[ends[0]] < logged["val/grounding/f1"] < logged[ends[1]]
