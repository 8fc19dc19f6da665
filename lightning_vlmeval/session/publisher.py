"""What people look at: TensorBoard's tab, texts and pictures, and the report."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning_vlmeval.reporting.report import write_report
from lightning_vlmeval.reporting.tensorboard_events import (
    write_diagnosis,
    write_hparams,
    write_marker,
    write_pictures,
)
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.session.trainer import class_names

REPORT = "report.html"
"""The name of the report in a run's folder."""


class Publisher:
    """Shows a stored run, on rank zero. A fault is told in a warning, once, and ends nothing.

    Args:
        report: Whether to write the report when the fit ends.
        tensorboard_images: How many pictures to write to TensorBoard at each evaluation.
    """

    def __init__(self, report: bool, tensorboard_images: int) -> None:
        self._report, self._images = report, tensorboard_images
        self._begun = self._failed = False

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
        writers = list(_writers(trainer))
        if not writers or self._failed:
            return
        try:
            run = Run(folder)
            for writer in writers:
                if not self._begun:
                    write_marker(writer)
                    if params := dict(getattr(pl_module, "hparams", {})):
                        write_hparams(writer, params, tags)
                if news:
                    write_diagnosis(writer, run.evaluations[-1])
                if self._images:
                    write_pictures(writer, run, self._images)
            self._begun = True
        except Exception as error:  # noqa: BLE001  no picture is worth a training run
            self._fail("TensorBoard shows less than it could", error)

    def fit_end(self, folder: Path) -> Path | None:
        """Write the report; where it lies, or None.

        Args:
            folder: The run's folder.
        """
        if not self._report:
            return None
        try:
            run = Run(folder)
            if not run.evaluations:
                return None
            write_report([run], folder / REPORT)
        except Exception as error:  # noqa: BLE001  the run is over, and its evaluations are stored
            self._fail("The report could not be written", error)
            return None
        return folder / REPORT

    def _fail(self, what: str, error: Exception) -> None:
        self._failed = True
        warnings.warn(f"{what}: {type(error).__name__}: {error}", stacklevel=2)


def _writers(trainer: Any) -> Iterator[Any]:
    """The writers of TensorBoard's loggers."""
    for logger in trainer.loggers:
        if "TensorBoardLogger" in class_names(logger):
            yield logger.experiment
