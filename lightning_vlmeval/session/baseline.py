"""The stored run that a diagnosis judges values against."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_vlmeval.errors import VLMEvalError
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.runs.record import fingerprint
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.table import Table


class Baseline:
    """An evaluation of a stored run, as rows to compare with.

    Args:
        folder: The run's folder.
        evaluation: The evaluation's position, -1 for the last.

    Raises:
        StoreError: It is not a run's folder.
    """

    def __init__(self, folder: str | Path, evaluation: int = -1) -> None:
        self._run, self._evaluation = Run(folder), evaluation
        self._targets: dict[str, dict[str, Any]] = {}
        self._rows: dict[tuple[str, str], Table] = {}
        self._told: set[str] = set()

    def tables(
        self, scorers: Mapping[str, Scorer], samples: Sequence[Mapping[str, Any]], loader: str
    ) -> dict[str, Table]:
        """The rows of each metric that compares; why one does not is told once.

        Args:
            scorers: The metrics of the evaluation to judge.
            samples: Its samples.
            loader: The name of their dataloader, "" for the only one.
        """
        try:
            return self._tables(scorers, samples, loader)
        except VLMEvalError as error:
            self._tell(str(error))
            return {}

    def _tables(
        self, scorers: Mapping[str, Scorer], samples: Sequence[Mapping[str, Any]], loader: str
    ) -> dict[str, Table]:
        mine = {str(one["id"]): one["target"] for one in samples}
        theirs = self._targets_of(loader)
        shared = [name for name in mine if name in theirs]
        if not shared:
            self._tell("it has no sample in common with this validation set")
            return {}
        prints = [fingerprint(shared, [of[name] for name in shared]) for of in (mine, theirs)]
        if prints[0] != prints[1]:
            self._tell("samples of the same id have other targets there")
            return {}
        found = {}
        for name, scorer in scorers.items():
            record = self._run.record["scorers"].get(name)
            if record is None:
                continue
            if record.get("signature") != str(scorer.signature()):
                self._tell(f"{name} is {record.get('signature')} there, {scorer.signature()} here")
                continue
            if (name, loader) not in self._rows:
                self._rows[name, loader] = self._run.table(self._evaluation, name, loader)
            if not set(shared).isdisjoint(self._rows[name, loader].ids):
                found[name] = self._rows[name, loader]
        return found

    def _targets_of(self, loader: str) -> dict[str, Any]:
        """What the samples of a dataloader should have been, by id; read once."""
        if loader not in self._targets:
            self._targets[loader] = {
                one["id"]: one.get("target")
                for one in self._run.samples(self._evaluation)
                if one.get("loader", "") == loader
            }
        return self._targets[loader]

    def _tell(self, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            warnings.warn(
                f"Values are not judged against the baseline {self._run.name}: {why}", stacklevel=2
            )
