"""Writes each evaluation of a run to its folder, beside the logger's files."""

import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lightning_vlmeval.analysis.overfitting import Verdict
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.keys import metric_key
from lightning_vlmeval.reporting.console import is_headline
from lightning_vlmeval.runs.images import ImageMode, Thumbnail
from lightning_vlmeval.runs.record import fingerprint, run_record
from lightning_vlmeval.runs.store import RunStore
from lightning_vlmeval.runs.unfinished import PartWriter
from lightning_vlmeval.session.history import Evaluations
from lightning_vlmeval.session.trainer import class_names

FOLDER = "vlmeval"
"""The name of a run's folder in the folder of its logs."""

# The F1 of a sample without a target is undefined; by this one it is right or wrong.
_ALSO = ("grounding/macro_f1",)


class Recorder:
    """The run's folder as the callback fills it, on rank zero.

    An evaluation that cannot be written is told in a warning and is not in the folder: training
    goes on, and the next one is tried again.

    Args:
        store: Whether to write, beside the files of the first logger that has a folder; or the
            folder to write to.
        images: ``thumbnails``, ``reference`` or ``none``.
        max_images: How many thumbnails to store.
        tasks: What the answers are.
        name: What the callback is called; None for the only one.
        box_format: In whose way the answers write boxes, for them to be read again.

    Attributes:
        folder: The run's folder; None before it is known, or where nothing is written.
        stored: Whether an evaluation was written to it.
    """

    def __init__(
        self,
        store: bool | str,
        images: ImageMode,
        max_images: int,
        tasks: Sequence[str],
        name: str | None,
        box_format: str | None = None,
    ) -> None:
        self._place, self._images, self._max_images = store, images, max_images
        self._tasks, self._name, self._box_format = list(tasks), name, box_format
        self.folder: Path | None = None
        self.stored = False
        self._store: RunStore | None = None
        self._parts: PartWriter | None = None
        self._unstored: dict[tuple[str, str], Thumbnail] = {}  # each is made only once

    def open(self, trainer: Any) -> bool:
        """Find the folder; whether it is another than before.

        A collective, since a logger's folder is decided on rank zero.

        Args:
            trainer: The trainer.
        """
        before, self.folder = self.folder, self._find(trainer)
        if self.folder != before:
            self.close()
        return self.folder != before

    def close(self) -> None:
        """End the run: what is written next is another, or goes on elsewhere."""
        self.stored, self._store, self._parts, self._unstored = False, None, None, {}

    def _find(self, trainer: Any) -> Path | None:
        if not self._place or trainer.fast_dev_run:
            return None
        place = self._place if isinstance(self._place, str) else None
        if place is None and trainer.loggers:
            place = trainer.strategy.broadcast(_log_folder(trainer))
        if place is None:
            return None
        return Path(place) / (f"{FOLDER}-{self._name}" if self._name else FOLDER)

    def begin(self, trainer: Any, index: int) -> None:
        """Begin an evaluation: what one that never ended left is removed.

        Args:
            trainer: The trainer.
            index: The evaluation's number.
        """
        if self.folder is not None:
            if self._parts is None:
                self._parts = PartWriter(self.folder, trainer.global_rank, trainer.world_size)
            self._parts.begin(index)

    def add(self, samples: Sequence[Mapping[str, Any]], now: bool = False) -> None:
        """Keep what this rank has answered so far; not at each call.

        Args:
            samples: All of the evaluation.
            now: Whether to at this one.
        """
        if self._parts is not None and self.folder is not None:
            self._parts.add(samples, now)

    def end(self) -> None:
        """End an evaluation that is stored, or need not be."""
        if self._parts is not None and self.folder is not None:
            self._parts.end()

    def write(
        self,
        trainer: Any,
        pl_module: Any,
        entry: Mapping[str, Any],
        evaluations: Evaluations,
        samples: Sequence[Mapping[str, Any]],
        verdict: Verdict | None,
        findings: Sequence[Mapping[str, Any]] = (),
        sentence: str = "",
    ) -> bool:
        """Write an evaluation; whether it is there now.

        Args:
            trainer: The trainer.
            pl_module: The module.
            entry: Its entry in the history.
            evaluations: Its results.
            samples: Its samples, of all ranks.
            verdict: What the losses say.
            findings: What the diagnosis found.
            sentence: What loss and main value say together, and which checkpoints to keep.
        """
        if self.folder is None or not trainer.is_global_zero:
            return False
        try:
            summary = {
                **entry,
                "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "verdict": None if verdict is None or entry["state"] is None else vars(verdict),
                "findings": list(findings),
                "judgement": sentence,
                "fingerprint": _fingerprints(samples),
            }
            if self._store is None:
                self._store = self._opened(self.folder, pl_module, evaluations)
            samples = [{**one, **self._picture(one)} for one in samples]
            self._store.write(summary, _scored(samples, evaluations))
        except Exception as error:  # noqa: BLE001  no file is worth a training run
            warnings.warn(
                f"Evaluation {entry['index']} (step {entry['step']}) could not be stored in "
                f"{self.folder}: {error}. Training goes on, and the next one will be tried",
                stacklevel=2,
            )
            pictures = {_key(one): one.get("image") for one in samples}
            self._unstored |= {k: v for k, v in pictures.items() if isinstance(v, Thumbnail)}
            return False
        self._unstored = {}
        self.stored = True
        return True

    def _picture(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """The sample's picture that an earlier evaluation could not store."""
        picture = self._unstored.get(_key(sample))
        return {} if picture is None else {"image": picture}

    def _opened(self, folder: Path, pl_module: Any, evaluations: Evaluations) -> RunStore:
        parameters = list(pl_module.parameters())
        scorers: dict[str, Scorer] = {}
        for evaluation in evaluations.values():
            scorers |= evaluation.scorers
        record = run_record(
            self._name or folder.parent.name,
            self._tasks,
            scorers,
            model=type(pl_module).__name__,
            parameters=sum(one.numel() for one in parameters),
            trained_parameters=sum(one.numel() for one in parameters if one.requires_grad),
            config=dict(getattr(pl_module, "hparams", {})) or None,
            box_format=self._box_format,
        )
        return RunStore(folder, record, self._images, self._max_images)


def _log_folder(trainer: Any) -> str | None:
    """The folder of this run's logs; None where there is none.

    TensorBoard's tab reads what lies beside its own files. W&B's and MLflow's loggers have one
    folder for all runs: there it is where Lightning puts the run's checkpoints.
    """
    for logger in trainer.loggers:
        if "TensorBoardLogger" in class_names(logger):
            return str(logger.log_dir)
    first = trainer.loggers[0]
    if "CSVLogger" in class_names(first):
        return str(first.log_dir)
    place = first.save_dir or trainer.default_root_dir
    if place is None:
        return None
    name, version = first.name, first.version
    if version is not None and not isinstance(version, str):
        version = f"version_{version}"
    return str(Path(place, *(str(part) for part in (name, version) if part)))


def _key(sample: Mapping[str, Any]) -> tuple[str, str]:
    return sample["loader"], sample["id"]


def _fingerprints(samples: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What tells each dataloader's validation set from another."""
    loaders: dict[str, dict[str, Any]] = {}
    for sample in samples:
        loaders.setdefault(sample["loader"], {}).setdefault(sample["id"], sample["target"])
    return {name: fingerprint(list(of), list(of.values())) for name, of in loaders.items()}


def _scored(samples: Sequence[Mapping[str, Any]], evaluations: Evaluations) -> list[dict[str, Any]]:
    """The samples with their own scores and statistics."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    for name, evaluation in evaluations.items():
        for metric, table in evaluation.tables.items():
            if metric in evaluation.failures:
                continue
            scores = {
                metric_key(metric, key): values.tolist()
                for key, values in evaluation.scorers[metric].sample_scores(table).items()
                if is_headline(metric_key(metric, key)) or metric_key(metric, key) in _ALSO
            }
            rows = table.rows.tolist()
            for i, sample_id in enumerate(table.ids):
                one = known.setdefault((name or "", sample_id), {"scores": {}, "rows": {}})
                one["rows"][metric] = rows[i]
                one["scores"] |= {
                    key: values[i] for key, values in scores.items() if not math.isnan(values[i])
                }
                if table.payloads[i]:
                    one.setdefault("payloads", {})[metric] = table.payloads[i]
    return [{**sample, **known.get(_key(sample), {})} for sample in samples]
