"""The demo's runs: a real model learns, is told when it only memorises, on one process or two."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_vlmeval import Run
from lightning_vlmeval.cli import main as cli
from lightning_vlmeval.demo import __main__ as demo
from lightning_vlmeval.demo.__main__ import Recipe, fit
from lightning_vlmeval.demo.model import CHECKPOINT, load_checkpoint
from lightning_vlmeval.errors import MissingExtraError

pytest.importorskip("transformers", minversion="5.6")

pytestmark = pytest.mark.filterwarnings(
    "ignore:Overfitting since step",
    "ignore:__array__ implementation:DeprecationWarning",  # the processor of transformers
)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def _fewer_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "VALIDATION_SCENES", 41)


def scalars(folder: Path, step: int) -> dict[str, float]:
    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: event.value
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
        if event.step == step
    }


def test_the_checkpoint_is_small() -> None:
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) < 1_000_000


@pytest.mark.usefixtures("_fewer_scenes")
def test_a_healthy_run_improves_on_held_out_scenes(tmp_path: Path) -> None:
    _, callback = fit(Recipe(steps=120, evaluations=4, learning_rate=1e-3), tmp_path)
    scores = [entry["values"]["val/grounding/f1"] for entry in callback.history]
    losses = [entry["val_loss"] for entry in callback.history]
    assert [entry["step"] for entry in callback.history] == [0, 30, 60, 90, 120]
    assert scores[0] < 0.15
    assert scores[-1] > 0.3
    assert losses == sorted(losses, reverse=True)
    assert callback.verdict is not None
    assert callback.verdict.state == "ok"

    (folder,) = tmp_path.iterdir()
    logged = scalars(folder, 0)
    assert logged["val/grounding/f1"] == pytest.approx(scores[0], rel=1e-6)
    assert logged["val/loss"] == pytest.approx(losses[0], rel=1e-6)


@pytest.mark.usefixtures("_fewer_scenes")
def test_a_run_that_memorises_is_told_so(tmp_path: Path) -> None:
    recipe = Recipe(100, evaluations=10, learning_rate=2e-3, examples=8, batch_size=8)
    _, callback = fit(recipe, tmp_path)
    assert callback.verdict is not None
    assert callback.verdict.state == "overfitting"
    assert callback.verdict.best_step < 60
    assert callback.history[-1]["train_loss"] < 0.05
    assert max(entry["values"]["val/grounding/f1"] for entry in callback.history) < 0.4


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "lightning_vlmeval.demo", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_count_as_one_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for devices in (1, 2):
        output = tmp_path / str(devices)
        said[devices] = run("--steps", "1", "--devices", str(devices), "--output", str(output))
    assert "151 of 151 samples, 0 duplicates dropped, 0 missing" in said[1]
    assert "151 of 151 samples, 1 duplicates dropped, 0 missing" in said[2]
    assert f"tensorboard --logdir {tmp_path / '1' / 'version_0'}" in said[1]
    assert "evaluation  step  train loss  val loss  val/grounding/f1" in said[1]

    # The network rounds by its batches, so a few answers differ.
    one, two = (Run(tmp_path / devices / "version_0") for devices in "12")
    pairs = list(zip(one.samples(0), two.samples(0), strict=True))
    same = [(a, b) for a, b in pairs if a["prediction"] == b["prediction"]]
    assert len(pairs) == 151
    assert len(same) >= 145
    assert all(a["rows"]["grounding"] == b["rows"]["grounding"] for a, b in same if "boxes" in a)

    # The answers of two processes, scored in one: the same values to the last bit.
    assert cli.main(["score", str(two.path), "--evaluation", "0", "--format", "json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    logged = two.scores(0)
    assert len(scores) >= 45
    for key, value in scores.items():
        assert repr(logged[f"val/{key}"]) == repr(float("nan") if value is None else value), key


def test_an_older_release_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.__version__", "5.4.1")
    message = (
        "5.6 or later for the demo's model, but got 5.4.1: pip install 'lightning-vlmeval[demo]'"
    )
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        load_checkpoint()
