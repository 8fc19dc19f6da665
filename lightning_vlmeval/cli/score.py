"""``lightning-vlmeval score``: saved answers scored again, without a model."""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_vlmeval.analysis.intervals import Interval, interval
from lightning_vlmeval.cli.arguments import TASKS
from lightning_vlmeval.cli.output import coloured, number, short, shown, table_lines, write
from lightning_vlmeval.cli.predictions import Predictions, Row, find_columns, read_rows
from lightning_vlmeval.cli.scoring import choose_tasks, join_tables, make_scorers, score_rows
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.keys import metric_key
from lightning_vlmeval.runs.comparison import PRIMARY
from lightning_vlmeval.table import Table

Tables = Mapping[str, Mapping[str, Table]]


def run(args: argparse.Namespace) -> bool:
    """Score a file or a run.

    Args:
        args: The arguments.

    Returns:
        Whether every gate is passed.
    """
    rows, record = read_rows(args.file, args.evaluation)
    args.box_format = args.box_format or record.get("box_format")
    scorers: dict[str, Scorer] = {}
    parts, worst, count = [], [], 0
    tasks = choose_tasks(args, record)
    for task in tasks:
        predictions = _of_task(args, rows, task)
        mine = make_scorers(args, task, record)
        parts.append(score_rows(predictions, mine, args, task))
        worst += _worst(predictions, mine, parts[-1])[: max(0, args.worst)]
        count += len(predictions.rows)
        scorers |= mine
    scores, intervals = _scores(scorers, join_tables(parts))
    failed = failed_gates(scores, args.fail_under)
    data = {
        "source": args.file,
        "task": tasks[0] if len(tasks) == 1 else tasks,
        "samples": count,
        "scores": scores,
        "intervals": {key: [one.low, one.high] for key, one in intervals.items()},
        "signatures": {name: str(scorer.signature()) for name, scorer in scorers.items()},
        "worst": worst,
        "failed": failed,
    }
    write(args, _lines(data, intervals), data)
    return not failed


def _of_task(args: argparse.Namespace, rows: Sequence[Row], task: str) -> Predictions:
    """The answers of a task: those that name it, and those that name none."""
    others = [name for name in TASKS if name != task]
    return find_columns(
        args.file,
        [row for row in rows if row.values.get("task") not in others],
        prediction=args.prediction_column,
        reference=args.reference_column,
        sample_id=args.id_column,
    )


def failed_gates(scores: Mapping[str, float], gates: Sequence[tuple[str, float]]) -> list[str]:
    """What is to be said of each gate that is not passed.

    Args:
        scores: The values.
        gates: Keys with the least value of each.

    Raises:
        ConfigurationError: A key is none of the scores.
    """
    for key, _ in gates:
        if key not in scores:
            raise ConfigurationError(
                f"Expected --fail-under with one of {', '.join(scores)}, but got {key!r}"
            )
    return [
        f"{key} is {number(scores[key], '.6g')}, below {limit:g}"
        for key, limit in gates
        if not scores[key] >= limit
    ]


def _scores(
    scorers: Mapping[str, Scorer], tables: Tables
) -> tuple[dict[str, float], dict[str, Interval]]:
    """The values by key, and the intervals of those that have one."""
    scores: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    for loader, by_metric in tables.items():
        for name, table in by_metric.items():
            ends = interval(scorers[name], table)
            for key, value in scorers[name].score(table).items():
                full = (f"{loader}/" if loader else "") + metric_key(name, key)
                scores[full] = value
                if key in ends and not math.isnan(ends[key].low):
                    intervals[full] = ends[key]
    return scores, intervals


def _worst(
    predictions: Predictions, scorers: Mapping[str, Scorer], tables: Tables
) -> list[dict[str, Any]]:
    """The samples by their own values of the first main score, the lowest first."""
    main = [
        (name, key)
        for name, scorer in scorers.items()
        for key in scorer.keys
        if metric_key(name, key) in PRIMARY
    ]
    if not main:
        return []
    name, key = main[0]
    values: dict[tuple[str, str], float] = {}
    for loader, by_metric in tables.items():
        own = scorers[name].sample_scores(by_metric[name])[key].tolist()
        values |= {(loader, one): v for one, v in zip(by_metric[name].ids, own, strict=True)}
    found: list[dict[str, Any]] = [
        {
            "id": sample_id,
            "key": metric_key(name, key),
            "value": values[str(row.values.get("loader", "")), sample_id],
            "prediction": row.values.get(predictions.prediction),
            "reference": row.values.get(predictions.reference),
        }
        for sample_id, row in zip(predictions.ids(), predictions.rows, strict=True)
    ]
    known = [one for one in found if not math.isnan(one["value"])]
    return sorted(known, key=lambda one: float(one["value"]))


def _lines(data: Mapping[str, Any], intervals: Mapping[str, Interval]) -> list[str]:
    rows = [["score", "value", "95 % interval"]]
    for key, value in data["scores"].items():
        ends = intervals.get(key)
        cell = "" if ends is None else f"[{ends.low:.4f}, {ends.high:.4f}]"
        rows.append([key, number(value), cell])
    lines = [*table_lines(rows), "", f"{data['samples']} samples of {shown(data['source'])}"]
    lines += [coloured(shown(one), "faint") for one in data["signatures"].values()]
    for one in data["worst"]:
        lines += [
            "",
            f"{short(one['id'])}: {one['key']} {one['value']:.4f}",
            f"  prediction  {short(str(one['prediction']))}",
            f"  reference   {short(str(one['reference']))}",
        ]
    return [*lines, *(coloured(f"failed: {text}", "bad") for text in data["failed"])]
