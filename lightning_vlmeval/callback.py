"""The Lightning callback: its hooks translate what the Trainer does for the layers below."""

import importlib
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torchmetrics import Metric

from lightning_vlmeval.analysis.intervals import Method
from lightning_vlmeval.analysis.overfitting import OverfittingDetector, Verdict
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.keys import TRAIN_LOSS
from lightning_vlmeval.metrics.attendance import leave
from lightning_vlmeval.parsing import BoxFormat
from lightning_vlmeval.reporting.console import history_lines
from lightning_vlmeval.reporting.markup import visible
from lightning_vlmeval.session.box_reader import BoxReader
from lightning_vlmeval.session.generation import Generator
from lightning_vlmeval.session.history import Evaluations, History
from lightning_vlmeval.session.judge import FIRST, Judge
from lightning_vlmeval.session.loaders import LoaderSessions
from lightning_vlmeval.session.monitor import Monitor
from lightning_vlmeval.session.predictions import HOOK, Predictions
from lightning_vlmeval.session.publisher import Publisher
from lightning_vlmeval.session.recorder import Recorder
from lightning_vlmeval.session.sample_log import SampleLog
from lightning_vlmeval.session.tasks import make_metrics, structured_scorer
from lightning_vlmeval.session.trainer import (
    check_every_rank,
    emit,
    log_directly,
    log_layout,
    log_step,
    log_values,
    planned_evaluations,
)
from lightning_vlmeval.session.training_samples import TrainingSamples


def _bases() -> tuple[type, ...]:
    """The `Callback` class of each Lightning package in use.

    A configuration file accepts only its own package's, and importing the other takes seconds: so
    those that are loaded already, or where none is, all that are installed.
    """
    packages = ("lightning.pytorch", "pytorch_lightning")
    loaded = [package for package in packages if package in sys.modules]
    found = []
    for package in loaded or packages:
        try:
            found.append(importlib.import_module(package).Callback)
        except ImportError:
            continue
    if not found:
        raise ImportError("Expected Lightning to be installed: pip install pytorch-lightning")
    return tuple(dict.fromkeys(found))


def _method(intervals: bool | str) -> Method | None:
    """How intervals are found; None for not at all."""
    chosen: dict[bool | str, Method | None] = {
        False: None,
        True: "delta",
        "delta": "delta",
        "bootstrap": "bootstrap",
    }
    if intervals not in chosen:
        raise ConfigurationError(
            f"Expected `intervals` to be True, False, 'delta' or 'bootstrap', but got {intervals!r}"
        )
    return chosen[intervals]


_CallbackBase: Any = type("_CallbackBase", _bases(), {})


class VLMEvalCallback(_CallbackBase):  # type: ignore[misc]  # bases known at run time only
    """Evaluates a vision-language model at every validation, and says when it overfits.

    The validation step returns a dict with the model's answers and what they should have been:

        return {"loss": loss, "preds": answers, "target": references, "id": ids}

    or it returns the loss alone, and `generate=Generator(processor)` generates the answers.

    At the end of the validation each metric's values over all samples of all ranks, each sample
    once, are logged as ``val/{group}/{metric}``, so that `ModelCheckpoint` and `EarlyStopping` can
    monitor them, with any logger or none. A module that has a method
    ``vlmeval_step(batch, batch_idx, dataloader_idx)`` returning such a dict need not change its
    validation step.

    Args:
        task: What the answers are, or several: ``phrase_grounding`` (boxes), ``vqa`` (short
            answers), ``freeform`` (JSON, YAML, CSV, reports). It picks the metrics. With several, a
            list `task` among the returned values says which each sample is of; without it the
            target decides.
        metrics: Metrics instead of the task's: names, objects, or objects by name.
        iou_threshold: From which intersection over union on a box counts as found.
        box_coordinates: How boxes are given: ``xyxy``, ``xywh`` or ``cxcywh``.
        box_format: The model family, such as ``qwen3-vl``, whose way to write boxes the answers are
            in; then answers and targets may be texts, and each sample needs its image's `size`.
            None: answers come as boxes.
        output_format: What free answers are written in: ``json``, ``yaml`` or ``csv``; a function
            from the text to its value, or its dotted path; a regular expression, from ``^`` on, with
            a group for each field; None for prose.
        schema: The JSON Schema, or the short form ``{"count": int}``, that free answers keep to.
        required_fields: The fields that free answers must have.
        encoder: The encoder of BERTScore: a local folder or the name of a model; None for the
            small one of the extra `encoder`, where it is installed.
        output_keys: What the validation step calls what it returns, where it is not `preds`,
            `target`, `id`, `prompt`, `group`, `annotator`, `truncated`, `task`, `size`, `fed_size`,
            `losses` and `loss`.
        generate: Gives the answers to a batch, where the validation step does not: a `Generator`
            for a model of `transformers`, or a callable of the module and the batch that returns
            the answers, or a dict with them as `preds`. A text names a method of the module,
            called with the batch, or is the dotted path of such a callable.
        generate_samples: For how many samples to generate at an evaluation, about, the same ones
            each time; None for all. The loss is of all.
        generate_whole_every: Generate for all samples at every n-th evaluation.
        training_samples: For how many samples of the training set to generate as well, the same
            ones each time, logged as `train/...`: far better values than on the validation set
            mean that the model memorises. It needs `generate` or `vlmeval_step`.
        monitor: The validation loss that the module logs, for the overfitting rule where the
            validation step returns none.
        evaluate_untrained: Evaluate the whole set before the first step, as evaluation 0. None:
            where the Trainer has sanity checks on, which it replaces.
        patience: Evaluations in a row that the validation loss must lie above its best level.
        min_rise: The smallest rise that counts, as a share of the loss.
        noise_factor: How many times its own noise the rise must exceed.
        stop_on_overfitting: Stop training when overfitting is found.
        intervals: Log 95 % confidence intervals of the main values, as `val_ci/...`: found
            analytically, which True stands for (``delta``), or from 1,000 resamples (``bootstrap``).
        log_losses: Log `train/loss` and, where the validation step returns losses, `val/loss`.
        diagnose: Look for patterns such as "loose boxes" or "memorised", say what is new and what to
            do, and where loss and main value are going.
        bands: When values are low, below the first number, and high, from the second on:
            ``{"grounding/f1": [0.6, 0.8]}``, instead of the defaults in `analysis.bands.BANDS`.
        baseline: The folder of a stored run with the same validation set: boxes and texts are then
            judged against its last evaluation, high being higher and low lower. ``first`` is this
            run's own first evaluation after some training, which it needs `store` for.
        training_phrases: How often each phrase is annotated in the whole training data, for phrases
            that are rare there (below 10 times) and found less often; one that is not in it counts as
            never. A part of the data, such as `training_samples`, gives no such numbers.
        store: Write each evaluation, with every answer, to the folder `vlmeval` beside the logger's
            files, for `Run`, the report and the command line; or the folder to put it in.
        images: What to store of pictures: small copies (``thumbnails``), paths (``reference``) or
            nothing (``none``). They come as `image` from the validation step or the batch.
        max_images: How many small copies to store.
        report: Write `report.html` to the stored run's folder when the fit ends.
        tensorboard_images: How many pictures, with boxes, to give to TensorBoard, W&B or MLflow at
            each evaluation; with 0 W&B gets no table of answers either.
        tensorboard_layout: Write a custom-scalars page; a run has room for one.
        print_results: Print the main values after each evaluation.
        name: Tells apart several of these callbacks in one Trainer: put before the keys.

    Raises:
        ConfigurationError: An option that cannot work, here or before the first training step;
            outputs without what is needed, at the first validation batch.
        InputError: A sample of the first validation batch cannot be scored; on several ranks all
            raise it, at the end of that validation.
        RankError: Another process of the run stopped: the message names it, with what it raised. A
            rank without any validation batch is found before training; in `trainer.validate` the
            others wait for it for the time limit of the process group, since Lightning runs no hook
            there.

    With ``strategy="ddp_spawn"`` the results are in the processes that Lightning started: in the
    one that called `fit`, read them from the run's folder.
    """

    def __init__(
        self,
        task: str | list[str] = "phrase_grounding",
        metrics: list[str | Metric] | dict[str, Metric] | None = None,
        iou_threshold: float = 0.5,
        box_coordinates: Literal["xyxy", "xywh", "cxcywh"] = "xyxy",
        box_format: str | BoxFormat | None = None,
        output_format: str | Callable[[str], Any] | None = "json",
        schema: dict[str, Any] | None = None,
        required_fields: list[str] | None = None,
        encoder: str | None = None,
        output_keys: dict[str, str] | None = None,
        generate: Generator | str | Callable[[Any, Any], Any] | None = None,
        generate_samples: int | None = None,
        generate_whole_every: int | None = None,
        training_samples: int = 0,
        monitor: str = "val_loss",
        evaluate_untrained: bool | None = None,
        patience: int = 3,
        min_rise: float = 0.02,
        noise_factor: float = 1.75,
        stop_on_overfitting: bool = False,
        intervals: bool | Literal["delta", "bootstrap"] = True,
        log_losses: bool = True,
        diagnose: bool = True,
        bands: dict[str, list[float]] | None = None,
        baseline: str | None = None,
        training_phrases: dict[str, int] | None = None,
        store: bool | str = True,
        images: Literal["thumbnails", "reference", "none"] = "thumbnails",
        max_images: int = 500,
        report: bool = True,
        tensorboard_images: int = 8,
        tensorboard_layout: bool = True,
        print_results: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if baseline == FIRST and not store:
            raise ConfigurationError(
                f"Expected `store` beside baseline={FIRST!r}: the first evaluation is read from there"
            )
        self.tasks = [task] if isinstance(task, str) else list(task)
        self.metrics, self._notes = make_metrics(
            self.tasks,
            metrics,
            iou_threshold=iou_threshold,
            box_coordinates=box_coordinates,
            box_format=box_format,
            output_format=output_format,
            schema=schema,
            required_fields=required_fields,
            encoder=encoder,
        )
        self.monitor = monitor
        self.evaluate_untrained = evaluate_untrained
        self.stop_on_overfitting = stop_on_overfitting
        self.log_losses = log_losses
        self.tensorboard_layout = tensorboard_layout
        self.print_results = print_results
        self.name = name
        self.training_samples = training_samples
        predictions = Predictions(generate, generate_samples, generate_whole_every)

        def sessions(metrics: dict[str, Metric], predictions: Predictions) -> LoaderSessions:
            reader = None if box_format is None else BoxReader(box_format)
            return LoaderSessions(metrics, self.tasks, output_keys or {}, reader, predictions)

        validation = sessions(self.metrics, predictions)
        if store or diagnose:
            shown = max_images if store and images == "thumbnails" else 0
            validation.log = SampleLog(
                iou_threshold, box_coordinates, shown, structured_scorer(self.metrics)
            )
        copies = {key: metric.clone() for key, metric in self.metrics.items()}
        self._run = Monitor(
            validation,
            History(
                OverfittingDetector(patience=patience, min_rise=min_rise, noise_factor=noise_factor)
            ),
            TrainingSamples(sessions(copies, Predictions(generate)), training_samples)
            if training_samples
            else None,
            Recorder(
                store,
                images,
                max_images,
                self.tasks,
                name,
                box_format if isinstance(box_format, str) else None,
            ),
            Judge(bands, baseline, training_phrases) if diagnose else None,
            Publisher(report, tensorboard_images),
            monitor=monitor,
            name=name,
            intervals=_method(intervals),
            log_losses=log_losses,
        )
        self._laid_out = False
        self._found = False  # whether the last verdict is overfitting
        self._sanity_steps: float | None = None  # the Trainer's own, while they are all
        self._logged_step = -1  # of the training loss: accumulated batches share a step

    @property
    def evaluations(self) -> Evaluations:
        """The last evaluation's results by dataloader, with the tables behind the values."""
        return self._run.evaluations

    @property
    def history(self) -> list[dict[str, Any]]:
        """The run's evaluations, one dict of plain values each, the untrained model's first."""
        return self._run.history.entries

    @property
    def verdict(self) -> Verdict | None:
        """What the losses say so far; None before the first evaluation after training."""
        return self._run.verdict

    # ------------------------------------------------------------------------------- set-up

    @property
    def state_key(self) -> str:
        """What names this callback's state in a checkpoint."""
        return f"{type(self).__name__}{{'name': {self.name!r}}}"

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Check what can be checked before the data, and ask for evaluation 0."""
        self._run.set_up(trainer, str(getattr(stage, "value", stage)))
        for note in self._notes:
            emit(trainer, note)
        self._notes = []
        wanted = self.evaluate_untrained
        if wanted is None:
            wanted = trainer.num_sanity_val_steps != 0
        if self._run.fitting and wanted and not self.history:
            self._sanity_steps = trainer.num_sanity_val_steps
            trainer.num_sanity_val_steps = math.inf  # Lightning's own check, over the whole set
        generated = self._run.sessions.predictions.generate is not None
        if self.training_samples and not generated and not hasattr(pl_module, HOOK):
            raise ConfigurationError(
                f"Expected `generate`, or a method `{HOOK}` of {type(pl_module).__name__}, beside "
                f"training_samples={self.training_samples}: the validation step answers batches of "
                f"the validation set only"
            )

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Warn where there is nothing to evaluate."""
        if not trainer.enable_validation:
            self._warn_of_nothing(trainer)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the report."""
        self._run.end_fit(trainer)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Check that every rank evaluates, and that the run evaluates often enough."""
        if trainer.global_rank != 0:
            self._run.training_loss.restore(
                None
            )  # a checkpoint holds rank zero's part for all ranks
        if not trainer.enable_validation:
            return
        check_every_rank(trainer)
        if not sum(trainer.num_val_batches):
            self._warn_of_nothing(trainer)
        shortfall = self._run.history.detector.shortfall(planned_evaluations(trainer))
        if shortfall is not None and not trainer.fast_dev_run:
            emit(trainer, f"VLMEvalCallback: {shortfall}")

    def _warn_of_nothing(self, trainer: Any) -> None:
        if trainer.is_global_zero:
            warnings.warn(
                "VLMEvalCallback will never run: the module has no `validation_step`, or the "
                "Trainer no validation dataloader or an empty one, or `limit_val_batches` is 0",
                stacklevel=2,
            )

    # ----------------------------------------------------------------------------- training

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the batch's loss to the mean since the last evaluation."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, torch.Tensor):
            return
        # Under automatic optimisation Lightning has divided it by the number of batches.
        scale = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        self._run.training_loss.add(loss, scale)
        every = trainer.log_every_n_steps  # 0, never, in a Trainer(barebones=True)
        step = log_step(trainer)
        due = every and (step + 1) % every == 0 and step != self._logged_step
        if self.log_losses and trainer.loggers and due:
            self._logged_step = step
            log_directly(trainer, {self._run.key(TRAIN_LOSS): float(loss.detach()) * scale}, step)

    # --------------------------------------------------------------------------- evaluation

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin an evaluation."""
        self._run.start(trainer, "val")

    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch's samples."""
        self._run.add(pl_module, outputs, batch, batch_idx, dataloader_idx)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Compute and log the values."""
        if not trainer.sanity_checking:
            self._finish(trainer, pl_module, "val")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Judge by the loss that the module logged, where it returned none; print."""
        if trainer.sanity_checking:
            return
        late = self._run.read_loss(trainer)
        if self._run.fitting:
            if late and self._judge(trainer):
                log_directly(trainer, self._run.verdict_values(), log_step(trainer))
            # A loss that the module logged may differ between ranks: rank zero's verdict counts.
            if self.stop_on_overfitting and trainer.strategy.broadcast(self._found, 0):
                trainer.should_stop = True
            self._run.keep(trainer, pl_module)
            self._lay_out(trainer)
        elif not self.history and trainer.global_step == 0 and not trainer.ckpt_path:
            self._run.keep(
                trainer, pl_module
            )  # `trainer.validate` before the fit: the untrained model
        self._print(trainer)

    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep a sanity check of the whole set as evaluation 0, the untrained model's."""
        batches = sum(trainer.num_sanity_val_batches)  # by the number of steps as it is now
        whole = self._restore_sanity_steps(trainer)
        check_every_rank(trainer)
        if not whole or self.history:
            self._run.sessions.check()
        elif batches:
            self._run.compute(trainer, pl_module, "val")
            self._run.read_loss(trainer)
            log_directly(trainer, self._run.values("val"), 0)
            self._run.keep(trainer, pl_module)
            self._print(trainer)
        self._run.sessions.reset()
        self._run.recorder.end()

    def _restore_sanity_steps(self, trainer: Any) -> bool:
        """Give the Trainer back its number of sanity steps; whether it was changed."""
        if self._sanity_steps is None:
            return False
        trainer.num_sanity_val_steps, self._sanity_steps = self._sanity_steps, None
        return True

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin a test."""
        self._run.start(trainer, "test")

    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Compute and log the test's values."""
        self._finish(trainer, pl_module, "test")

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Print the test's values."""
        self._print(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Tell the other ranks why; leave nothing of an evaluation but its answers, to look at."""
        leave(visible(f"{type(exception).__name__}: {exception}"))
        self._restore_sanity_steps(trainer)
        self._run.abandon()

    def _finish(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Compute, judge where the validation step returned losses, log."""
        self._run.compute(trainer, pl_module, stage)
        values = self._run.values(stage)
        if self._run.fitting and self._run.history.current["val_loss"] is not None:
            self._judge(trainer)
            values |= self._run.verdict_values()
        log_values(pl_module, values)

    def _judge(self, trainer: Any) -> bool:
        """Ask the overfitting rule; whether there is a verdict."""
        verdict = self._run.judge(trainer)
        self._found = verdict is not None and verdict.state == "overfitting"
        return verdict is not None

    # ------------------------------------------------------------------------------ results

    def _print(self, trainer: Any) -> None:
        """The main values, what was counted and what it cost, on rank zero."""
        if trainer.is_global_zero:
            self._run.warn_of_failures()
            if self.print_results:
                emit(trainer, self._run.summary((self._run.cost(),)))

    def _lay_out(self, trainer: Any) -> None:
        """Write the custom-scalars page, once the tags are known."""
        if self.tensorboard_layout and not self._laid_out:
            self._laid_out = True
            tags = [*self._run.values("val"), self._run.key(TRAIN_LOSS)]
            logged = [self.monitor] if self.monitor in trainer.callback_metrics else []
            log_layout(trainer, tags + logged, self.monitor)

    def summary(self) -> str:
        """The last evaluation in a few lines."""
        return self._run.summary()

    def history_table(self, keys: Sequence[str] | None = None) -> str:
        """The run's evaluations as a table, one row each.

        Args:
            keys: Log keys of the values to show; None for the main ones.
        """
        return "\n".join(history_lines(self.history, keys))

    # -------------------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return self._run.state_dict()

    def __getstate__(self) -> dict[str, Any]:
        """A Trainer hangs methods of its module on its callbacks: those do not travel."""
        return {key: value for key, value in vars(self).items() if key not in ("log", "log_dict")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        `trainer.validate(ckpt_path=...)` loads states too, and must not turn the history back.
        """
        if self._run.fitting:
            self._run.load_state_dict(state_dict)
