"""What metrics cost beside their originals: one command, one table, JSON out.

    python examples/benchmarks [--samples 1000] [--rounds 5] [--only WORD] [--json FILE]
        [--peers-python PYTHON] [--memory] [--growth] [--overhead] [--ranks] [--all]

Per metric and shape of data: CPU microseconds a sample through `update` (batches of 16) and
`compute`, at the first evaluation and at a later one (other answers, the same references); the
peer's; how many times faster; the largest difference of the values. Everything runs by turns in one
process on one thread, and every figure is a median with the least and the greatest of the rounds.
A peer that is not installed is said to be missing. Peers of boxes run in a process of their own, with
the interpreter named by `--peers-python`: they need torchvision, supervision and faster-coco-eval.
"""

import argparse
import json
import platform
import subprocess
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import box_peers
import cases
import growth
import overhead
import ranks
import timing
import torch

from lightning_vlmeval.errors import MissingExtraError

_PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "torchmetrics",
    "sacrebleu",
    "rouge-score",
    "nltk",
    "bert-score",
    "transformers",
    "rapidfuzz",
    "jsonschema",
    "pycocoevalcap",
)


class BoxPeers:
    """The peers of `box_peers` in another process."""

    def __init__(self, python: str, shape: str, count: int) -> None:
        self._process = subprocess.Popen(
            [python, "-W", "ignore", str(Path(box_peers.__file__)), shape, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, name: str) -> timing.Timed:
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes")
        process.stdin.write(f"{name}\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline() or '{"missing": "the process ended"}')
        if "missing" in answer:
            raise ImportError(answer["missing"])
        return timing.Timed(**answer)

    def close(self) -> None:
        self._process.communicate()


def measure(case: cases.Case, args: argparse.Namespace) -> list[dict[str, Any]]:
    """The lines of the table of one case: one for each peer."""
    count = max(16, round(args.samples * case.share))
    preds, target = case.data(count)
    later = case.data(count, 1)[0]
    try:
        made = case.make()
        case.prepare()
        made.update(preds[:2], target[:2])  # whatever is loaded once
        made.compute()
    except MissingExtraError as error:
        return [{"metric": case.title, "missing": str(error)}]
    state: dict[str, Any] = {}

    def first() -> timing.Timed:
        state["metric"] = case.make()
        if case.name == "BERTScore":  # the loaded encoder, without what it remembers
            state["metric"].scorer.encoder._loaded = made.scorer.encoder._loaded
        return timing.timed(lambda: cases.run(case, state["metric"], preds, target))

    contenders = {
        "first": first,
        "later": lambda: timing.timed(lambda: cases.run(case, state["metric"], later, target)),
    }
    floors = [("floor", case.floor, later), ("first_floor", case.first_floor, preds)]
    floors = {name: make(texts, target) for name, make, texts in floors if make is not None}
    contenders |= {name: partial(timing.timed, floor) for name, floor in floors.items()}
    peers, missing, others = _peers(case, args.peers_python, count, preds, target)
    runs = timing.alternate({**contenders, **peers}, args.rounds)
    if others is not None:
        others.close()
    rows = []
    for name in peers:
        line = timing.row(case.title, runs, name, runs[name], count)
        same = name in case.same or (others is not None and name in box_peers.SAME_VALUE)
        if case.expected is not None:
            expected = case.expected(preds, target)
            ours = cases.shortened(runs["first"][0].value, expected)
            line["difference"] = timing.difference(ours, expected)
        rows.append({**line, "same_definition": same})
        rows[-1]["floor"] = case.floor_name
        rows[-1] |= {f"{name}_us": timing.microseconds(runs[name], count) for name in floors}
    return rows + [{"metric": case.title, "peer": n, "missing": w} for n, w in missing.items()]


def _peers(
    case: cases.Case, python: str, count: int, preds: Any, target: Any
) -> tuple[dict[str, Any], dict[str, str], BoxPeers | None]:
    """What runs here, what is missing and why, and the process of the peers of boxes."""
    others = BoxPeers(python, case.shape, count) if case.name == "grounding" else None
    wanted = (
        {name: (lambda name=name: others.run(name)) for name in box_peers.PEERS}
        if others is not None
        else {
            name: (lambda peer=peer: timing.timed(lambda: peer(preds, target)))
            for name, peer in case.peers.items()
        }
    )
    found, missing = {}, {}
    for name, run in wanted.items():
        try:
            run()  # also whatever it does once
        except (ImportError, LookupError, OSError) as error:
            missing[name] = str(error).strip().splitlines()[0][:100]
        else:
            found[name] = run
    return found, missing, others


def _line(row: dict[str, Any]) -> str:
    if "missing" in row:
        return f"{row['metric']:<22}{row.get('peer', ''):<36} missing: {row['missing']}"
    costs = "".join(f"{row[key]['median']:9.1f}" for key in ("first_us", "later_us", "peer_us"))
    ratios = "".join(
        f"  {row[key]['median']:6.1f}x ({row[key]['min']:.1f}-{row[key]['max']:.1f})".ljust(22)
        for key in ("first_ratio", "later_ratio")
    )
    same = f"{row['difference']:.0e}" if row["same_definition"] else "another value"
    floor = "".join(
        f"{row[key]['median']:8.1f}" for key in ("first_floor_us", "floor_us") if key in row
    )
    return f"{row['metric']:<22}{row['peer']:<36}{costs}{ratios}{floor}  {same}"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return {"python": platform.python_version(), "processor": platform.machine(), **found}


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose title has this word; '-' for none")
    parser.add_argument("--json", help="write everything to this file")
    parser.add_argument("--peers-python", default=sys.executable)
    for name in ("memory", "growth", "overhead", "ranks", "all"):
        parser.add_argument(f"--{name}", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {"machine": machine(), "samples": args.samples, "rows": []}
    head = f"{'us a sample':>49}{'first':>18}{'later':>9}{'peer':>9}"
    print(f"{head}  {'times faster, first':<22}{'later':<20}{'floor':>8}  difference")
    chosen = [case for case in cases.cases() if args.only in case.title]
    for case in chosen:
        rows = measure(case, args)
        report["rows"] += rows
        print("\n".join(map(_line, rows)), flush=True)
    if args.memory or args.all:
        report["memory"] = growth.peaks(chosen, args)
    if args.growth or args.all:
        report["growth"] = growth.growth(chosen, args.samples)
    if args.overhead or args.all:
        report["overhead"] = overhead.measure()
    if args.ranks or args.all:
        report["ranks"] = ranks.measure([1000, 10_000, 100_000], args.rounds)
    for part in ("memory", "growth", "overhead", "ranks"):
        for name, value in report.get(part, {}).items():
            print(f"{part:<10}{name:<62}{value}")
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
