"""Saved answers, read from a run, from JSON lines, or from a dump of a dataset."""

import gzip
import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.runs.files import StoreError, parsed_object
from lightning_vlmeval.runs.run import Run

PREDICTION = ("prediction", "preds", "output", "answer")
REFERENCE = ("reference", "references", "target", "label", "answer", "answers")
PROMPT = ("prompt", "question")


@dataclass(frozen=True)
class Row:
    """One saved answer.

    Args:
        place: Where it was read: the file and the line.
        values: Its columns.
    """

    place: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Predictions:
    """Saved answers.

    Args:
        source: What they were read from.
        rows: One an answer.
        prediction: The column of the answers.
        reference: The column of what they should have been.
        id: The column of the ids; "" for the numbers of the rows.
    """

    source: str
    rows: Sequence[Row]
    prediction: str
    reference: str
    id: str

    @property
    def prompt(self) -> str | None:
        """The column of the prompts, where every row has one."""
        return next((name for name in PROMPT if self.has(name)), None)

    def has(self, column: str) -> bool:
        """Whether every row has a column, and something in it.

        Args:
            column: Its name.
        """
        return all(row.values.get(column) is not None for row in self.rows)

    def ids(self) -> list[str]:
        """The id of each row.

        Raises:
            StoreError: An id is missing, or comes twice for one dataloader.
        """
        if not self.id:
            return [str(number) for number in range(1, len(self.rows) + 1)]
        seen: dict[tuple[str, str], str] = {}
        for row in self.rows:
            name = row.values.get(self.id)
            if not isinstance(name, (str, int)):
                raise StoreError(f"{row.place}: expected an id in {self.id!r}, but got {name!r}")
            key = (str(row.values.get("loader", "")), str(name))
            if key in seen:
                raise StoreError(
                    f"{row.place}: expected each id once, but {str(name)!r} was in {seen[key]}"
                )
            seen[key] = row.place
        return [name for _, name in seen]


def read_rows(source: str, evaluation: int = -1) -> tuple[list[Row], Mapping[str, Any]]:
    """The answers in a run, a file or standard input, and the record of the run.

    Args:
        source: The folder of a run, a file, or ``-``.
        evaluation: Which of a run's evaluations.

    Raises:
        StoreError: It cannot be read; the file and the line are named.
    """
    if source == "-" or not Path(source).is_dir():
        return _file_rows(source), {}
    run = Run(source)
    samples = run.samples(evaluation)
    return [Row(f"{run.path}: sample {one['id']!r}", one) for one in samples], run.record


def find_columns(
    source: str,
    rows: Sequence[Row],
    *,
    prediction: str | None = None,
    reference: str | None = None,
    sample_id: str | None = None,
) -> Predictions:
    """Answers of which it is known where each has what.

    Args:
        source: What they were read from.
        rows: The answers.
        prediction: The column of the answers; None for the first of `PREDICTION` there is.
        reference: The column of what they should have been; None for the first of `REFERENCE`.
        sample_id: The column of the ids; None for ``id``, or else the numbers of the rows.

    Raises:
        StoreError: There are no rows, or no such columns.
        ConfigurationError: A column that was named is not there.
    """
    if not rows:
        raise StoreError(f"{source}: expected saved answers, but there are none")
    taken = _column("prediction", prediction, PREDICTION, rows[0], ["boxes"])
    references = [name for name in REFERENCE if name != taken]
    expected = _column("reference", reference, references, rows[0])
    name = _column("id", sample_id, ["id"], rows[0], [""])
    return Predictions(source, rows, taken, expected, name)


def _column(
    what: str, named: str | None, usual: Sequence[str], row: Row, instead: Sequence[str] = ()
) -> str:
    """The column of something: the one that was named, or the first usual one that is there."""
    if named is not None:
        if named not in row.values:
            raise ConfigurationError(
                f"{row.place}: expected the column {named!r} of the {what}s, but there are "
                f"{', '.join(row.values)}"
            )
        return named
    for name in (*usual, *instead):
        if name in row.values or name == "":
            return name
    raise StoreError(
        f"{row.place}: expected a column of the {what}s, one of {', '.join(usual)}, but there are "
        f"{', '.join(row.values)}; name it with --{what}-column"
    )


def _file_rows(source: str) -> list[Row]:
    data = _data(source)
    if source.endswith((".json", ".json.gz")):
        return _json_rows(source, data)
    lines = enumerate(data.split(b"\n"), 1)
    places = ((f"{source}:{number}", line) for number, line in lines if line.strip())
    return [Row(place, parsed_object(line, place)) for place, line in places]


def _data(source: str) -> bytes:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        packed = data.startswith(b"\x1f\x8b")
        return gzip.decompress(data) if packed else data.removeprefix(b"\xef\xbb\xbf")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise StoreError(f"{source}: expected a whole gzip file, but: {error}") from None
    except OSError as error:
        raise StoreError(f"{source}: cannot be read: {error.strerror}") from None


def _json_rows(source: str, data: bytes) -> list[Row]:
    """A list of rows, or a dictionary of columns of one length."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{source}: expected JSON, but got {error}") from None
    if isinstance(value, dict):
        lengths = {len(one) if isinstance(one, list) else None for one in value.values()}
        if len(lengths) != 1 or None in lengths:
            raise StoreError(
                f"{source}: expected a list of rows, or a dictionary of columns of one length"
            )
        columns = value.values()
        value = [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise StoreError(f"{source}: expected a list of rows, or a dictionary of columns")
    return [Row(f"{source}: row {number}", row) for number, row in enumerate(value, 1)]
