"""Every way to run a Trainer, of either package, gives the values of the plain one."""

import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.functional.registry import SCORERS, scorer_class
from lightning_vlmeval.keys import metric_key
from tests.callback.modules import QUIET, loader, module_class

PACKAGES = ["pytorch_lightning", "lightning.pytorch"]
MAIN = "val/grounding/mean_iou"


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(**kwargs: Any) -> VLMEvalCallback:
    return VLMEvalCallback(**{"print_results": False, **kwargs})


def fit(package: str, callback: VLMEvalCallback, module: Any = None, **options: Any) -> Any:
    options = {**QUIET, "max_epochs": 2, "callbacks": [callback], **options}
    ckpt_path = options.pop("ckpt_path", None)
    training = options.pop("training", loader(8, first=100))
    trainer = importlib.import_module(package).Trainer(**options)
    trainer.fit(module or module_class(package)(), training, loader(5), ckpt_path=ckpt_path)
    return trainer


def cast_class(package: str) -> type:
    class Cast(module_class(package)):  # type: ignore[misc]  # a base known at run time
        def loss(self, batch: dict[str, Any]) -> torch.Tensor:
            return (self.layer(batch["x"].to(self.layer.weight.dtype)) ** 2).mean(dim=1)

    return Cast


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"])
def test_precisions(package: str, precision: str) -> None:
    """On a CPU Lightning runs 16-mixed as bf16-mixed, and says so."""
    plain, callback = make(), make()
    fit(package, plain)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*AMP with fp16 is not supported on CPU")
        trainer = fit(package, callback, cast_class(package)(), precision=precision)
    assert [entry["step"] for entry in callback.history] == [0, 4, 8]
    for entry, expected in zip(callback.history, plain.history, strict=True):
        assert entry["values"][MAIN] == pytest.approx(expected["values"][MAIN], rel=0.01)
        assert entry["val_loss"] == pytest.approx(expected["val_loss"], rel=0.05)
    assert callback.history[-1]["train_loss"] == pytest.approx(
        plain.history[-1]["train_loss"], rel=0.05
    )
    assert trainer.callback_metrics[MAIN].dtype == torch.float64
    assert float(trainer.callback_metrics[MAIN]) == callback.history[-1]["values"][MAIN]


@pytest.mark.parametrize(
    ("options", "untrained", "steps"),
    [
        ({"num_sanity_val_steps": -1}, None, [0, 4, 8]),
        ({"num_sanity_val_steps": -1}, False, [4, 8]),
        ({"num_sanity_val_steps": 0}, True, [0, 4, 8]),
        ({"fast_dev_run": 3}, None, [3]),
        ({"fast_dev_run": 3}, True, [0, 3]),
        ({"overfit_batches": 0.5}, None, [0, 2, 4]),
        ({"max_epochs": 0}, None, [0]),
        ({"limit_train_batches": 0}, None, [0]),
        ({"val_check_interval": 1, "max_epochs": 1}, None, [0, 1, 2, 3, 4]),
        ({"val_check_interval": 6, "check_val_every_n_epoch": None}, None, [0, 6]),
        ({"reload_dataloaders_every_n_epochs": 1}, None, [0, 4, 8]),
    ],
    ids=str,
)
def test_when_evaluations_come(
    package: str, options: dict[str, Any], untrained: bool | None, steps: list[int]
) -> None:
    callback = make(evaluate_untrained=untrained)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*overfit_batches.*|.*sampler has shuffling.*")
        fit(package, callback, **options)
    assert [entry["step"] for entry in callback.history] == steps
    assert [entry["index"] for entry in callback.history] == list(range(len(steps)))


def test_barebones_validates_without_a_log(package: str) -> None:
    callback, plain = make(), make()
    library = importlib.import_module(package)
    trainer = library.Trainer(barebones=True, accelerator="cpu", callbacks=[callback])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*barebones.*")
        trainer.validate(module_class(package)(), loader(5), verbose=False)
    library.Trainer(**QUIET, callbacks=[plain]).validate(
        module_class(package)(), loader(5), verbose=False
    )
    assert repr(callback.history) == repr(plain.history)
    assert not trainer.callback_metrics


def scalar_steps(folder: Path) -> dict[str, list[int]]:
    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [one.step for one in events.Scalars(tag)]
        for tag in ("train/loss", "val/grounding/f1", "theirs")
    }


def test_several_optimisers_count_steps_and_the_log_counts_batches(
    package: str, tmp_path: Path
) -> None:
    class TwoOptimisers(module_class(package)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            for optimizer in self.optimizers():
                optimizer.zero_grad()
            self.manual_backward(loss)
            for optimizer in self.optimizers():
                optimizer.step()
            self.log("theirs", loss)
            return loss

        def configure_optimizers(self) -> list[torch.optim.Optimizer]:
            return [torch.optim.SGD([one], lr=0.05) for one in self.parameters()]

    plain, callback = make(), make()
    fit(package, plain)
    loggers = importlib.import_module(f"{package}.loggers")
    logger = loggers.TensorBoardLogger(tmp_path, name="", version="run")
    fit(package, callback, TwoOptimisers(), logger=logger, log_every_n_steps=1)
    assert [entry["step"] for entry in callback.history] == [0, 8, 16]
    for entry, expected in zip(callback.history[1:], plain.history[1:], strict=True):
        assert entry["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-6)
        assert entry["values"][MAIN] == pytest.approx(expected["values"][MAIN], rel=1e-6)
    steps = scalar_steps(tmp_path / "run")
    assert steps["val/grounding/f1"] == [0, 3, 7]
    assert steps["train/loss"] == steps["theirs"] == list(range(8))


def test_accumulation_that_changes(package: str) -> None:
    """Lightning divides the loss by a number that changes from epoch to epoch."""
    seen: list[float] = []

    class Noting(module_class(package)):  # type: ignore[misc]
        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            seen.append(float(loss.detach()))
            return loss

    callback = make()
    callbacks = importlib.import_module(f"{package}.callbacks")
    scheduler = callbacks.GradientAccumulationScheduler({0: 1, 1: 3})
    fit(package, callback, Noting(), callbacks=[scheduler, callback])
    means = [entry["train_loss"] for entry in callback.history[1:]]
    assert means == pytest.approx([sum(seen[:4]) / 4, sum(seen[4:]) / 4], rel=1e-6)


def test_a_schedule_on_a_value_of_ours(package: str) -> None:
    class OnPlateau(module_class(package)):  # type: ignore[misc]
        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.0)
            schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=0)
            self.schedule = schedule
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": schedule, "monitor": MAIN},
            }

    module, callback = OnPlateau(), make()
    fit(package, callback, module, max_epochs=3)
    assert module.schedule.best == callback.history[0]["values"][MAIN]
    assert module.schedule.last_epoch == 3


@pytest.mark.parametrize("first", [True, False])
def test_averaged_weights_answer(package: str, first: bool) -> None:
    """Their callback puts the average in before a validation, and takes it out at its end."""
    callbacks = importlib.import_module(f"{package}.callbacks")
    if not hasattr(callbacks, "WeightAveraging"):
        pytest.skip("this Lightning has no WeightAveraging")
    trained: list[float] = []
    seen: list[float] = []

    class Noting(module_class(package)):  # type: ignore[misc]
        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            trained.append(float(self.layer.weight.detach().sum()))
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            return self.loss(batch).mean()

        def vlmeval_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
            seen.append(float(self.layer.weight.detach().sum()))
            return self.answers(batch)

    # It begins with the weights after the first step, and here it stays there.
    callback, averaging = make(), callbacks.WeightAveraging(avg_fn=lambda old, *_: old)
    order = [callback, averaging] if first else [averaging, callback]
    fit(package, callback, Noting(), callbacks=order, num_sanity_val_steps=0)
    assert seen == [trained[1]] * 6
    assert trained[1] not in trained[2:]


class Same(torch.utils.data.Dataset):
    """One sample, many times: a resumed epoch begins at the set's first batch."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": torch.ones(4), "index": 0}


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.parametrize("step", [3, 5, 7])
def test_a_run_resumed_within_an_epoch_has_the_same_history(
    package: str, step: int, tmp_path: Path
) -> None:
    callbacks = importlib.import_module(f"{package}.callbacks")
    options = {
        "training": DataLoader(Same(), 2),
        "val_check_interval": 0.5,
        "enable_checkpointing": True,
    }

    def run(callback: VLMEvalCallback, folder: str, **more: Any) -> None:
        checkpoint = callbacks.ModelCheckpoint(
            tmp_path / folder,
            filename="{step}",  # noqa: RUF027  Lightning's own syntax
            save_top_k=-1,
            every_n_train_steps=1,
        )
        fit(package, callback, callbacks=[callback, checkpoint], **options, **more)

    whole, resumed = make(), make()
    run(whole, "whole", max_epochs=3)
    run(resumed, "more", max_epochs=3, ckpt_path=str(tmp_path / "whole" / f"step={step}.ckpt"))
    assert repr(resumed.history) == repr(whole.history)
    assert [entry["step"] for entry in whole.history] == [0, 2, 4, 6, 8, 10, 12]
    assert resumed.verdict == whole.verdict


def test_loggers_can_take_every_key() -> None:
    """MLflow drops other characters; `step` and `epoch` would be taken for the axis."""
    for name in SCORERS:
        for key in scorer_class(name)().keys:
            full = metric_key(name, key)
            assert re.fullmatch(r"[A-Za-z0-9_/. -]+", full), full
            assert full.split("/")[-1] not in ("step", "epoch"), full
