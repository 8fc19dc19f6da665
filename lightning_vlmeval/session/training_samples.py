"""The same metrics on a fixed part of the training set: what the model answers by heart."""

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import DataLoader, DistributedSampler, Subset

from lightning_vlmeval.session.evaluation import Evaluation
from lightning_vlmeval.session.loaders import LoaderSessions
from lightning_vlmeval.session.trainer import evaluating, quiet


class TrainingSamples:
    """Evaluates some samples of the training set, the same ones at every evaluation.

    Args:
        sessions: With metrics of their own, and what gives the answers to a batch.
        count: How many samples.
        seed: Decides which.
    """

    def __init__(self, sessions: LoaderSessions, count: int, seed: int = 0) -> None:
        self._sessions, self._count, self._seed = sessions, count, seed
        self._told = False

    @property
    def seconds(self) -> float:
        """Time spent in `generate` at the last evaluation."""
        return self._sessions.predictions.seconds

    def evaluate(self, trainer: Any, pl_module: Any) -> Evaluation | None:
        """The metrics on them; None where the training set gives no sample by its number.

        A collective: every rank must call it.

        Args:
            trainer: The trainer, in `fit`.
            pl_module: The module.
        """
        loader = self._loader(trainer)
        if loader is None:
            return None
        with quiet(), evaluating(pl_module):
            self._sessions.start(
                loader, [float("inf")], rank=trainer.global_rank, world=trainer.world_size
            )
            for batch_idx, batch in enumerate(loader):
                # What Lightning's own loops do to a batch.
                moved = trainer.precision_plugin.convert_input(batch)
                moved = pl_module._on_before_batch_transfer(moved, dataloader_idx=0)
                moved = trainer.strategy.batch_to_device(moved, dataloader_idx=0)
                self._sessions.update(pl_module, None, moved, batch_idx, 0)
            evaluation = self._sessions.compute()[None]
            self._sessions.reset()
        return evaluation

    def _loader(self, trainer: Any) -> DataLoader[Any] | None:
        """A dataloader of the samples, shared out to the ranks."""
        if trainer.train_dataloader is None:  # not yet, when the untrained model is evaluated
            trainer.fit_loop.setup_data()
        source = _first(trainer.train_dataloader)
        dataset: Any = getattr(source, "dataset", None)
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            self._tell("has no length or does not give samples by their number")
            return None
        numbers = range(len(dataset))
        chosen = sorted(random.Random(self._seed).sample(numbers, min(self._count, len(dataset))))
        subset: Subset[Any] = Subset(dataset, chosen)
        sampler: DistributedSampler[Any] | None = None
        if trainer.world_size > 1:
            sampler = DistributedSampler(
                subset, trainer.world_size, trainer.global_rank, shuffle=False
            )
        size = getattr(source, "batch_size", None)
        return DataLoader(
            subset,
            batch_size=size if isinstance(size, int) else 1,
            sampler=sampler,
            collate_fn=getattr(source, "collate_fn", None),
        )

    def _tell(self, why: str) -> None:
        if not self._told:
            self._told = True
            warnings.warn(
                f"No samples of the training set are evaluated: its dataset {why}", stacklevel=2
            )


def _first(loaders: Any) -> Any:
    """The first dataloader of what a Trainer takes: one, or a list or dict of them."""
    while isinstance(loaders, (Mapping, Sequence)) and loaders:
        loaders = next(iter(loaders.values() if isinstance(loaders, Mapping) else loaders))
    return loaders
