"""The reader of what a run left on disk."""

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.runs.files import (
    StoreError,
    check_kinds,
    floats,
    lines_of,
    number_or_nan,
    parsed_object,
    read_object,
    read_objects,
)
from lightning_vlmeval.runs.images import read_thumbnail
from lightning_vlmeval.runs.record import RECORD, read_record
from lightning_vlmeval.runs.store import EVALUATIONS, IMAGES, Key, evaluation_indices, sample_files
from lightning_vlmeval.runs.unfinished import unfinished_answers
from lightning_vlmeval.table import Table

FOLDER = "vlmeval"
"""What a run's folder is called, beside the logger's files."""

# What readers take fields for.
_OF_SUMMARIES: dict[str, type] = {
    **dict.fromkeys(("values", "intervals", "accounting", "verdict", "fingerprint"), dict),
    "findings": list,
}
_OF_SAMPLES: dict[str, type] = {
    **dict.fromkeys(("rows", "payloads", "scores", "issues"), dict),
    **dict.fromkeys(("boxes", "labels", "matches"), list),
}


class EvaluationIndexError(StoreError, IndexError):
    """A run has no evaluation of this number."""


class Run:
    """What a run left on disk, without the model, torch or a GPU; also while it still goes on.

    An evaluation is named by its position in `evaluations`, negative ones from the end, as in a
    list. It is part of the run once it is whole.

    | on disk | what becomes of it |
    |---|---|
    | no ``run.json``, or one of another format | StoreError |
    | an evaluation that is not whole, a file of another name | passed over; see `unfinished` |
    | a file that is cut, or not what its name says | StoreError, where it is read; the line is named |
    | an answer without the fields that are stored once | as it is, without them |

    Args:
        path: The run's folder ``vlmeval``, or the one that holds it.

    Attributes:
        path: The run's folder.
        record: What the run is: `name`, `tasks`, `model`, `scorers`, `columns`, `created`.

    Raises:
        StoreError: It is not a run's folder.

    Example:
        >>> import tempfile
        >>> from lightning_vlmeval.functional.losses import LossScorer
        >>> from lightning_vlmeval.runs.record import run_record
        >>> from lightning_vlmeval.runs.store import RunStore
        >>> folder = tempfile.mkdtemp()
        >>> store = RunStore(folder, run_record("first", ["vqa"], {"loss": LossScorer()}))
        >>> for index, loss in enumerate([0.75, 0.5]):
        ...     store.write(
        ...         {"index": index, "step": 10 * index, "values": {"val/loss": loss}},
        ...         [{"id": "a", "target": "dog", "rows": {"loss": [1.0, loss, 0.0]}}],
        ...     )
        >>> run = Run(folder)
        >>> run.scores(-1), run.table(0, "loss").rows.tolist()
        ({'val/loss': 0.5}, [[1.0, 0.75, 0.0]])
        >>> [one["rows"]["loss"][1] for one in run.history("a")]
        [0.75, 0.5]
    """

    def __init__(self, path: str | Path) -> None:
        given = Path(path)
        places = [given, given / FOLDER]
        found = [place for place in places if (place / RECORD).is_file()]
        if not found:
            raise StoreError(
                f"{given}: expected the folder of a run, with {RECORD!r} or '{FOLDER}/{RECORD}' in "
                "it, but there is neither"
            )
        self.path = found[0]
        self.record = read_record(self.path)
        self._static_of: dict[Path, dict[Key, dict[str, Any]]] = {}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def name(self) -> str:
        """What people call the run."""
        return str(self.record.get("name") or self.path)

    @property
    def indices(self) -> list[int]:
        """The indices under which the whole evaluations are stored."""
        return evaluation_indices(self.path)

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """The summaries of the evaluations, the untrained model's first; undefined values are None.

        Raises:
            StoreError: One cannot be read.
        """
        return [self._summary(index) for index in self.indices]

    @property
    def loaders(self) -> list[str]:
        """The names of the dataloaders of the last evaluation; [""] where there is only one."""
        evaluations = self.indices
        accounting = self._summary(evaluations[-1]).get("accounting") if evaluations else None
        return list(accounting) if isinstance(accounting, dict) and accounting else [""]

    @property
    def unfinished(self) -> list[dict[str, Any]]:
        """The answers so far of an evaluation that goes on, or was killed; [] where there is none.

        They have no scores yet. The first answers come after some seconds, more from time to time.

        Raises:
            StoreError: They cannot be read.
        """
        stored = set(self.indices)
        found = {i: some for i, some in unfinished_answers(self.path).items() if i not in stored}
        return sorted(found[max(found)], key=_key) if found else []

    def scores(self, index: int = -1) -> dict[str, float]:
        """The values of an evaluation by log key, undefined ones as NaN.

        Args:
            index: Its position.

        Raises:
            EvaluationIndexError: There is none.
            StoreError: It cannot be read.
        """
        stored = self._index(index)
        values = self._summary(stored).get("values") or {}
        try:
            return {str(key): number_or_nan(value) for key, value in values.items()}
        except (TypeError, AttributeError) as error:
            raise StoreError(f"{self._file(stored, 'summary.json')}: values: {error}") from None

    def samples(self, index: int = -1) -> list[dict[str, Any]]:
        """The answers of an evaluation with all that is stored of them, sorted by loader and id.

        Args:
            index: Its position.

        Raises:
            EvaluationIndexError: There is none.
            StoreError: It cannot be read.
        """
        stored = self._index(index)
        static = self._static(stored)
        return [
            {**static.get(_key(sample), {}), **sample}
            for _, sample in _checked(self._file(stored, "jsonl.gz"))
        ]

    def table(self, index: int, metric: str, loader: str = "") -> Table:
        """The rows of a metric, of the samples that have one.

        Args:
            index: The evaluation's position.
            metric: The metric's name.
            loader: The dataloader's name.

        Raises:
            ConfigurationError: The run has no such metric.
            StoreError: A sample's row cannot be read.
        """
        columns = self.record["columns"].get(metric)
        if not isinstance(columns, list):
            raise ConfigurationError(
                f"Expected a metric of the run, {', '.join(self.record['columns'])}, "
                f"but got {metric!r}"
            )
        stored = self._index(index)
        static, path = self._static(stored), self._file(stored, "jsonl.gz")
        ids, rows, groups, payloads = [], [], [], []
        for number, sample in _checked(path):
            row = _of(sample, "rows", metric)
            if row is None or sample.get("loader", "") != loader:
                continue
            rows.append(_row(row, len(columns), f"{path}:{number}"))
            ids.append(sample["id"])
            groups.append(str(static.get(_key(sample), {}).get("group") or ""))
            payloads.append(_payload(sample, metric, f"{path}:{number}"))
        table = np.array(rows, dtype=np.float64).reshape(-1, len(columns))
        return Table(tuple(columns), tuple(ids), table, tuple(groups), tuple(payloads))

    def history(self, sample_id: str, loader: str = "") -> list[dict[str, Any]]:
        """A sample's answers, one for each evaluation that has it, with its `index` and `step`.

        Args:
            sample_id: The sample.
            loader: The dataloader's name.

        Raises:
            StoreError: An evaluation cannot be read.
        """
        needle = json.dumps(sample_id, ensure_ascii=False).encode("utf-8", "backslashreplace")
        found = []
        for index in self.indices:
            path = self._file(index, "jsonl.gz")
            for number, line in enumerate(lines_of(path), 1):
                if needle not in line:
                    continue
                sample = parsed_object(line, f"{path}:{number}")
                if _key(sample) == (loader, sample_id):
                    place = {"index": index, "step": self._summary(index).get("step")}
                    found.append({**place, **self._static(index).get(_key(sample), {}), **sample})
        return found

    def image(self, name: str) -> bytes:
        """A stored thumbnail, a JPEG file.

        Args:
            name: What a sample calls its `image`, where it is not a path.

        Raises:
            StoreError: The store has no such thumbnail.
        """
        return read_thumbnail(self.path / IMAGES, name)

    def _index(self, position: int) -> int:
        """The index under which an evaluation is stored."""
        indices = self.indices
        if not -len(indices) <= position < len(indices):
            there = f"there are {len(indices)}" if indices else "there is none yet"
            raise EvaluationIndexError(
                f"{self.path}: expected one of its evaluations, but got {position}: {there}"
            )
        return indices[position]

    def _file(self, index: int, ending: str) -> Path:
        return self.path / EVALUATIONS / f"{index:09d}.{ending}"

    def _summary(self, index: int) -> dict[str, Any]:
        path = self._file(index, "summary.json")
        summary = read_object(path)
        check_kinds(summary, _OF_SUMMARIES, str(path))
        return summary

    def _static(self, index: int) -> dict[Key, dict[str, Any]]:
        """What is stored once of the samples seen up to an evaluation."""
        found: dict[Key, dict[str, Any]] = {}
        for path in sample_files(self.path, index):
            if path not in self._static_of:
                self._static_of[path] = {_key(sample): sample for _, sample in _checked(path)}
            found.update(self._static_of[path])
        return found


def _key(sample: dict[str, Any]) -> Key:
    return str(sample.get("loader", "")), str(sample.get("id"))


def _of(sample: dict[str, Any], name: str, metric: str) -> Any:
    """What a sample has of a metric, by the name of the field; None for nothing."""
    return (sample.get(name) or {}).get(metric)


def _checked(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The samples of a file, each with its line."""
    for number, sample in read_objects(path):
        if not isinstance(sample.get("id"), str):
            raise StoreError(
                f"{path}:{number}: expected a sample with a text as 'id', but got "
                f"{sample.get('id')!r}"
            )
        check_kinds(sample, _OF_SAMPLES, f"{path}:{number}")
        yield number, sample


def _row(row: Any, length: int, place: str) -> Any:
    """A row of statistics."""
    try:
        values = floats(row)
    except TypeError as error:
        raise StoreError(f"{place}: a row: {error}") from None
    if len(values) != length:
        raise StoreError(
            f"{place}: expected a row of {length} numbers, as in the record, but got {len(values)}"
        )
    return values


def _payload(sample: dict[str, Any], metric: str, place: str) -> bytes:
    """The bytes beside a row."""
    text = _of(sample, "payloads", metric)
    try:
        return b"" if text is None else base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise StoreError(f"{place}: expected a payload in base64, but got {text!r:.80}") from None
