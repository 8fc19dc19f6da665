"""The demo's runs: a real model learns, is told when it only memorises, on one process or two."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_vlmeval.demo import __main__ as demo
from lightning_vlmeval.demo.__main__ import Recipe, fit
from lightning_vlmeval.demo.model import CHECKPOINT

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
    _, callback = fit(Recipe(steps=80, evaluations=4, learning_rate=1e-3), tmp_path)
    scores = [entry["values"]["val/grounding/f1"] for entry in callback.history]
    losses = [entry["val_loss"] for entry in callback.history]
    assert [entry["step"] for entry in callback.history] == [0, 20, 40, 60, 80]
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


def test_the_same_answers_give_the_same_values_on_two_processes(tmp_path: Path) -> None:
    said, logged = {}, {}
    for devices in (1, 2):
        output = tmp_path / str(devices)
        said[devices] = run("--steps", "1", "--devices", str(devices), "--output", str(output))
        logged[devices] = scalars(output / "version_0", 0)
    assert "151 of 151 samples, 0 duplicates dropped, 0 missing" in said[1]
    assert "151 of 151 samples, 1 duplicates dropped, 0 missing" in said[2]
    assert len(logged[1]) > 60
    for tag, value in logged[1].items():
        # What a network computes is rounded by its batches; what is counted is equal to the bit.
        tolerance = 1e-5 if "bertscore" in tag or "loss" in tag else 0.0
        assert logged[2][tag] == pytest.approx(value, rel=tolerance, abs=tolerance), tag
    assert f"tensorboard --logdir {tmp_path / '1' / 'version_0'}" in said[1]
    assert "evaluation  step  train loss  val loss  val/grounding/f1" in said[1]
