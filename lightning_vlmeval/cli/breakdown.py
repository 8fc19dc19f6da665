"""``lightning-vlmeval breakdown``: where a score is low, the worst part of the samples first."""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_vlmeval.analysis.breakdown import Part, breakdown
from lightning_vlmeval.analysis.measures import primary_key
from lightning_vlmeval.cli.output import number, table_lines, write
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.box_parts import (
    BoxParts,
    count_label,
    parts_by_phrase,
    parts_by_size,
)
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.registry import recorded_scorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.keys import metric_key
from lightning_vlmeval.runs.directions import better
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.table import Table

Samples = Sequence[Mapping[str, Any]]


def run(args: argparse.Namespace) -> bool:
    """Break a score of a stored evaluation down.

    Args:
        args: The arguments.
    """
    stored = Run(args.run)
    scorers = {name: recorded_scorer(one) for name, one in stored.record["scorers"].items()}
    metric, key, full = _chosen(scorers, args.key)
    parts: dict[str, list[Part]] = {}
    for loader in stored.loaders:
        samples = [one for one in stored.samples(args.evaluation) if one["loader"] == loader]
        table, labels = _labelled(args.by, scorers[metric], samples, stored, args, metric, loader)
        parts[loader] = breakdown(
            scorers[metric],
            table,
            labels,
            key,
            min_samples=args.min_samples,
            higher_is_better=better(full) != "lower",
        )
    data = {
        "source": args.run,
        "key": full,
        "by": args.by,
        "parts": {loader: [_row(part) for part in found] for loader, found in parts.items()},
    }
    write(args, _lines(full, parts), data)
    return True


def _chosen(scorers: Mapping[str, Scorer], wanted: str | None) -> tuple[str, str, str]:
    """The metric's name, its score, and what the score is called in the logs."""
    known = {
        metric_key(name, key): (name, key)
        for name, scorer in scorers.items()
        for key in scorer.keys
        if key not in scorer.counts
    }
    full = wanted or primary_key(scorers) or next(iter(known), "")
    if full not in known:
        raise ConfigurationError(f"Expected --key among {', '.join(known)}, but got {full!r}")
    return (*known[full], full)


def _labelled(
    by: str,
    scorer: Scorer,
    samples: Samples,
    stored: Run,
    args: argparse.Namespace,
    metric: str,
    loader: str,
) -> tuple[Table, list[str]]:
    """The rows of the samples or of their parts, and what each is."""
    if by in ("phrase", "size", "relative-size"):
        if not isinstance(scorer, (GroundingScorer, ErrorBudgetScorer)):
            raise ConfigurationError(f"Expected --key of boxes with --by {by}, but got {metric!r}")
        parts = _parts(by, [one for one in samples if "boxes" in one])
        return parts.table(scorer), list(parts.labels)
    table = stored.table(args.evaluation, metric, loader)
    known = {str(one["id"]): one for one in samples}
    return table, [_label(by, known[name]) for name in table.ids]


def _parts(by: str, samples: Samples) -> BoxParts:
    ids = [str(one["id"]) for one in samples]
    preds = [_boxes(one) for one in samples]
    target = [one["target"] for one in samples]
    groups = [str(one.get("group") or one["id"]) for one in samples]
    if by == "phrase":
        return parts_by_phrase(ids, preds, target, groups=groups)
    sizes = None
    if by == "relative-size":
        if any("size" not in one for one in samples):
            raise ConfigurationError("Expected the size of every image for --by relative-size")
        sizes = [(float(one["size"][0]), float(one["size"][1])) for one in samples]
    return parts_by_size(ids, preds, target, image_sizes=sizes, groups=groups)


def _boxes(sample: Mapping[str, Any]) -> dict[str, Any]:
    labels = {} if sample.get("labels") is None else {"labels": sample["labels"]}
    return {"boxes": _finite(sample["boxes"]), **labels}


def _finite(boxes: Any) -> list[list[float]]:
    return [[math.nan if x is None else float(x) for x in box] for box in boxes]


def _label(by: str, sample: Mapping[str, Any]) -> str:
    if by == "targets":
        target = sample["target"]
        return count_label(target) if isinstance(target, dict) and "boxes" in target else "text"
    return str(sample.get(by) or "none")


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
            rows.append([part.label or "(no label)", str(part.num_samples), *cells])
        lines += [*([loader] if loader else []), *table_lines(rows)]
    return lines
