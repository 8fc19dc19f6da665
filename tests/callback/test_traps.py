"""What Lightning does that would make values stale, scaled, shifted or lost."""

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, GradientAccumulationScheduler
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import CombinedLoader
from torch.utils.data import DataLoader

from lightning_vlmeval import Run, VLMEvalCallback
from tests.callback.modules import QUIET, Finder, loader
from tests.callback.test_publish import events_of
from tests.callback.test_store import WithPictures


def make(**kwargs: Any) -> VLMEvalCallback:
    return VLMEvalCallback(**{"print_results": False, "store": False, **kwargs})


def fit(callback: VLMEvalCallback, module: Any = None, val: Any = None, **kwargs: Any) -> Any:
    more = kwargs.pop("callbacks", [])
    trainer = pl.Trainer(**{**QUIET, "max_epochs": 2, **kwargs}, callbacks=[callback, *more])
    trainer.fit(module or Finder(), loader(8, first=100), loader(5) if val is None else val)
    return trainer


def test_a_loss_is_scaled_back_as_the_accumulation_changes() -> None:
    seen: list[float] = []

    class Noting(Finder):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            seen.append(float(loss.detach()))
            return loss

    callback = make()
    fit(callback, Noting(), callbacks=[GradientAccumulationScheduler({0: 1, 1: 3})])
    means = [entry["train_loss"] for entry in callback.history[1:]]
    assert means == pytest.approx([sum(seen[:4]) / 4, sum(seen[4:]) / 4], rel=1e-6)


def test_what_a_model_caches_in_a_validation_can_be_trained_on() -> None:
    class Caches(Finder):
        cached: Any = None

        def vlmeval_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
            if self.cached is None:
                self.cached = torch.ones(1) * 2
            return self.answers(batch)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return (self.layer(batch["x"]) * self.cached).square().mean()

    callback, module = make(), Caches()
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    trainer.validate(module, loader(5), verbose=False)
    trainer.fit(module, loader(8, first=100), loader(5))
    assert len(callback.history) == 2


def advice(key: str) -> str:
    return (
        f"It is recommended to use `self.log('{key}', ..., sync_dist=True)` when logging on epoch"
    )


@pytest.mark.parametrize("name", [None, "mine"])
def test_only_advice_about_our_keys_is_silenced(name: str | None) -> None:
    callback = make(name=name)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        fit(callback, max_epochs=1)
        with warnings.catch_warnings(record=True) as seen:
            prefix = "" if name is None else f"{name}/"
            ours = ["val/grounding/f1", "val_ci/grounding/f1_low", "val/loss", "overfitting/flag"]
            for key in [*(prefix + one for one in ours), "val_loss", "my/val/loss", "validated"]:
                warnings.warn(advice(key), stacklevel=1)
    assert [str(one.message).split("'")[1] for one in seen] == [
        "val_loss",
        "my/val/loss",
        "validated",
    ]


class Twice(WithPictures):
    """Two optimisers, which both count as steps."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch).mean())
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=0.01) for _ in range(2)]


@pytest.mark.parametrize(
    ("module", "options"),
    [(WithPictures, {}), (WithPictures, {"accumulate_grad_batches": 2}), (Twice, {})],
    ids=["plain", "accumulated", "two optimisers"],
)
def test_pictures_stand_where_the_curves_have_their_points(
    tmp_path: Path, module: type, options: dict[str, Any]
) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    fit(make(store=True, report=False), module(), logger=logger, log_every_n_steps=1, **options)
    events = events_of(tmp_path / "run")
    tag = events.Tags()["images"][0]
    steps = [one.step for one in events.Scalars("val/grounding/f1")]
    assert [one.step for one in events.Images(tag)] == steps
    assert len(steps) == 3


def test_an_undefined_value_does_not_stop_a_run_that_monitors_it() -> None:
    class Fading(Finder):
        def answers(self, batch: Any) -> Any:
            found = super().answers(batch)
            if self.trainer.current_epoch:
                found["preds"] = [[] for _ in found["preds"]]
            return found

    callback = make()
    stopping = EarlyStopping("val/grounding/iou", mode="max", patience=9)
    trainer = fit(callback, Fading(), max_epochs=3, callbacks=[stopping])
    assert math.isnan(callback.history[-1]["values"]["val/grounding/iou"])
    assert trainer.current_epoch == 3


def test_tests_with_several_dataloaders() -> None:
    class Tested(Finder):
        def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
            return self.answers(batch)

    trainer = pl.Trainer(**QUIET, callbacks=[make()])
    loaders = {"shelf": loader(5), "street": loader(3, first=50)}
    trainer.test(Tested(), loaders, verbose=False)
    names = {key.split("/grounding")[0] for key in trainer.callback_metrics if "f1_50" in key}
    assert names == {"test/shelf", "test/street"}


def test_batches_of_several_dataloaders_at_once() -> None:
    class Both(Finder):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
            found: dict[str, list[Any]] = {"preds": [], "target": [], "id": []}
            for part in batch.values():
                if part is not None:  # it is exhausted
                    for key, values in {**self.answers(part), "id": part["id"]}.items():
                        found[key] += list(values)
            return found

    callback = make()
    loaders = {"shelf": loader(5), "street": loader(3, first=50)}
    fit(callback, Both(), CombinedLoader(loaders, "max_size"))
    (evaluation,) = callback.evaluations.values()
    assert evaluation.accounting.seen == 8
    assert evaluation.accounting.expected is None


def test_a_run_stopped_for_overfitting_has_its_fewest_epochs() -> None:
    class Rising(Finder):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return super().training_step(batch, batch_idx) * 0 + 1 / (1 + self.global_step)

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            loss = torch.tensor(1.0 + abs(self.trainer.current_epoch - 2) / 4)
            return {"loss": loss, **self.answers(batch)}

    callback = make(stop_on_overfitting=True)
    with pytest.warns(UserWarning, match="Overfitting since"):
        trainer = fit(callback, Rising(), max_epochs=20, min_epochs=12)
    assert callback.verdict is not None
    assert callback.verdict.state == "overfitting"
    assert trainer.current_epoch == 12


@pytest.mark.skipif(
    not hasattr(pl.callbacks, "EMAWeightAveraging"),
    reason="Lightning before 2.6 has no EMAWeightAveraging",
)
@pytest.mark.parametrize("first", [True, False])
def test_averaged_weights_answer(first: bool) -> None:
    weights: list[tuple[float, float]] = []

    class Noting(Finder):
        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            self.evaluated = float(self.layer.weight.sum())  # Lightning validates the average
            return self.loss(batch).mean()

        def vlmeval_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
            weights.append((self.evaluated, float(self.layer.weight.sum())))
            return self.answers(batch)

        def on_validation_end(self) -> None:
            self.trained = float(self.layer.weight.sum())

    callback, averaging, module = make(), pl.callbacks.EMAWeightAveraging(decay=0.5), Noting()
    callbacks = [callback, averaging] if first else [averaging, callback]
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=callbacks)
    trainer.fit(module, loader(8, first=100), loader(2))
    evaluated, answered = weights[-1]
    assert answered == evaluated != module.trained


def test_batches_whose_size_lightning_cannot_tell() -> None:
    class Reads(Finder):
        def validation_step(self, batch: list[str], batch_idx: int) -> Any:
            return {"preds": batch, "target": batch}

    callback = make(task="vqa", metrics=["answers"])
    fit(callback, Reads(), DataLoader(["a cat", "a dog", "two"], batch_size=2))
    assert callback.history[-1]["values"]["val/answers/exact_match"] == 1
    assert callback.history[-1]["accounting"][""].startswith("3 of 3 samples")


def test_spawned_processes_leave_the_run_on_disk(tmp_path: Path) -> None:
    options = {**QUIET, "devices": 2, "strategy": "ddp_spawn", "max_epochs": 1}
    callback = make(store=str(tmp_path))
    trainer = pl.Trainer(**options, callbacks=[callback])
    trainer.fit(WithPictures(), loader(8, first=100), loader(5))
    assert callback.history == []
    assert [one["accounting"] for one in Run(tmp_path).evaluations] == [
        {"": "5 of 5 samples, 1 duplicates dropped, 0 missing"}
    ] * 2
