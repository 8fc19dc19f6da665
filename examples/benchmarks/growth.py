"""Peak memory of each contender, in a process of its own, and time from few samples to many."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import box_peers
import cases
import timing

_ONCE = ("BERTScore", "METEOR", "CIDEr-D")
"""Metrics measured at ten times as many samples rather than a hundred: for the time it takes."""


def growth(chosen: Sequence[cases.Case], count: int) -> dict[str, dict[str, float]]:
    """Microseconds a sample at `count` samples and at 100 times as many, and the ratio."""
    found = {}
    for case in chosen:
        if case.share < 1:
            continue
        many = count * (10 if case.name in _ONCE else 100)
        costs = []
        for n in (count, many):
            preds, target = case.data(n)
            seconds = [
                timing.timed(partial(cases.run, case, case.make(), preds, target)).seconds
                for _ in range(3 if n == count else 1)
            ]
            costs.append(min(seconds) * 1e6 / n)
        found[f"{case.title}, {count} to {many}"] = {
            "few_us": round(costs[0], 2),
            "many_us": round(costs[1], 2),
            "ratio": round(costs[1] / costs[0], 2),
        }
    return found


def peaks(chosen: Sequence[cases.Case], args: argparse.Namespace) -> dict[str, Any]:
    """Megabytes that each contender adds at its peak, after a first run on a few samples."""
    found: dict[str, Any] = {}
    for case in chosen:
        count = max(16, round(args.samples * case.share))
        here = [("ours", sys.executable, __file__)] + [
            (name, sys.executable, __file__) for name in case.peers
        ]
        if case.name == "grounding":
            here += [(name, args.peers_python, box_peers.__file__) for name in box_peers.PEERS]
        for name, python, file in here:
            what = case.shape if file == box_peers.__file__ else case.title
            ran = subprocess.run(
                [python, "-W", "ignore", str(Path(file)), what, str(count), name],
                capture_output=True,
                text=True,
                check=False,
            )
            megabytes = json.loads(ran.stdout.splitlines()[-1]) if ran.returncode == 0 else None
            found[f"{case.title}, {count} samples, {name}, MB"] = megabytes
    return found


def peak_of(few: Any, many: Any) -> float:
    """Megabytes added to this process's peak by a run, after one that loads what there is to load."""
    few()
    before = timing.peak_kib()
    many()
    return round((timing.peak_kib() - before) / 1024, 1)


def main() -> None:
    title, count, name = sys.argv[1:]
    case = next(case for case in cases.cases() if case.title == title)
    preds, target = case.data(int(count))
    case.prepare()
    if name == "ours":
        metric = case.make()
        run = partial(cases.run, case, metric)
    else:
        run = case.peers[name]
    print(json.dumps(peak_of(lambda: run(preds[:8], target[:8]), lambda: run(preds, target))))


if __name__ == "__main__":
    main()
