"""The evaluation sessions of the validation dataloaders, one each."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torchmetrics import Metric

from lightning_vlmeval.errors import ConfigurationError, InputError, VLMEvalError
from lightning_vlmeval.metrics.table_metric import TableMetric
from lightning_vlmeval.reporting.markup import visible
from lightning_vlmeval.session.box_reader import BoxReader
from lightning_vlmeval.session.evaluation import Evaluation, EvaluationSession
from lightning_vlmeval.session.outputs import Batch, batch_loss, read_batch, with_texts
from lightning_vlmeval.session.positions import Positions
from lightning_vlmeval.session.predictions import Predictions
from lightning_vlmeval.session.sample_log import SampleLog
from lightning_vlmeval.session.tasks import task_of, task_routes


class LoaderSessions:
    """Feeds what each dataloader's batches gave to a session of its own.

    Args:
        metrics: The metrics, by name; each dataloader gets copies.
        tasks: The tasks of the samples.
        output_keys: What the validation step calls what it returns.
        reader: Reads boxes out of the answers' texts; None where they come as boxes.
        predictions: Where the answers come from; None for the validation step.
        log: Keeps the samples for people to look at; None for nothing.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        tasks: Sequence[str],
        output_keys: Mapping[str, str],
        reader: BoxReader | None = None,
        predictions: Predictions | None = None,
        log: SampleLog | None = None,
    ) -> None:
        self.reader = reader
        self.predictions = predictions or Predictions(None)
        self.log = log
        self._metrics, self._tasks, self._output_keys = metrics, list(tasks), output_keys
        self._routes = task_routes(tasks, metrics, box_texts=reader is not None)
        self._sessions: dict[int, EvaluationSession] = {}
        self._world, self._index = 1, 0
        self._unfollowed = False  # whether positions stand for ids, and mean nothing later
        self._names: list[str | None] = []
        self._positions: list[Positions] = []
        self._drawn: list[frozenset[int] | None] = []  # the batches to be scored
        self._proven: set[int] = set()  # dataloaders whose outputs were once read without a fault

    def start(
        self,
        loaders: Any,
        num_batches: Sequence[float],
        *,
        rank: int,
        world: int = 1,
        mixed: bool = False,
        index: int = 0,
    ) -> None:
        """Begin an evaluation.

        Args:
            loaders: What the user gave: a dataloader, a list or a dict of them.
            num_batches: How many batches of each are evaluated.
            rank: This process.
            world: How many processes there are.
            mixed: Whether a batch comes from several dataloaders at once.
            index: The evaluation's number.
        """
        self.predictions.seconds, self._world, self._index = 0.0, world, index
        self._unfollowed = False
        if self.log is not None:
            self.log.begin()
        named = {None: None} if mixed else _named(loaders)
        self._names = list(named)
        limits = [*num_batches, *[float("inf")] * len(named)]
        self._positions = [
            Positions(loader, limit, rank, world)
            for loader, limit in zip(named.values(), limits, strict=False)
        ]
        self._drawn = []
        for number, positions in enumerate(self._positions):
            if number not in self._sessions:
                metrics = self._metrics
                if number:
                    metrics = {name: metric.clone() for name, metric in metrics.items()}
                self._sessions[number] = EvaluationSession(metrics, self._routes)
            drawn = self.predictions.draw(
                positions.num_batches, positions.batch_size, positions.ranks, index
            )
            self._drawn.append(drawn)
            expected = positions.expected if drawn is None else positions.expected_in(drawn)
            self._sessions[number].reset()
            self._sessions[number].expect(expected, share=positions.share)

    def prepare(self) -> None:
        """Load what the metrics need, before the first batch waits for it.

        Raises:
            MissingExtraError: Something is not installed; the message says how to get it.
            ConfigurationError: An encoder cannot be loaded.
        """
        for metric in self._metrics.values():
            if isinstance(metric, TableMetric):
                metric.prepare()

    def to(self, device: torch.device) -> None:
        """Move metrics of torchmetrics, which gather on the device that they are on.

        Args:
            device: Where the ranks can gather.
        """
        for session in self._sessions.values():
            for metric in session.metrics.values():
                metric.to(device)

    def update(
        self, pl_module: Any, outputs: object, batch: object, batch_idx: int, index: int
    ) -> None:
        """Add the answers to a batch.

        Args:
            pl_module: The module.
            outputs: What its validation step returned.
            batch: The batch.
            batch_idx: The batch's number on this rank.
            index: The dataloader's number.

        Raises:
            ConfigurationError: The outputs of the first batch do not hold what is needed.
            InputError: A sample of the first batch cannot be scored. Later ones are counted. On
                several ranks `compute` raises it, on all of them: the others must not wait.
        """
        drawn = self._drawn[index]
        if drawn is not None and batch_idx not in drawn:
            loss = batch_loss(outputs, self._output_keys)
            if loss is not None:
                count = self._positions[index].expected_in([batch_idx])
                self._sessions[index].add_loss(loss, 1 if count is None else count)
            return
        session, strict = self._sessions[index], index not in self._proven
        try:
            outputs = self.predictions.ask(pl_module, outputs, batch, batch_idx, index)
            samples, names = self._samples(outputs, batch, batch_idx, index)
        except (ConfigurationError, InputError) as error:
            if strict:
                self._refuse(session, error)
                return
            warnings.warn(
                f"Batch {batch_idx} was left out of the evaluation: {visible(error)}",
                stacklevel=2,
            )
            return
        if session.refused:
            return
        try:
            parts = self._parts(samples, names, session, strict)
        except Exception as error:  # noqa: BLE001  whatever a metric raises; only where strict
            self._refuse(session, error)
            return
        if self.log is not None:
            for part, ids in parts:
                self.log.add(part, ids, self._names[index] or "", self._positions[index].size)
        self._proven.add(index)

    def _samples(
        self, outputs: object, batch: object, batch_idx: int, index: int
    ) -> tuple[Batch, list[str | None]]:
        """What was returned as samples, with their names; what it may be else is our error."""
        try:
            samples = read_batch(outputs, batch, self._output_keys)
            return samples, self._ids(samples, batch_idx, index)
        except VLMEvalError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"Expected the validation step to return lists with one element for each sample, but "
                f"reading them failed: {type(error).__name__}: {error}"
            ) from error

    def _refuse(self, session: EvaluationSession, error: Exception) -> None:
        """Raise; on one of several ranks, whose outputs alone are at fault, when all have come."""
        if self._world == 1 or isinstance(error, ConfigurationError):
            raise error
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        session.refuse(f"{kind}{error}")

    def check(self) -> None:
        """Raise on every rank what one of them has against its first batch. A collective.

        Raises:
            InputError: One has.
        """
        for index in range(len(self._names)):
            self._sessions[index].check()

    def _parts(
        self,
        samples: Batch,
        names: Sequence[str | None],
        session: EvaluationSession,
        strict: bool,
    ) -> list[tuple[Batch, Sequence[str | None]]]:
        """Give a session the samples as their tasks want them; what there is to look at.

        One by one where together they cannot be read; one that cannot is shown as it came.
        """
        try:
            whole = self._read(samples)
        except Exception:
            if strict:
                raise
        else:
            session.update(whole, names, strict=strict)
            return [(whole, names)]
        parts: list[tuple[Batch, Sequence[str | None]]] = []
        for i, name in enumerate(names):
            one = samples.take([i])
            try:
                one = self._read(one)
            except Exception as error:  # noqa: BLE001  whatever it is, the other samples are worth having
                session.leave_out(name, error)
            else:
                session.update(one, [name])
            parts.append((one, [name]))
        return parts

    def _read(self, samples: Batch) -> Batch:
        """The samples, each with its task where there are several, read as their tasks want."""
        tasks = self._tasks * len(samples)
        if len(self._tasks) > 1:
            given = samples.task or [None] * len(samples)
            tasks = [
                task_of(target, self._tasks) if task is None else self._known(task, i)
                for i, (target, task) in enumerate(zip(samples.target, given, strict=True))
            ]
            samples = replace(samples, task=tasks)
        if "freeform" in self._tasks:
            samples = with_texts(samples, [i for i, task in enumerate(tasks) if task == "freeform"])
        if self.reader is None:
            return samples
        boxes = [i for i, task in enumerate(tasks) if task == "phrase_grounding"]
        return self.reader.read(samples, boxes)

    def _known(self, task: object, i: int) -> str:
        if isinstance(task, str) and task in self._tasks:
            return task
        raise InputError(
            f"Expected `task` to be one of {', '.join(self._tasks)}, but got {task!r}", i
        )

    def _ids(self, samples: Batch, batch_idx: int, index: int) -> list[str | None]:
        """A name for each sample; None for one that the sampler repeats."""
        positions = self._positions[index]
        places = positions.names(batch_idx, len(samples))
        if samples.id is None and places is not None and not positions.stable:
            self._unfollowed = True  # in each evaluation another sample stands at a place
            return [place and f"evaluation{self._index}/{place}" for place in places]
        if samples.id is None:
            return places or list(positions.arrival(batch_idx, len(samples)))
        for i, name in enumerate(samples.id):
            if name is None or not str(name):
                raise InputError(f"Expected an id for every sample, but got {name!r}", i).named(
                    None
                )
        padding = places or samples.id
        return [
            None if place is None else str(name)
            for name, place in zip(samples.id, padding, strict=True)
        ]

    def compute(self) -> dict[str | None, Evaluation]:
        """The result of each dataloader, under its name; None where there is only one.

        A collective: every rank must call it.
        """
        return {name: self._sessions[index].compute() for index, name in enumerate(self._names)}

    def notes(self) -> list[str]:
        """What a person should know of this rank's samples beside the scores."""
        finding = None if self.reader is None else self.reader.finding()
        notes = [] if finding is None else [f"coordinates: {finding}; nothing was rescaled"]
        if self._unfollowed:
            notes.append(
                "samples have no ids and come in another order each time, so that none can be followed "
                "from one evaluation to the next: return 'id', or do not shuffle"
            )
        return notes

    def reset(self) -> None:
        """Forget all samples."""
        for session in self._sessions.values():
            session.reset()
        if self.reader is not None:
            self.reader.reset()
        if self.log is not None:
            self.log.reset()


def _named(loaders: Any) -> dict[str | None, Any]:
    """Dataloaders by name: the keys of a dict, the positions in a list."""
    if isinstance(loaders, Mapping) and len(loaders) > 1:
        return {str(name): loader for name, loader in loaders.items()}
    if isinstance(loaders, Mapping):
        return dict.fromkeys([None], next(iter(loaders.values())))
    if isinstance(loaders, (list, tuple)) and len(loaders) > 1:
        return {str(index): loader for index, loader in enumerate(loaders)}
    return {None: loaders[0] if isinstance(loaders, (list, tuple)) else loaders}
