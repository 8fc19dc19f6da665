"""The callback on several real processes: the same values to the bit as on one."""

import tempfile
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader
from torchmetrics.text import BLEUScore as TheirBLEUScore

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.metrics import GroundingScore
from lightning_vlmeval.session.loaders import LoaderSessions
from tests.callback import distributed_matrix
from tests.callback.distributed_matrix import Fixed, Stream
from tests.callback.modules import QUIET, Scenes, loader
from tests.processes import spawn


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


class Wrong(Fixed):
    """Its first sample cannot be scored on rank one."""

    def answers(self, batch: Any) -> Any:
        found = super().answers(batch)
        if self.global_rank == 1:
            found["preds"][0] = [[1.0, 2.0]]
        return found


def refused(world: int, **options: Any) -> str:
    """What each rank raises where one cannot score its first batch."""
    callback = VLMEvalCallback(print_results=False, store=False, evaluate_untrained=False)
    options = {**QUIET, "devices": world, "max_epochs": 1, "callbacks": [callback], **options}
    trainer = pl.Trainer(strategy="ddp", **options)
    try:
        trainer.fit(Wrong(), loader(8, first=100), loader(7))
    except InputError as error:
        return f"step {trainer.global_step}: {error}"
    return "no error"


class Breaking(GroundingScore):
    """Fails on rank zero after its first batch, whatever it is given."""

    def update(self, *args: Any, **kwargs: Any) -> None:
        if self.rows and torch.distributed.get_rank() == 0:
            raise RuntimeError("out of ideas")
        super().update(*args, **kwargs)


class Asking(Fixed):
    """A prompt that cannot travel to another process."""

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        found = super().validation_step(batch, batch_idx, dataloader_idx)
        return {**found, "prompt": [lambda: "what is it?"] * len(found["preds"])}


class Syncs(Fixed):
    """Logs what Lightning reduces only when it is read."""

    def on_validation_epoch_end(self) -> None:
        self.log("rank", torch.tensor(float(self.global_rank)), sync_dist=True)


class AllReduced:
    """A strategy that sums over ranks."""

    root_device = torch.device("cpu")

    def reduce(self, value: torch.Tensor, reduce_op: str) -> torch.Tensor:
        torch.distributed.all_reduce(value)
        return value


def resumed_losses(rank: int, world: int) -> list[float]:
    """The window's mean where each rank loads rank zero's part from a checkpoint."""
    callback = VLMEvalCallback(print_results=False, store=False)
    state = {**callback.state_dict(), "training_loss": [6.0, 2.0, 0.0]}
    callback.load_state_dict(state)
    trainer = SimpleNamespace(global_rank=rank, world_size=world, enable_validation=False)
    callback.on_train_start(trainer, None)
    callback._run.training_loss.add(torch.tensor(1.0))
    return list(callback._run.training_loss.take(AllReduced()))


def goes_on(world: int, module: Any, **options: Any) -> dict[str, Any]:
    """What a rank has where another could not go on alone."""
    callback = VLMEvalCallback(print_results=False, store=False, **options)
    trainer = pl.Trainer(
        **{**QUIET, "devices": world}, strategy="ddp", max_epochs=1, callbacks=[callback]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, loader(8, first=100), loader(4 * world))
    (evaluation,) = callback.evaluations.values()
    return {"failures": dict(evaluation.failures), "scores": sorted(evaluation.scores)}


# Of the matrix, what Lightning's own samplers and streams do not show.
TELLING = [
    "texts, and a metric of torchmetrics",
    "chunks that name their rank",
    "chunks without ids",
    "chunks in batches",
    "two loaders",
    "half of the batches",
]
# Lightning 2.5.0 fails on any batch sampler that has no sampler; 2.5.1 takes it.
BEYOND = ["chunks in batches"] if pl.__version__.startswith("2.5.0") else []

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
        "matrix": distributed_matrix.fit_all(
            rank, world, [name for name in TELLING if name not in BEYOND]
        ),
        "refused": [refused(world, num_sanity_val_steps=n) for n in (0, 1)],
        "breaking": goes_on(
            world, Fixed(), metrics={"grounding": GroundingScore(), "mine": Breaking()}
        ),
        "asking": goes_on(world, Asking()),
        "syncing": goes_on(world, Syncs()),
        "resumed": resumed_losses(rank, world),
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


@pytest.mark.parametrize("name", TELLING)
def test_whatever_shares_the_set_out(by_rank: list[Any], name: str) -> None:
    if name in BEYOND:
        pytest.skip("Lightning 2.5.0 fails on a batch sampler that has no sampler")
    alone = distributed_matrix.fit(name, 1, len(by_rank))
    found = [results["matrix"][name] for results in by_rank]
    assert distributed_matrix.difference(alone, found) == ""
    assert alone["values"]


def test_a_first_batch_that_one_rank_cannot_score_stops_all(by_rank: list[Any]) -> None:
    # A rank that stopped alone would leave the others waiting for its samples.
    steps = {2: 2, 3: 2}[len(by_rank)]
    for results in by_rank:
        after_training, before = results["refused"]
        assert after_training.startswith(f"step {steps}: Rank 1: Expected boxes of shape (N, 4)")
        assert before.startswith("step 0: Rank 1: Expected boxes of shape (N, 4)")
        assert "sample 'scene" in before


def test_a_metric_that_fails_on_one_rank_is_left_out_on_all(by_rank: list[Any]) -> None:
    for results in by_rank:
        assert results["breaking"]["failures"] == {"mine": "rank 0: RuntimeError: out of ideas"}
        assert "grounding/f1" in results["breaking"]["scores"]


def test_a_field_that_cannot_travel_stops_no_rank(by_rank: list[Any]) -> None:
    for results in by_rank:
        assert "grounding/f1" in results["asking"]["scores"]


def test_a_value_that_is_reduced_when_it_is_read_makes_no_rank_wait(by_rank: list[Any]) -> None:
    for results in by_rank:
        assert "grounding/f1" in results["syncing"]["scores"]


def test_losses_of_a_checkpoint_count_once(by_rank: list[Any]) -> None:
    for results in by_rank:
        assert results["resumed"] == [(6.0 + len(by_rank)) / (2 + len(by_rank)), 0]


def test_metrics_of_torchmetrics_go_where_the_ranks_gather() -> None:
    sessions = LoaderSessions({"theirs": TheirBLEUScore()}, ["vqa"], {})
    sessions.start(loader(5), [3], rank=0)
    sessions.to(torch.device("meta"))
    (session,) = sessions._sessions.values()
    assert session.metrics["theirs"].numerator.device.type == "meta"
