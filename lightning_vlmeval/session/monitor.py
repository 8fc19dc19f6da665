"""One run as it goes on: what its evaluations gave, what they say, and what there is to log."""

import math
import time
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

from lightning_vlmeval.analysis.intervals import Method
from lightning_vlmeval.analysis.overfitting import Verdict
from lightning_vlmeval.keys import (
    OVERFITTING_FLAG,
    OVERFITTING_SEVERITY,
    healthy_key,
    interval_keys,
    log_key,
)
from lightning_vlmeval.reporting.console import evaluation_lines, is_headline
from lightning_vlmeval.session.evaluation import Evaluation
from lightning_vlmeval.session.history import Evaluations, History
from lightning_vlmeval.session.judge import Judge
from lightning_vlmeval.session.loaders import LoaderSessions
from lightning_vlmeval.session.publisher import Publisher
from lightning_vlmeval.session.recorder import Recorder
from lightning_vlmeval.session.trainer import emit, evaluation_loaders, quiet
from lightning_vlmeval.session.training_loss import TrainingLoss
from lightning_vlmeval.session.training_samples import TrainingSamples


class Monitor:
    """Evaluates, remembers and judges; the callback's hooks tell it when.

    Args:
        sessions: The samples and metrics of each dataloader.
        history: The run's evaluations.
        training_samples: Evaluates a part of the training set; None for none.
        recorder: Writes the evaluations to the run's folder.
        judge: Looks for patterns in them; None for nobody.
        publisher: Shows what the run's folder holds.
        monitor: The validation loss that the module logs.
        name: Put before the keys; None for nothing.
        intervals: How confidence intervals are found; None for none.
        log_losses: Whether the validation loss is among the values.

    Attributes:
        evaluations: The last evaluation's results by dataloader.
        training: The last result on the training samples; None where there are none.
        training_loss: The mean training loss since the last evaluation.
        fitting: Whether the Trainer is in `fit`.
        remarks: What a person should know of the last evaluation beside the values.
    """

    def __init__(
        self,
        sessions: LoaderSessions,
        history: History,
        training_samples: TrainingSamples | None,
        recorder: Recorder,
        judge: Judge | None,
        publisher: Publisher,
        *,
        monitor: str,
        name: str | None,
        intervals: Method | None,
        log_losses: bool,
    ) -> None:
        self.sessions, self.history, self.recorder = sessions, history, recorder
        self.patterns, self.publisher = judge, publisher
        self._training_samples = training_samples
        self._monitor, self._name = monitor, name
        self._intervals, self._log_losses = intervals, log_losses
        self.training_loss = TrainingLoss()
        self.evaluations: Evaluations = {}
        self.training: Evaluation | None = None
        self.fitting = True
        self._seen_loss: object = None
        self._started = 0.0
        self.remarks: list[str] = []
        self._samples: list[dict[str, Any]] = []

    @property
    def verdict(self) -> Verdict | None:
        """What the losses say so far."""
        return self.history.verdict

    def key(self, key: str) -> str:
        """A log key under this callback's name.

        Args:
            key: What `log_key` gave.
        """
        return key if self._name is None else f"{self._name}/{key}"

    # --------------------------------------------------------------------------- evaluation

    def set_up(self, trainer: Any, stage: str) -> None:
        """Load what scoring needs, find the run's folder, and forget an earlier run. A collective.

        Args:
            trainer: The trainer.
            stage: Lightning's: ``fit``, ``validate``, ``test`` or ``predict``.
        """
        self.fitting = stage == "fit"
        if stage != "predict" and (trainer.enable_validation or not self.fitting):
            self.sessions.prepare()
        begins = self.fitting and trainer.global_step == 0  # a checkpoint is loaded only later
        if begins:
            self.training_loss.restore(None)
        again = begins and any(entry["step"] for entry in self.history.entries)
        if again:  # by another Trainer
            self.history.clear()
            self.recorder.close()
            if self.patterns is not None:
                self.patterns.begin()
        if self.recorder.open(trainer) or again:
            self.publisher.begin()
            if self.sessions.log is not None:
                self.sessions.log.forget()

    def start(self, trainer: Any, stage: str) -> None:
        """Begin an evaluation.

        Args:
            trainer: The trainer.
            stage: ``val`` or ``test``.
        """
        self._started = time.perf_counter()
        loaders, batches, mixed = evaluation_loaders(trainer, stage)
        with quiet():
            self.sessions.start(
                loaders,
                batches,
                rank=trainer.global_rank,
                world=trainer.world_size,
                mixed=mixed,
                index=len(self.history.entries),
            )
            if trainer.world_size > 1:
                self.sessions.to(trainer.strategy.root_device)
        short = trainer.sanity_checking and math.isfinite(trainer.num_sanity_val_steps)
        if stage == "val" and not short:
            self.recorder.begin(trainer, len(self.history.entries))

    def add(
        self, pl_module: Any, outputs: object, batch: object, batch_idx: int, dataloader_idx: int
    ) -> None:
        """Add a batch's samples.

        Args:
            pl_module: The module.
            outputs: What its validation step returned.
            batch: The batch, on the module's device.
            batch_idx: Its number.
            dataloader_idx: Its dataloader's.
        """
        with quiet():
            self.sessions.update(pl_module, outputs, batch, batch_idx, dataloader_idx)
        if self.sessions.log is not None:
            self.recorder.add(self.sessions.log.samples)

    def abandon(self) -> None:
        """Forget an evaluation that will not end, and leave its answers to be looked at."""
        if self.sessions.log is not None:
            self.recorder.add(self.sessions.log.samples, now=True)
        self.sessions.reset()

    def compute(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Make the samples added since `start` the current evaluation. A collective.

        Args:
            trainer: The trainer.
            pl_module: The module.
            stage: ``val`` or ``test``.
        """
        train_loss, nonfinite = math.nan, 0
        with quiet():
            self.evaluations = self.sessions.compute()
            self.remarks = self.sessions.notes()
            if self.sessions.log is not None:
                self._samples = self.sessions.log.gather()
            self.sessions.reset()
            if not self.fitting:
                self.recorder.end()
            if self.fitting and not trainer.sanity_checking:
                train_loss, nonfinite = self.training_loss.take(trainer.strategy)
        self.training = None
        if self.fitting and self._training_samples is not None:
            self.training = self._training_samples.evaluate(trainer, pl_module)
        values: dict[str, float] = {}
        intervals: dict[str, tuple[float, float]] = {}
        for loader, evaluation in self.evaluations.items():
            name = partial(log_key, stage, dataloader=loader)
            values |= {name(key): value for key, value in _logged(evaluation.scores).items()}
            healthy = {name(key): value for key, value in evaluation.healthy().items()}
            values |= {healthy_key(key): v for key, v in healthy.items() if is_headline(key)}
            known = {} if self._intervals is None else evaluation.intervals(method=self._intervals)
            intervals |= {name(key): ends for key, ends in known.items()}
        if self.training is not None:
            scores = _logged(self.training.scores)
            values |= {log_key("train", key): value for key, value in scores.items()}
        self.history.begin(
            self.evaluations,
            values,
            {key: ends for key, ends in intervals.items() if is_headline(key)},
            step=int(trainer.global_step),
            epoch=int(trainer.current_epoch),
            train_loss=train_loss,
            nonfinite_train_batches=nonfinite,
        )

    def keep(self, trainer: Any, pl_module: Any) -> None:
        """Make the current evaluation part of the run, and write it to the run's folder.

        Args:
            trainer: The trainer.
            pl_module: The module.
        """
        self.history.keep()
        news = self._diagnose(trainer) if trainer.is_global_zero else []
        stored = self.recorder.write(
            trainer,
            pl_module,
            self.history.current,
            self.evaluations,
            self._samples,
            self.verdict,
            [] if self.patterns is None else self.patterns.findings,
            "" if self.patterns is None else self.patterns.sentence,
        )
        self.recorder.end()
        self._samples = []
        if self.sessions.log is not None:
            self.sessions.log.keep()
        folder = self.recorder.folder
        if folder is not None and stored:
            tags = list(map(self.key, self.history.current["intervals"]))
            self.publisher.evaluation(trainer, pl_module, folder, tags, bool(news))

    def _diagnose(self, trainer: Any) -> list[str]:
        entries = self.history.entries
        if self.patterns is None or not entries[-1]["step"]:
            return []  # an untrained model answers anything
        lines = self.patterns.look(
            entries,
            self.evaluations,
            self.training,
            self._samples,
            self.verdict,
            self.recorder.folder,
        )
        for line in lines:
            emit(trainer, f"VLMEvalCallback: {line}")
        return lines

    def end_fit(self, trainer: Any) -> None:
        """Say which checkpoints to keep; write the report, and say where it lies.

        Args:
            trainer: The trainer.
        """
        if self.patterns is not None and self.patterns.sentence:
            emit(trainer, f"VLMEvalCallback: {self.patterns.sentence}")
        if self.recorder.folder is not None and self.recorder.stored:
            path = self.publisher.fit_end(trainer, self.recorder.folder)
            if path is not None:
                emit(trainer, f"VLMEvalCallback: the report is {path}")

    def values(self, stage: str) -> dict[str, float]:
        """What the current evaluation has to log.

        Args:
            stage: ``val`` or ``test``.
        """
        entry = self.history.current
        values = dict(entry["values"])
        for key, ends in entry["intervals"].items():
            values |= dict(zip(interval_keys(key), ends, strict=True))
        if self._log_losses and entry["val_loss"] is not None:
            values[log_key(stage, "loss")] = entry["val_loss"]
        return {self.key(key): value for key, value in values.items()}

    # ------------------------------------------------------------------------------ verdict

    def read_loss(self, trainer: Any) -> bool:
        """Take the monitored loss where the validation step returned none; whether there was one.

        Args:
            trainer: The trainer, its validation's metrics reduced.
        """
        loss = trainer.callback_metrics.get(self._monitor)
        fresh = loss is not None and loss is not self._seen_loss  # or it is an earlier validation's
        self._seen_loss = loss
        if self.history.current["val_loss"] is not None or not fresh:
            return False
        self.history.current["val_loss"] = float(loss)
        return True

    def judge(self, trainer: Any) -> Verdict | None:
        """Ask the overfitting rule, and say so where the verdict changed.

        Args:
            trainer: The trainer.
        """
        (evaluation, *_) = self.evaluations.values()
        changed = self.history.judge(evaluation.sample_losses)
        verdict = self.verdict
        if verdict is None or not changed:
            return verdict
        if verdict.state != "overfitting":
            emit(trainer, f"VLMEvalCallback: {verdict.state}: {verdict.reason}")
        elif trainer.is_global_zero:
            warnings.warn(verdict.reason, stacklevel=2)
        return verdict

    def verdict_values(self) -> dict[str, float]:
        """What the verdict has to log."""
        if self.verdict is None:
            return {}
        return {
            self.key(OVERFITTING_FLAG): float(self.verdict.state == "overfitting"),
            self.key(OVERFITTING_SEVERITY): self.verdict.severity,
        }

    # --------------------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, in plain values."""
        return {
            "history": self.history.state_dict(),
            "training_loss": self.training_loss.state(),
            "patterns": None if self.patterns is None else self.patterns.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Args:
            state: What `state_dict` gave.
        """
        self.history.load_state_dict(state["history"])
        self.training_loss.restore(state["training_loss"])
        if self.patterns is not None and state.get("patterns"):
            self.patterns.load_state_dict(state["patterns"])

    # ------------------------------------------------------------------------------ reading

    def warn_of_failures(self) -> None:
        """Say which metrics failed and how many samples did not come."""
        for evaluation in self.evaluations.values():
            for metric, why in evaluation.failures.items():
                warnings.warn(f"The metric {metric!r} failed: {why}", stacklevel=2)
            missing = evaluation.accounting.missing
            if missing:
                warnings.warn(f"{missing} samples of the validation set did not come", stacklevel=2)

    def cost(self) -> str:
        """What the current evaluation cost."""
        total = time.perf_counter() - self._started
        metrics = sum(evaluation.seconds for evaluation in self.evaluations.values())
        generating = self.sessions.predictions.seconds
        if self._training_samples is not None:
            generating += self._training_samples.seconds
        parts = [f"metrics {metrics:.2f} s"]
        if self.sessions.predictions.generate is not None:
            parts.insert(0, f"generation {generating:.1f} s")
        return f"{total:.1f} s, of which {', '.join(parts)}"

    def summary(self, costs: tuple[str, ...] = ()) -> str:
        """The current evaluation in a few lines.

        Args:
            costs: What to add below.
        """
        if not self.history.current:
            return "no evaluation yet"
        errors = [
            f"{name}: {why}"
            for evaluation in self.evaluations.values()
            for name, why in evaluation.accounting.errors.items()
        ]
        entry, before = self.history.current, self.history.previous
        return "\n".join(evaluation_lines(entry, before, [*costs, *self.remarks, *errors]))


def _logged(scores: Mapping[str, float]) -> dict[str, float]:
    """The values that are worth a tag; the error budget is for the diagnosis."""
    return {key: value for key, value in scores.items() if not key.startswith("error_budget/")}
