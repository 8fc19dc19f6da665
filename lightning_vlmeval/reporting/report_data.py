"""What the viewer of a report reads: the runs, the samples that were picked, their pictures."""

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

from lightning_vlmeval.reporting.selection import Key, choose
from lightning_vlmeval.runs.breakdown import Breakdown, Budget, StoredBreakdowns
from lightning_vlmeval.runs.directions import better
from lightning_vlmeval.runs.files import StoreError, json_line, lines_of, parsed_object, plain
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import EVALUATIONS

_SIDE = 320  # pixels of a picture's longest side in the page
_STATIC = ("id", "loader", "task", "prompt", "target", "target_value", "group", "size", "image")
_LEFT_OUT = {*_STATIC[2:], "fed_size", "rows", "payloads", "named"}
_SUMMARY = (
    "index",
    "step",
    "epoch",
    "train_loss",
    "val_loss",
    "values",
    "intervals",
    "accounting",
    "verdict",
    "judgement",
    "findings",
)


def key_of(sample: Mapping[str, Any]) -> Key:
    """The name of a sample's dataloader and its id.

    Args:
        sample: A stored sample.
    """
    return str(sample.get("loader", "")), str(sample.get("id", ""))


class ReportData:
    """The runs of a report, read once: their summaries, and the samples at the last evaluation.

    Args:
        runs: The runs.

    Attributes:
        names: What the runs are called, each name once.
        summaries: The evaluations of each run.
        last: The samples of each run's last evaluation by key.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = [run for run in runs if run.indices]
        self.names = _distinct([run.name for run in self._runs])
        self.summaries = [run.evaluations for run in self._runs]
        self._told = [self._three(i) for i in range(len(self._runs))]
        self.last = [evaluations[-1] for evaluations in self._told]

    @property
    def num_samples(self) -> int:
        """How many samples the last evaluations have."""
        return len(set().union(*self.last))

    def choose(self, max_samples: int, seed: int) -> dict[Key, str]:
        """The samples to show, with the reason for each.

        Args:
            max_samples: How many at most.
            seed: Where the draw comes from.
        """
        return choose(self._told, max_samples, seed)

    def breakdowns(self) -> list[list[Budget | Breakdown]]:
        """Where the last evaluation of each run is weak: by kind of error, and part by part."""
        found: list[list[Budget | Breakdown]] = []
        for run, last in zip(self._runs, self.last, strict=True):
            stored = StoredBreakdowns(run, -1, last.values())
            found.append([*stored.budgets(), *stored.telling()])
        return found

    def content(self, chosen: Mapping[Key, str]) -> dict[str, Any]:
        """What the page holds, as JSON has it.

        Args:
            chosen: What `choose` gave.
        """
        runs, images = [], {}
        for i, run in enumerate(self._runs):
            statics = [
                {
                    "reason": chosen[key],
                    **{name: sample[name] for name in _STATIC if name in sample},
                }
                for key, sample in self.last[i].items()
                if key in chosen
            ]
            for sample in statics:
                name = sample.get("image", "")
                if name not in images and (picture := _picture(run, name)) is not None:
                    images[name] = picture
            runs.append(
                {
                    "name": self.names[i],
                    "about": self._about(i),
                    "evaluations": [_summary(one) for one in self.summaries[i]],
                    "statics": statics,
                    "rows": [_rows(run, index, chosen) for index in run.indices],
                }
            )
        keys = {key for run in self.summaries for one in run for key in one.get("values") or {}}
        scores = {
            key for run in self.last for one in run.values() for key in one.get("scores") or {}
        }
        return {
            "runs": runs,
            "images": images,
            "directions": {key: way for key in keys | scores if (way := better(key)) != "higher"},
        }

    def _about(self, i: int) -> dict[str, Any]:
        record = self._runs[i].record
        return {name: record.get(name) for name in ("created", "model", "tasks", "package")}

    def _three(self, i: int) -> list[dict[Key, dict[str, Any]]]:
        """The first evaluation of a run, the last but one, and the last."""
        run, count = self._runs[i], len(self._runs[i].indices)
        read = {
            position: {key_of(sample): sample for sample in run.samples(position)}
            for position in {0, max(0, count - 2), count - 1}
        }
        named = {
            str(name)
            for finding in self.summaries[i][-1].get("findings") or []
            for name in finding.get("samples") or []
        }
        for (_, name), sample in read[count - 1].items():
            if name in named:
                sample["named"] = True
        return [read[0], read[max(0, count - 2)], read[count - 1]]


def script_json(value: Any) -> str:
    r"""JSON that is safe inside a script element, whatever texts it holds.

    Args:
        value: Anything that `plain` takes.

    Example:
        >>> script_json({"a": "</script>"})
        '{"a":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(plain(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _rows(run: Run, index: int, chosen: Mapping[Key, str]) -> list[dict[str, Any]]:
    """The chosen answers of an evaluation; the other lines are not read, for there may be many."""
    # Lines begin with the id. One with an escape in it is read to be sure.
    heads = {json_line({"id": name})[:-1] for _, name in chosen}
    path = run.path / EVALUATIONS / f"{index:09d}.jsonl.gz"
    found = []
    for number, line in enumerate(lines_of(path), 1):
        head = line[: line.find(b'","', 7) + 1]
        if head in heads or (line and (not head or b"\\" in head)):
            sample = parsed_object(line, f"{path}:{number}")
            if key_of(sample) in chosen:
                found.append(_shortened(sample))
    return found


def _shortened(sample: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of an answer, numbers with the digits that can be seen."""
    short = {
        name: value
        for name, value in sample.items()
        if name == "id" or (name not in _LEFT_OUT and value not in (None, "", {}, False))
    }
    for name, digits in (("boxes", 2), ("matches", 3), ("scores", 4), ("loss", 5)):
        if name in short:
            short[name] = _rounded(short[name], digits)
    return short


def _summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _rounded(summary[name], 6) for name in _SUMMARY if summary.get(name) is not None}


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, Mapping):
        return {key: _rounded(one, digits) for key, one in value.items()}
    return [_rounded(one, digits) for one in value] if isinstance(value, list) else value


def _picture(run: Run, name: Any) -> str | None:
    """A stored picture as a data address, made small; None where there is none to show."""
    if not isinstance(name, str) or not name or name.startswith("path:"):
        return None
    try:
        data = run.image(name)
        with Image.open(io.BytesIO(data)) as picture:
            if max(picture.size) <= _SIDE:
                return _address(data, "jpeg")
            picture.thumbnail((_SIDE, _SIDE))
            small = io.BytesIO()
            picture.convert("RGB").save(small, "WEBP", quality=75)
    except (StoreError, OSError, Image.DecompressionBombError):
        return None  # a picture that cannot be read is no reason to show nothing
    return _address(small.getvalue(), "webp")


def _address(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _distinct(names: Iterable[str]) -> list[str]:
    """The names, with a number where one comes again."""
    found: list[str] = []
    for name in names:
        number, distinct = 1, name
        while distinct in found:
            number += 1
            distinct = f"{name} ({number})"
        found.append(distinct)
    return found
