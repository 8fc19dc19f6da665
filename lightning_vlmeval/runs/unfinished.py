"""The answers of an evaluation that still goes on, or that ended before its time."""

import contextlib
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_vlmeval.runs.files import (
    StoreError,
    packed_lines,
    read_objects,
    write_whole,
)

SECONDS = 15.0
"""How long answers are held before they are written."""

# A part, or what a killed process left of one.
_PART = re.compile(
    r"\.?([0-9]{9})\.rank([0-9]+)\.[0-9]{6}\.jsonl\.gz(?:\.[0-9]+-[0-9a-f]{8}\.tmp)?", re.ASCII
)


class PartWriter:
    """Writes what a rank has answered so far beside the run's folder, so that a kill loses little.

    At most one file in `SECONDS`, each there whole or not at all:
    ``vlmeval.unfinished/000000003.rank0.000002.jsonl.gz``, evaluation, rank and part. They are
    removed when the evaluation is stored, or else when the next one begins. What goes wrong is told
    once in a warning, and no more is written.

    Args:
        folder: The run's folder.
        rank: This process.
        ranks: How many there are.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "vlmeval"
        >>> writer = PartWriter(folder, rank=0, ranks=1)
        >>> writer.begin(3)
        >>> writer.add([{"id": "a", "prediction": "a dog"}], now=True)
        >>> unfinished_answers(folder)
        {3: [{'id': 'a', 'prediction': 'a dog'}]}
        >>> writer.end()
        >>> unfinished_answers(folder)
        {}
    """

    def __init__(self, folder: Path, rank: int, ranks: int) -> None:
        self._folder, self._rank, self._ranks = _beside(folder), rank, ranks
        self._index: int | None = None  # None between evaluations
        self._parts = self._written = 0
        self._due = 0.0
        self._failed = False

    def begin(self, index: int) -> None:
        """Begin an evaluation; what an earlier one left is removed, by each rank its own.

        Args:
            index: Its number.
        """
        self._index, self._parts, self._written = index, 0, 0
        self._due = time.monotonic() + SECONDS
        with self._guarded():
            # Rank zero also removes those of ranks that there are no more.
            self._remove(
                lambda _, rank: rank == self._rank or (self._rank == 0 and rank >= self._ranks)
            )

    def add(self, samples: Sequence[Mapping[str, Any]], now: bool = False) -> None:
        """Write those that are not written yet, if it is time to.

        Args:
            samples: All answers of this rank so far; their pictures are left out.
            now: Whether it is time to in any case.
        """
        if self._index is None or self._failed or (not now and time.monotonic() < self._due):
            return
        new = samples[self._written :]
        if not new:
            return
        with self._guarded():
            name = f"{self._index:09d}.rank{self._rank}.{self._parts:06d}.jsonl.gz"
            write_whole(self._folder / name, packed_lines(map(_without_picture, new)))
        self._parts, self._written = self._parts + 1, len(samples)
        self._due = time.monotonic() + SECONDS

    def end(self) -> None:
        """End the evaluation: its answers are stored, or need not be. Rank zero removes the parts."""
        ended, self._index = self._index, None
        if ended is not None and self._rank == 0:
            with self._guarded():
                self._remove(lambda index, _: index == ended)
                with contextlib.suppress(OSError):
                    self._folder.rmdir()  # where it is empty

    def _remove(self, unwanted: Callable[[int, int], bool]) -> None:
        for path, index, rank in _parts(self._folder, "*"):
            if unwanted(index, rank):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  no file is worth a training run
            if not self._failed:
                self._failed = True
                warnings.warn(
                    f"Unfinished evaluations cannot be kept in {self._folder}: {error}",
                    stacklevel=4,
                )


def unfinished_answers(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """What was answered in evaluations that are not stored, by their number; of all ranks.

    Args:
        folder: The run's folder; it need not be there yet.

    Raises:
        StoreError: A file cannot be read.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    for path, index, _ in _parts(_beside(folder), "*.gz"):
        try:
            found.setdefault(index, []).extend(sample for _, sample in read_objects(path))
        except StoreError:
            if path.exists():  # or the evaluation was finished meanwhile
                raise
    return found


def _beside(folder: Path) -> Path:
    """Not in the run's folder, which a new run in the same place renames."""
    return folder.with_name(f"{folder.name}.unfinished")


def _parts(folder: Path, names: str) -> list[tuple[Path, int, int]]:
    """The parts in a folder, each with its evaluation and its rank."""
    named = ((path, _PART.fullmatch(path.name)) for path in sorted(folder.glob(names)))
    return [(path, int(match[1]), int(match[2])) for path, match in named if match]


def _without_picture(sample: Mapping[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in sample.items() if key != "image" and one is not None}
