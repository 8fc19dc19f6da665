"""``lightning-vlmeval runs``: the runs below a folder, one line each."""

import argparse
import importlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_vlmeval.cli.output import note, number, shown, table_lines, write
from lightning_vlmeval.reporting.console import HEADLINES
from lightning_vlmeval.runs.directions import better
from lightning_vlmeval.runs.files import StoreError
from lightning_vlmeval.runs.record import RECORD
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import EVALUATIONS, IMAGES, SAMPLES

_TREND_RUNS = 3  # what a trend takes
_SHOWN_KEYS = 3


@dataclass(frozen=True)
class _Listed:
    """What is said of a run."""

    name: str
    run: Run
    evaluations: Sequence[Mapping[str, Any]]
    scores: Sequence[Mapping[str, float]]
    unfinished: int

    @property
    def created(self) -> str:
        return str(self.run.record.get("created") or "")

    @property
    def last(self) -> Mapping[str, Any]:
        return self.evaluations[-1] if self.evaluations else {}

    @property
    def state(self) -> str | None:
        """The last verdict on overfitting; None where there is none."""
        verdicts = [one.get("verdict") for one in self.evaluations]
        known = [one["state"] for one in verdicts if isinstance(one, dict) and "state" in one]
        return str(known[-1]) if known else None

    @property
    def recipe(self) -> tuple[object, object]:
        """What must be equal for values of two runs to stand in one line."""
        scorers = self.run.record["scorers"]
        return {n: one.get("signature") for n, one in scorers.items()}, self.last.get("fingerprint")

    def best_position(self, key: str) -> int | None:
        """The position of the evaluation with the best value; None where no value is known."""
        values = {i: scores.get(key, math.nan) for i, scores in enumerate(self.scores)}
        known = {i: value for i, value in values.items() if not math.isnan(value)}
        if not known:
            return None
        if better(key) == "neither":
            return max(known)
        return (min if better(key) == "lower" else max)(known, key=lambda i: known[i])

    def best(self, key: str) -> tuple[float, int | None]:
        """The best value over the evaluations, and its step; NaN where there is none."""
        position = self.best_position(key)
        if position is None:
            return math.nan, None
        return self.scores[position][key], self.evaluations[position].get("step")


def run(args: argparse.Namespace) -> bool:
    """List the runs.

    Args:
        args: The arguments.

    Raises:
        StoreError: There is none that can be read.
    """
    found = _find(args.logdir)
    keys = args.keys or _main_keys(found)
    trends = _trends(found, keys)
    data = {
        "runs": [
            {
                "path": str(one.run.path),
                "name": one.run.name,
                "created": one.created,
                "evaluations": len(one.evaluations),
                "step": one.last.get("step"),
                "best": {
                    key: dict(zip(("value", "step"), one.best(key), strict=True)) for key in keys
                },
                "state": one.state,
                "unfinished": one.unfinished,
            }
            for one in found
        ],
        "trends": trends,
    }
    write(args, _lines(found, keys, trends), data)
    return True


def _find(logdir: str) -> list[_Listed]:
    """The runs below a folder, the earliest first."""
    if not Path(logdir).is_dir():
        raise StoreError(f"{logdir}: expected a folder, but there is none")
    found = []
    for place, folders, files in os.walk(logdir):
        folders[:] = sorted(set(folders) - {EVALUATIONS, SAMPLES, IMAGES})
        if RECORD in files:
            try:
                found.append(_listed(os.path.relpath(place, logdir), Run(place)))
            except StoreError as error:
                note(str(error))
    if not found:
        raise StoreError(f"{logdir}: expected runs below this folder, but there is none")
    return sorted(found, key=lambda one: (one.created, one.name))


def _listed(name: str, run: Run) -> _Listed:
    evaluations = run.evaluations
    scores = [run.scores(i) for i in range(len(evaluations))]
    try:
        unfinished = len(run.unfinished)
    except StoreError as error:  # the run itself can be read
        note(str(error))
        unfinished = 0
    return _Listed(name, run, evaluations, scores, unfinished)


def _main_keys(found: Sequence[_Listed]) -> list[str]:
    """The first main value of each group that the runs have."""
    keys = dict.fromkeys(key for one in found for key in one.last.get("values") or {})
    chosen = []
    for group in dict.fromkeys(key.rpartition("/")[0] for key in keys):
        names = HEADLINES.get(group.rpartition("/")[2], ())
        chosen += [key for name in names if (key := f"{group}/{name}") in keys][:1]
    return chosen[:_SHOWN_KEYS]


def _trends(found: Sequence[_Listed], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Where the best values go from run to run, over runs whose values compare with the last one's."""
    alike = [one for one in found if one.recipe == found[-1].recipe]
    if len(alike) < _TREND_RUNS:
        return {}
    # It imports scipy, which takes longer than all else here; fewer runs have no trend.
    trend_of_runs = importlib.import_module("lightning_vlmeval.runs.trend").trend_of_runs
    trends = {}
    for key in keys:
        known = [
            (one.run, position) for one in alike if (position := one.best_position(key)) is not None
        ]
        said = trend_of_runs(known, key) if len(known) >= _TREND_RUNS else None
        if said is not None and not math.isnan(said.change):
            trends[key] = {
                "state": said.state,
                "change": said.change,
                "low": said.low,
                "high": said.high,
                "runs": len(known),
            }
    return trends


def _lines(
    found: Sequence[_Listed], keys: Sequence[str], trends: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    rows = [["run", "created", "evaluations", "step", *keys, "verdict"]]
    for one in found:
        best = [one.best(key) for key in keys]
        cells = [
            "-" if math.isnan(value) else f"{number(value, '.3f')} @ {step}" for value, step in best
        ]
        step = one.last.get("step")
        rows.append(
            [
                shown(one.name),
                shown(one.created[:16].replace("T", " ")) or "-",
                str(len(one.evaluations)),
                "-" if step is None else str(step),
                *cells,
                one.state or "-",
            ]
        )
    over = [
        f"{key}: {said['state']} over {said['runs']} comparable runs, "
        f"{said['change']:+.3g} [{said['low']:+.3g}, {said['high']:+.3g}]"
        for key, said in trends.items()
    ]
    left = [
        f"{shown(one.name)}: an evaluation is not finished; {one.unfinished} of its answers are there"
        for one in found
        if one.unfinished
    ]
    return [*table_lines(rows), *([""] if over or left else []), *over, *left]
