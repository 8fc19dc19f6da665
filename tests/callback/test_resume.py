"""Checkpoints: a run that was interrupted and resumed is the run that was not."""

import importlib
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from lightning_vlmeval import VLMEvalCallback
from tests.callback.modules import QUIET, Finder, loader, module_class


class Overfits(Finder):
    """Validation losses by script, as functions of the step; it learns besides."""

    seen: ClassVar[list[float]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.seen.append(float(loss.detach()))
        return loss

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        loss = 1.0 + abs(self.global_step - 8) / 8
        return {"loss": torch.tensor(loss), **self.answers(batch)}


def make() -> VLMEvalCallback:
    return VLMEvalCallback(print_results=False)


def fit(
    folder: Path,
    callback: VLMEvalCallback,
    *,
    epochs: int,
    resume: str | None = None,
    every_n_train_steps: int | None = None,
) -> pl.Trainer:
    """Fit, and save after each validation, or at every so many steps."""
    checkpoint = ModelCheckpoint(
        folder,
        filename="{step}",
        save_top_k=-1,
        every_n_train_steps=every_n_train_steps,
        save_on_train_epoch_end=False,
    )
    pl.seed_everything(0, verbose=False)
    trainer = pl.Trainer(
        **{**QUIET, "enable_checkpointing": True},
        max_epochs=epochs,
        callbacks=[callback, checkpoint],
    )
    trainer.fit(Overfits(), loader(8, first=100), loader(5), ckpt_path=resume)
    return trainer


def known(history: list[dict[str, Any]]) -> list[str]:
    return [repr(entry) for entry in history]


@pytest.mark.filterwarnings("ignore:Overfitting")
@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_history_and_verdict_are_those_of_a_run_without_interruption(tmp_path: Path) -> None:
    whole = make()
    fit(tmp_path / "whole", whole, epochs=8)
    fit(tmp_path / "parts", make(), epochs=4)
    resumed = make()
    fit(tmp_path / "parts", resumed, epochs=8, resume=str(tmp_path / "parts" / "step=16.ckpt"))
    assert known(resumed.history) == known(whole.history)
    assert len(whole.history) == 9
    assert resumed.verdict == whole.verdict
    assert whole.verdict.state == "overfitting"


@pytest.mark.filterwarnings("ignore:Overfitting")
@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
def test_a_window_that_was_cut_is_counted_once(tmp_path: Path) -> None:
    fit(tmp_path, make(), epochs=2, every_n_train_steps=6)
    before = Overfits.seen[-8:-2]  # up to the checkpoint, in the middle of the second epoch
    resumed = make()
    checkpoint = str(tmp_path / "step=6.ckpt")
    fit(tmp_path, resumed, epochs=2, every_n_train_steps=6, resume=checkpoint)
    after = Overfits.seen[-2:]
    assert [entry["step"] for entry in resumed.history] == [0, 4, 8]
    want = sum([*before[4:], *after]) / 4
    assert resumed.history[2]["train_loss"] == pytest.approx(want, rel=1e-6)


def test_the_state_is_read_by_torch_without_pickles(tmp_path: Path) -> None:
    callback = make()
    trainer = fit(tmp_path, callback, epochs=1)
    trainer.save_checkpoint(tmp_path / "now.ckpt")
    loaded = torch.load(tmp_path / "now.ckpt", weights_only=True)
    (state,) = (v for k, v in loaded["callbacks"].items() if k.startswith("VLMEvalCallback"))
    assert state["history"]["entries"][1]["step"] == 4


def test_validating_another_checkpoint_does_not_turn_the_history_back(tmp_path: Path) -> None:
    callback = make()
    trainer = fit(tmp_path, callback, epochs=3)
    before = known(callback.history)
    trainer.validate(Overfits(), loader(5), ckpt_path=str(tmp_path / "step=4.ckpt"), verbose=False)
    assert known(callback.history) == before


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_run_is_resumed_under_the_other_package(tmp_path: Path) -> None:
    fit(tmp_path, make(), epochs=1)
    library = importlib.import_module("lightning.pytorch")
    callback = make()
    trainer = library.Trainer(**QUIET, max_epochs=2, callbacks=[callback])
    trainer.fit(
        module_class("lightning.pytorch")(),
        loader(8, first=100),
        loader(5),
        ckpt_path=str(tmp_path / "step=4.ckpt"),
    )
    assert callback.history[0]["step"] == 0
    assert callback.history[-1]["step"] == 8


def test_state_loads_before_and_after_the_fit_starts() -> None:
    """Sharded strategies load callbacks' states after `on_fit_start`, others before."""
    callback = make()
    state = {
        "history": {"entries": [], "detector": callback._run.history.detector.state_dict()},
        "training_loss": [3.0, 2.0, 1.0],
    }
    callback.load_state_dict(state)
    assert callback.state_dict()["training_loss"] == [3.0, 2.0, 1.0]
