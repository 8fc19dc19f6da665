"""The writer of a run's evaluations, samples and thumbnails."""

import base64
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.runs.files import (
    StoreError,
    json_line,
    packed_lines,
    plain,
    read_objects,
    remove_strays,
    write_whole,
)
from lightning_vlmeval.runs.images import ImageFolder, ImageMode
from lightning_vlmeval.runs.record import FORMAT, RECORD, read_record

EVALUATIONS, SAMPLES, IMAGES = "evals", "samples", "images"

# What is the same at every evaluation, and stored once.
_STATIC = (
    "task",
    "prompt",
    "target",
    "target_value",
    "group",
    "annotator",
    "size",
    "fed_size",
    "image",
)
_LINES = re.compile(r"([0-9]{9})\.jsonl\.gz", re.ASCII)

Key = tuple[str, str]
"""The name of a sample's dataloader, "" for the only one, and its id."""


class RunStore:
    """Writes a run to a folder, evaluation by evaluation, for `Run` to read.

    Files, each written whole or not at all:

    ==============================  ===========================================================
    ``run.json``                    the record: metrics, model, format
    ``samples/000000003.jsonl.gz``  what does not change of samples first seen in evaluation 3
    ``images/<hash>.jpg``           thumbnails
    ``evals/000000003.summary.json``  values, intervals, losses, verdict, findings
    ``evals/000000003.jsonl.gz``    written last: an answer with its scores and rows a line
    ==============================  ===========================================================

    One process writes. What a folder holds when the first evaluation comes:

    | first evaluation | what becomes of a run that is there |
    |---|---|
    | 0 | it is another run: its folder is renamed, ``vlmeval-1``, and so on |
    | n > 0 | it is this run, resumed: evaluations from n on are removed, with a warning; what led to them is trained again |
    | n > 0, but it cannot be read | it is renamed as above, with a warning, and the run goes on in a new folder |

    Args:
        folder: The run's folder, ``<log dir>/vlmeval``; made at the first evaluation.
        record: What `run_record` gave.
        images: ``thumbnails``; ``reference``, only the path of each picture that has one; ``none``.
        max_images: How many thumbnails to store; further pictures are referred to by their path.

    Raises:
        ConfigurationError: An option cannot work.

    Example:
        >>> import tempfile
        >>> from lightning_vlmeval.functional.grounding import GroundingScorer
        >>> from lightning_vlmeval.runs.record import run_record
        >>> from lightning_vlmeval.runs.run import Run
        >>> record = run_record("first", ["phrase_grounding"], {"grounding": GroundingScorer()})
        >>> folder = tempfile.mkdtemp()
        >>> store = RunStore(folder, record)
        >>> store.write({"index": 0, "step": 0, "values": {"val/grounding/f1": 0.5}},
        ...             [{"id": "a", "prediction": "none", "target": "a dog"}])
        >>> Run(folder).samples(0)
        [{'id': 'a', 'loader': '', 'target': 'a dog', 'prediction': 'none'}]
    """

    def __init__(
        self,
        folder: str | Path,
        record: Mapping[str, Any],
        images: ImageMode = "thumbnails",
        max_images: int = 500,
    ) -> None:
        self.folder = Path(folder)
        self._record = {"format": FORMAT, **plain(record)}
        self._images = ImageFolder(self.folder / IMAGES, images, max_images)
        self._known: set[Key] | None = None
        self._begins: bool | None = None  # whether the first evaluation was the run's first

    def write(self, summary: Mapping[str, Any], samples: Iterable[Mapping[str, Any]]) -> None:
        """Write an evaluation.

        A sample has an `id`, and where there are several dataloaders its `loader`; `task`,
        `prompt`, `target`, `target_value`, `group`, `annotator`, `size`, `fed_size` and `image`
        (what `thumbnail` takes, or a `Thumbnail`) are stored when it is first seen; every other
        field (`prediction`, `answer_value`, `boxes`, `labels`, `matches`, `scores`, `rows`,
        `loss`, `issues`, `truncated`, `unparsable`) at each
        evaluation. `payloads` holds the bytes beside a metric's rows. None is not stored; NaN is
        stored as null. Samples are sorted by dataloader and id; of equal ones the first is kept.
        A picture that cannot be written is told in a warning, and tried again at each evaluation.

        Args:
            summary: `index`, from 0, `step`, `values` by log key, and whatever else is worth keeping.
            samples: The samples of all ranks.

        Raises:
            ConfigurationError: `index` is not a whole number from 0.
            OSError: A file cannot be written. The evaluation is not there; others are as they were.
        """
        index = summary.get("index")
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 10**9:
            raise ConfigurationError(
                f"Expected `index` to be a whole number of at least 0, but got {index!r}"
            )
        known = self._opened(index)
        ordered = _ordered(samples)
        new = {key: sample for key, sample in ordered.items() if key not in known}
        stem = f"{index:09d}"
        static = self._static(new)
        if static:
            write_whole(self.folder / SAMPLES / f"{stem}.jsonl.gz", packed_lines(static))
        known.update(new)
        lines = packed_lines(_changing(key, sample) for key, sample in ordered.items())
        evaluations = self.folder / EVALUATIONS
        write_whole(evaluations / f"{stem}.summary.json", json_line(plain(summary)) + b"\n")
        write_whole(evaluations / f"{stem}.jsonl.gz", lines)

    def _opened(self, index: int) -> set[Key]:
        """The samples whose static fields are stored; the folder made ready for this evaluation."""
        if self._known is None or index in evaluation_indices(self.folder):
            self._known = self._open(index)
        return self._known

    def _open(self, index: int) -> set[Key]:
        record, known, removed = self._record, set[Key](), list[int]()
        if self._begins is None:
            self._begins = index == 0
        if self._begins and self._known is None:
            _move_aside(self.folder)
        elif (self.folder / RECORD).exists():
            try:
                record = {**record, "created": read_record(self.folder).get("created")}
                known = _stored_samples(self.folder, index)
                removed = [one for one in evaluation_indices(self.folder) if one >= index]
            except StoreError as error:
                aside = _rename(self.folder)
                warnings.warn(
                    f"{error}. The folder is kept as {aside}, and the run goes on from evaluation "
                    f"{index} in a new one",
                    stacklevel=2,
                )
        if removed:
            warnings.warn(
                f"{self.folder}: evaluations {', '.join(map(str, removed))} are removed: the run was "
                f"resumed before them, and makes them again",
                stacklevel=2,
            )
        _remove_from(self.folder, index)
        for folder in (self.folder, self.folder / EVALUATIONS, self.folder / SAMPLES):
            folder.mkdir(parents=True, exist_ok=True)
            remove_strays(folder)
        self._images.open()
        write_whole(self.folder / RECORD, json_line(record) + b"\n")
        return known

    def _static(self, samples: Mapping[Key, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The fields that do not change, the pictures stored; also those that could not be before."""
        static, failed = [], []
        for (loader, name), sample in samples.items():
            fields = {key: sample[key] for key in _STATIC if sample.get(key) is not None}
            try:
                picture = self._images.put(fields.pop("image", None))
            except (InputError, OSError) as error:
                failed.append(f"sample {name!r}: {error}")
                picture = {}
            # The size that was given is the one that boxes are pixels of.
            static.append({"id": name, "loader": loader, **picture, **fields})
        unwritten = self._images.write()
        late = [one for one in static if one.get("image") in unwritten]
        failed += [f"sample {one['id']!r}: {unwritten[one['image']]}" for one in late]
        if failed:
            again = ". What cannot be written is tried again at each evaluation" if late else ""
            warnings.warn(
                f"{len(failed)} pictures could not be stored. The first: {failed[0]}{again}",
                stacklevel=2,
            )
        return static


def evaluation_indices(folder: Path) -> list[int]:
    """The indices of the evaluations that are whole.

    Args:
        folder: The run's folder. Files of other names are passed over.
    """
    found = []
    for path in (folder / EVALUATIONS).glob("*.jsonl.gz"):
        match = _LINES.fullmatch(path.name)
        if match and path.with_name(f"{match[1]}.summary.json").exists():
            found.append(int(match[1]))
    return sorted(found)


def sample_files(folder: Path, last: int) -> list[Path]:
    """The files of static fields up to an evaluation, the earliest first.

    Args:
        folder: The run's folder.
        last: The evaluation's index.
    """
    names = ((path, _LINES.fullmatch(path.name)) for path in (folder / SAMPLES).glob("*.jsonl.gz"))
    return sorted(path for path, match in names if match and int(match[1]) <= last)


def _move_aside(folder: Path) -> None:
    """Rename a folder that holds evaluations of an earlier run."""
    if evaluation_indices(folder):
        _rename(folder)


def _rename(folder: Path) -> Path:
    """Give a folder the next free name of its own."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    return folder.rename(aside)


def _stored_samples(folder: Path, index: int) -> set[Key]:
    """The samples whose static fields were stored before an evaluation."""
    return {
        (str(sample.get("loader", "")), str(sample.get("id")))
        for path in sample_files(folder, index - 1)
        for _, sample in read_objects(path)
    }


def _remove_from(folder: Path, index: int) -> None:
    """Remove what belongs to this evaluation and later ones, the last first: no gap is ever left."""
    for place in (EVALUATIONS, SAMPLES):
        for path in sorted((folder / place).glob("*.jsonl.gz"), reverse=True):
            match = _LINES.fullmatch(path.name)
            if match and int(match[1]) >= index:
                path.unlink(missing_ok=True)
                path.with_name(f"{match[1]}.summary.json").unlink(missing_ok=True)


def _ordered(samples: Iterable[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    """The samples by key, sorted, each once: the same on any number of ranks."""
    found: dict[Key, Mapping[str, Any]] = {}
    for sample in samples:
        found.setdefault((str(sample.get("loader") or ""), str(sample["id"])), sample)
    return dict(sorted(found.items()))


def _changing(key: Key, sample: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that belong to an evaluation, the id first."""
    fields: dict[str, Any] = {"id": key[1], "loader": key[0]}
    for name, value in sample.items():
        if name == "payloads" and value:
            payloads: Mapping[str, bytes] = value
            fields[name] = {
                metric: base64.b64encode(one).decode() for metric, one in payloads.items()
            }
        elif name not in (*_STATIC, "id", "loader") and value is not None:
            fields[name] = value
    return fields
