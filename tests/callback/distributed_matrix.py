"""Every kind of validation set on many numbers of processes: the same values to the bit as on one.

    python -m tests.callback.distributed_matrix 2 3 4 8

prints a table: the kind, the processes, whether the values are equal, and what was counted.
"""

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, Sampler
from torchmetrics.text import BLEUScore as TheirBLEUScore

from lightning_vlmeval import VLMEvalCallback
from tests.callback.modules import QUIET, Finder, Scenes, loader
from tests.functional.test_wordnet import installed_wordnet
from tests.processes import spawn


class Fixed(Finder):
    """It does not learn, so that its answers are the same on any number of ranks."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class Tells(Fixed):
    """It answers with texts."""

    def answers(self, batch: dict[str, Any]) -> dict[str, Any]:
        numbers = batch["index"].tolist()
        words = ["red", "blue", "car", "dog", "on", "the", "street"]
        said = [" ".join(words[(n * k) % 7] for k in range(1, 5 + n % 3)) for n in numbers]
        return {"preds": said, "target": [f"the {one}" for one in said]}


def share() -> tuple[int, int]:
    """This process and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


class Stream(IterableDataset):
    """Scenes without a length, each on one rank: the last rank has none where there are few."""

    def __init__(self, size: int) -> None:
        self.scenes = Scenes(size)

    def __iter__(self) -> Iterator[Any]:
        rank, world = share()
        for index in range(rank, len(self.scenes), world):
            yield self.scenes[index]


class Order(Sampler):
    """The numbers in an order of the user's, which Lightning spreads over the ranks."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


class Chunk(Order):
    """A share of the user's own making: neighbours stay together, the first rank has most."""

    def __init__(self, size: int, told: bool) -> None:
        rank, world = share()
        rest = (size - 1) // world
        first = size - rest * (world - 1)
        start = 0 if rank == 0 else first + rest * (rank - 1)
        super().__init__(list(range(start, start + (rest if rank else first))))
        if told:  # as torch's `DistributedSampler` does
            self.num_replicas, self.rank, self.dataset = world, rank, Scenes(size)


class ChunkBatches(Chunk):
    """The same, as batches."""

    batch_size = 2

    def __iter__(self) -> Iterator[list[int]]:  # type: ignore[override]
        for start in range(0, len(self.numbers), 2):
            yield self.numbers[start : start + 2]

    def __len__(self) -> int:
        return -(-len(self.numbers) // 2)


def shuffled(size: int) -> DataLoader:
    rank, world = share()
    sampler: Any = DistributedSampler(Scenes(size), world, rank, shuffle=True, seed=3)
    return DataLoader(Scenes(size), batch_size=2, sampler=sampler)


def ordered(size: int, sampler: Any, **kwargs: Any) -> DataLoader:
    return DataLoader(Scenes(size, **kwargs), batch_size=2, sampler=sampler)


OWN = {"use_distributed_sampler": False}
METEOR = ["meteor"] if installed_wordnet() else []
TEXTS = {"task": "vqa", "metrics": ["bleu", "rouge", *METEOR, "answers", TheirBLEUScore()]}

# What is validated, the Trainer's options, the module and the callback's options.
Case = tuple[Callable[[int], Any], dict[str, Any], type, dict[str, Any]]


def case(
    make: Callable[[int], Any],
    options: dict[str, Any] | None = None,
    module: type = Fixed,
    callback: dict[str, Any] | None = None,
) -> Case:
    """One line of the table; `make` is given the largest number of processes it is compared with."""
    return make, options or {}, module, callback or {}


CASES: dict[str, Case] = {
    "0 samples": case(lambda _: loader(0)),
    "1 sample": case(lambda _: loader(1)),
    "world - 1 samples": case(lambda world: loader(world - 1)),
    "world samples": case(lambda world: loader(world)),
    "world + 1 samples": case(lambda world: loader(world + 1)),
    "101 samples": case(lambda _: loader(101)),
    "101 samples without ids": case(lambda _: loader(101, ids=False)),
    "texts, and a metric of torchmetrics": case(lambda _: loader(23), {}, Tells, TEXTS),
    "shuffled by DistributedSampler": case(lambda _: shuffled(13), OWN),
    "an order of the user's": case(lambda _: ordered(13, Order([*range(12, -1, -1)]))),
    "a part, in an order of the user's": case(lambda _: ordered(13, Order([9, 2, 5, 11, 0]))),
    "all samples on every rank": case(lambda _: loader(5), OWN),
    "chunks": case(lambda _: ordered(29, Chunk(29, told=False)), OWN),
    "chunks that name their rank": case(lambda _: ordered(29, Chunk(29, told=True)), OWN),
    "chunks without ids": case(lambda _: ordered(29, Chunk(29, told=False), ids=False), OWN),
    "chunks in batches": case(
        lambda _: DataLoader(Scenes(29), batch_sampler=ChunkBatches(29, told=False)), OWN
    ),
    "a stream of 101": case(lambda _: DataLoader(Stream(101), batch_size=3)),
    "a stream of 1": case(lambda _: DataLoader(Stream(1), batch_size=2)),
    "a stream of 0": case(lambda _: DataLoader(Stream(0), batch_size=2)),
    "two loaders": case(lambda _: [loader(23), loader(2, first=50)]),
    "two loaders by name": case(lambda _: {"shelf": loader(1), "street": loader(9, first=50)}),
    "half of the batches": case(lambda _: loader(48, 1), {"limit_val_batches": 0.5}),
    "many batches, limited": case(lambda _: loader(64, 1), {"limit_val_batches": 48}),
    "overfit_batches": case(lambda _: loader(48, 1), {"overfit_batches": 0.5}),
}


def fit(name: str, world: int, most: int) -> dict[str, Any]:
    """What this process saw of a case."""
    make, options, module, callback_options = CASES[name]
    options = dict(options)
    if name == "many batches, limited":  # Lightning counts them by rank
        options["limit_val_batches"] //= world
    callback = VLMEvalCallback(print_results=False, store=False, **callback_options)
    trainer = pl.Trainer(
        **{**QUIET, "devices": world},
        strategy="auto" if world == 1 else "ddp",
        max_epochs=1,
        callbacks=[callback],
        **options,
    )
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        trainer.fit(module(), loader(16, 1, first=200), make(most))
    return {
        "values": [
            {key: float(value).hex() for key, value in entry["values"].items()}
            for entry in callback.history
        ],
        "intervals": [entry["intervals"] for entry in callback.history],
        "logged": {
            key: float(value).hex()
            for key, value in trainer.callback_metrics.items()
            if key.startswith("val") and not key.endswith("/loss")
        },
        "losses": [entry["val_loss"] for entry in callback.history],
        "accounting": callback.history[-1]["accounting"] if callback.history else {},
        "warned": [str(one.message) for one in warned if "samples" in str(one.message)],
    }


def fit_all(rank: int, world: int, names: list[str]) -> dict[str, Any]:
    """All cases in one process, one after another: starting processes takes the time."""
    return {name: fit(name, world, world) for name in names}


def difference(alone: dict[str, Any], by_rank: list[dict[str, Any]]) -> str:
    """In what several processes differ from one; "" for nothing."""
    for rank, seen in enumerate(by_rank):
        for part in ("values", "intervals", "logged"):
            if repr(seen[part]) != repr(alone[part]):
                return f"rank {rank}: {part}: {seen['accounting']}"
        if repr(seen["losses"]) != repr(by_rank[0]["losses"]):
            return f"rank {rank}: loss"
    return ""


def main(worlds: list[int], names: list[str]) -> int:
    """Print the table; how many cells differ."""
    differ = 0
    for world in worlds:
        with tempfile.TemporaryDirectory() as folder:
            by_rank = spawn(fit_all, world, Path(folder), names)
        for name in names:
            found = [one[name] for one in by_rank]
            counted = ", ".join(found[0]["accounting"].values()) or "no evaluation"
            told = difference(fit(name, 1, world), found)
            differ += bool(told)
            print(f"| {name} | {world} | {f'DIFFERS: {told}' if told else 'equal'} | {counted} |")
    return differ


if __name__ == "__main__":
    sys.exit(min(1, main([int(one) for one in sys.argv[1:]] or [2, 3, 4, 8], list(CASES))))
