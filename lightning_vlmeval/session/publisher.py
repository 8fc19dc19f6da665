"""What people look at: the loggers' own pictures, tables and texts, TensorBoard's tab, the report."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_vlmeval.reporting import mlflow_artifacts, wandb_media
from lightning_vlmeval.reporting.report import write_report
from lightning_vlmeval.reporting.tensorboard_events import (
    write_diagnosis,
    write_hparams,
    write_marker,
    write_pictures,
)
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.session.trainer import class_names, log_step

REPORT = "report.html"
"""The name of the report in a run's folder."""

_KINDS = {"TensorBoardLogger": "TensorBoard", "WandbLogger": "W&B", "MLFlowLogger": "MLflow"}


class Publisher:
    """Shows a stored run, on rank zero. A fault is told in a warning, once, and ends nothing.

    | logger | at each evaluation | when the fit ends |
    |---|---|---|
    | TensorBoard | pictures; the diagnosis where it is new; once the tab's mark, hyperparameters | |
    | W&B | pictures with its own boxes, a table of answers | the report, as a page and an artifact |
    | MLflow | pictures; the diagnosis where it is new | the report |
    | any other, none | | |

    Loggers are told by the names of their classes: both Lightning packages have one of each.

    Args:
        report: Whether to write the report when the fit ends.
        most: How many pictures a logger gets at each evaluation; with 0 it gets no answers either.
    """

    def __init__(self, report: bool, most: int) -> None:
        self._report, self._most = report, most
        self._begun: set[int] = set()  # loggers, by identity
        self._failed: set[int] = set()

    def begin(self) -> None:
        """Begin with a run's folder."""
        self._begun, self._failed = set(), set()

    def evaluation(
        self, trainer: Any, pl_module: Any, folder: Path, tags: Sequence[str], news: bool
    ) -> None:
        """Show the last evaluation of a run.

        Args:
            trainer: The trainer.
            pl_module: The module.
            folder: The run's folder.
            tags: The main values that were logged.
            news: Whether the diagnosis says something new.
        """
        step = log_step(trainer)  # where the curves have their points
        for logger, kind in self._loggers(trainer):
            try:
                run = Run(folder)
                if kind == "TensorBoard":
                    params = dict(getattr(pl_module, "hparams", {}))
                    self._to_tensorboard(logger, run, params, tags, step)
                    if news:
                        said = {**run.evaluations[-1], "step": step}
                        write_diagnosis(logger.experiment, said, f"{folder.name}/diagnosis")
                elif kind == "W&B":
                    wandb_media.log_pictures(logger, run, step, self._most, folder.name)
                    if self._most:
                        wandb_media.log_table(logger, run, step, folder.name)
                else:
                    mlflow_artifacts.log_pictures(logger, run, self._most, folder.name)
                    if news:
                        mlflow_artifacts.log_diagnosis(logger, run.evaluations[-1], folder.name)
            except Exception as error:  # noqa: BLE001  no picture is worth a training run
                self._failed.add(id(logger))
                _warn(f"{kind} shows less than it could", error)

    def _to_tensorboard(
        self, logger: Any, run: Run, params: dict[str, Any], tags: Sequence[str], step: int
    ) -> None:
        writer = logger.experiment
        if id(logger) not in self._begun:
            write_marker(writer)
            if params:
                write_hparams(writer, params, tags)
        write_pictures(writer, run, self._most, run.path.name, step)
        self._begun.add(id(logger))

    def fit_end(self, trainer: Any, folder: Path) -> Path | None:
        """Write the report and hand it to the loggers that keep files; where it lies, or None.

        Args:
            trainer: The trainer.
            folder: The run's folder.
        """
        if not self._report:
            return None
        path = folder / REPORT
        try:
            run = Run(folder)
            if not run.evaluations:
                return None
            write_report([run], path)
        except Exception as error:  # noqa: BLE001  the run is over, and its evaluations are stored
            _warn("The report could not be written", error)
            return None
        for logger, kind in self._loggers(trainer):
            try:
                if kind == "W&B":
                    wandb_media.log_report(logger, path, folder.name)
                elif kind == "MLflow":
                    mlflow_artifacts.log_report(logger, path, folder.name)
            except Exception as error:  # noqa: BLE001  it lies in the run's folder all the same
                self._failed.add(id(logger))
                _warn(f"{kind} has no report", error)
        return path

    def _loggers(self, trainer: Any) -> list[tuple[Any, str]]:
        """The loggers that take more than scalars and have not failed, each with its kind."""
        found = []
        for logger in trainer.loggers:
            kinds = [kind for name, kind in _KINDS.items() if name in class_names(logger)]
            if kinds and id(logger) not in self._failed:
                found.append((logger, kinds[0]))
        return found


def _warn(what: str, error: Exception) -> None:
    warnings.warn(f"{what}: {type(error).__name__}: {error}", stacklevel=3)
