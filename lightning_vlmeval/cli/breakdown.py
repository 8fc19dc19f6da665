"""``lightning-vlmeval breakdown``: where a score is low, the worst part of the samples first."""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_vlmeval.analysis.breakdown import Part
from lightning_vlmeval.cli.output import number, shown, table_lines, write
from lightning_vlmeval.runs.breakdown import StoredBreakdowns
from lightning_vlmeval.runs.run import Run


def run(args: argparse.Namespace) -> bool:
    """Break a score of a stored evaluation down.

    Args:
        args: The arguments.
    """
    stored = StoredBreakdowns(Run(args.run), args.evaluation)
    key = stored.chosen(args.key)
    parts = {
        loader: stored.of(loader, key, args.by, args.min_samples).parts for loader in stored.loaders
    }
    data = {
        "source": args.run,
        "key": key,
        "by": args.by,
        "parts": {loader: [_row(part) for part in found] for loader, found in parts.items()},
    }
    write(args, _lines(key, parts), data)
    return True


def _row(part: Part) -> dict[str, Any]:
    score = None
    if part.score is not None and not math.isnan(part.score.value):
        score = [part.score.value, part.score.low, part.score.high]
    return {"label": part.label, "num_samples": part.num_samples, "score": score}


def _lines(key: str, parts: Mapping[str, Sequence[Part]]) -> list[str]:
    lines = []
    for loader, found in parts.items():
        rows = [["", "samples", key, "95 % interval"]]
        for part in found:
            score = part.score
            cells = ["too few", ""]
            if score is not None:
                cells = [number(score.value), f"[{number(score.low)}, {number(score.high)}]"]
            rows.append([shown(part.label) or "(no label)", str(part.num_samples), *cells])
        lines += [*([loader] if loader else []), *table_lines(rows)]
    return lines
