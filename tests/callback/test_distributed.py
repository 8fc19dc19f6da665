"""The callback on several real processes: the same values to the bit as on one."""

import tempfile
import warnings
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, IterableDataset

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.errors import ConfigurationError
from tests.callback.modules import QUIET, Finder, Scenes, loader
from tests.processes import spawn


class Fixed(Finder):
    """It does not learn, so that its answers are the same on any number of ranks."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Stream(IterableDataset):
    """Scenes without a length, each on one rank: the last rank has none where there are few."""

    def __init__(self, size: int) -> None:
        self.scenes = Scenes(size)

    def __iter__(self) -> Any:
        distributed = torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if distributed else 0
        world = torch.distributed.get_world_size() if distributed else 1
        for index in range(rank, len(self.scenes), world):
            yield self.scenes[index]


class Rising(Fixed):
    """Its validation loss rises while its training loss falls."""

    evaluated = 0

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return super().training_step(batch, batch_idx) * 0 + 1 / (1 + self.global_step)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        if batch_idx == 0 and not self.trainer.sanity_checking:
            self.evaluated += 1
        loss = torch.tensor(1.0 + abs(self.evaluated - 2) / 4)
        return {"loss": loss, **self.answers(batch)}


class Uneven(DataLoader):
    """Two batches on rank zero, none on the others."""

    def __len__(self) -> int:
        return 0 if torch.distributed.get_rank() else 2


def fit(world: int, val: Any, module: Any = None, **options: Any) -> dict[str, Any]:
    """Fit, and tell what this process saw."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        checkpoint = ModelCheckpoint(folder, monitor="val/grounding/mean_iou", mode="max")
        stop = options.pop("stop_on_overfitting", False)
        callback = VLMEvalCallback(print_results=False, stop_on_overfitting=stop)
        trainer = pl.Trainer(
            **{**QUIET, "devices": world, "enable_checkpointing": True},
            strategy="auto" if world == 1 else "ddp",
            **{"max_epochs": 2, **options},
            callbacks=[callback, checkpoint],
        )
        trainer.fit(module or Fixed(), loader(8, first=100), val)
        return {
            "values": [
                {key: float(value).hex() for key, value in entry["values"].items()}
                for entry in callback.history
            ],
            "accounting": [entry["accounting"][""] for entry in callback.history],
            "losses": [(entry["train_loss"], entry["val_loss"]) for entry in callback.history[1:]],
            "states": [entry["state"] for entry in callback.history],
            "logged": {
                key: float(value).hex()
                for key, value in trainer.callback_metrics.items()
                if key.startswith("val/") and key != "val/loss"
            },
            "best": float(checkpoint.best_model_score).hex(),
            "step": trainer.global_step,
            "sync warnings": [str(w.message) for w in warned if "sync_dist" in str(w.message)],
        }


def fit_unevenly(world: int) -> str:
    module = Fixed()
    module.allow_zero_length_dataloader_with_multiple_devices = True
    try:
        fit(world, Uneven(Scenes(4), batch_size=2), module, use_distributed_sampler=False)
    except ConfigurationError as error:
        return str(error)
    return "no error"


SETS = {
    "padded": lambda: loader(7),
    "one sample": lambda: loader(1),
    "without ids": lambda: loader(7, ids=False),
    "stream": lambda: DataLoader(Stream(7), batch_size=2),
    "an empty rank": lambda: DataLoader(Stream(1), batch_size=2),
}


def everything(rank: int, world: int) -> dict[str, Any]:
    """All scenarios in one process, one after another: starting processes takes the time."""
    return {
        **{name: fit(world, make()) for name, make in SETS.items()},
        "all on each": fit(world, loader(5), use_distributed_sampler=False),
        "overfitting": fit(world, loader(5), Rising(), max_epochs=20, stop_on_overfitting=True),
        "uneven": fit_unevenly(world),
    }


@pytest.fixture(scope="module", params=[2, 3], ids="{} ranks".format)
def by_rank(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return spawn(everything, request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", SETS)
def test_values_equal_one_process_to_the_bit(by_rank: list[Any], name: str) -> None:
    alone = fit(1, SETS[name]())
    for seen in (results[name] for results in by_rank):
        assert seen["values"] == alone["values"]
        assert seen["logged"] == alone["logged"]
        assert seen["best"] == alone["best"]
        assert seen["losses"] == by_rank[0][name]["losses"]
        assert seen["sync warnings"] == []


@pytest.mark.parametrize(("name", "size"), [("padded", 7), ("one sample", 1), ("without ids", 7)])
def test_repeats_are_dropped_and_told(by_rank: list[Any], name: str, size: int) -> None:
    repeats = -size % len(by_rank)
    want = f"{size} of {size} samples, {repeats} duplicates dropped, 0 missing"
    for results in by_rank:
        assert results[name]["accounting"] == [want] * 3


def test_all_samples_on_every_rank_count_once(by_rank: list[Any]) -> None:
    repeats = 5 * (len(by_rank) - 1)
    for results in by_rank:
        want = f"5 of 5 samples, {repeats} duplicates dropped, 0 missing"
        assert results["all on each"]["accounting"][-1] == want


def test_every_rank_stops_at_the_same_verdict(by_rank: list[Any]) -> None:
    states = [results["overfitting"]["states"] for results in by_rank]
    assert all(seen == states[0] for seen in states)
    assert states[0][-1] == "overfitting"
    assert len({results["overfitting"]["step"] for results in by_rank}) == 1
    assert by_rank[0]["overfitting"]["step"] < 40


def test_a_rank_without_a_batch_is_an_error_and_not_a_hang(by_rank: list[Any]) -> None:
    for results in by_rank:
        assert "Expected every rank to have a validation batch, but rank 1" in results["uneven"]
