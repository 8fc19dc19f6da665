"""The metrics' rows of saved answers."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightning_vlmeval.cli.answer_reader import AnswerReader
from lightning_vlmeval.cli.arguments import TASKS
from lightning_vlmeval.cli.output import Progress, note
from lightning_vlmeval.cli.predictions import Predictions
from lightning_vlmeval.errors import ConfigurationError, InputError, MissingExtraError
from lightning_vlmeval.functional.registry import SCORERS, recorded_scorer, scorer_class
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.runs.files import StoreError
from lightning_vlmeval.table import Table

_CHUNK = 500  # samples between two signs of life

# Metrics that no saved answer is enough for; and those that boxes without their texts are not.
_NOT_HERE = ("loss",)
_OF_TEXTS = ("box_answers", "health")
_ASKED_FOR = ("error_budget",)  # more numbers than people want without asking


def choose_tasks(args: argparse.Namespace, record: Mapping[str, Any]) -> list[str]:
    """What the answers are: as asked for, or as the run says.

    Args:
        args: With `task`.
        record: The run's record; empty for a file.

    Raises:
        ConfigurationError: It must be said.
    """
    if args.task is not None:
        return [str(args.task)]
    tasks = [str(task) for task in record.get("tasks", []) if task in TASKS]
    if not tasks:
        raise ConfigurationError(f"Expected --task to be one of {', '.join(TASKS)}")
    return tasks


def join_tables(parts: Sequence[dict[str, dict[str, Table]]]) -> dict[str, dict[str, Table]]:
    """The tables of several tasks as one: a metric may be of more than one.

    Args:
        parts: For each task the tables by dataloader and metric.
    """
    found: dict[str, dict[str, list[Table]]] = {}
    for part in parts:
        for loader, tables in part.items():
            for name, table in tables.items():
                found.setdefault(loader, {}).setdefault(name, []).append(table)
    return {
        loader: {name: _joined(several) for name, several in tables.items()}
        for loader, tables in found.items()
    }


def _joined(tables: Sequence[Table]) -> Table:
    return Table(
        tables[0].columns,
        tuple(name for table in tables for name in table.ids),
        np.concatenate([table.rows for table in tables]),
        tuple(group for table in tables for group in table.groups),
        tuple(payload for table in tables for payload in table.payloads),
    )


def make_scorers(
    args: argparse.Namespace, task: str, record: Mapping[str, Any]
) -> dict[str, Scorer]:
    """The metrics by name: those asked for, else the run's, else the task's.

    A metric that nobody asked for is left out with a note where it needs something that is not
    installed, or code that the run's record does not hold; so is BERTScore, which loads torch.

    Args:
        args: The arguments of ``score``.
        task: What the answers are.
        record: The run's record; empty for a file.

    Raises:
        ConfigurationError: A metric is unknown, or an option cannot work.
        MissingExtraError: A metric that was asked for needs what is not installed.
    """
    recorded = record.get("scorers", {})
    made = {}
    for name in _asked_for(args, recorded) or _usual(task, recorded, args):
        try:
            made[name] = _scorer(name, args, recorded.get(name))
        except (_LeftOutError, MissingExtraError) as error:
            if args.metrics:
                raise
            note(f"{name} is left out: {error}")
    if not made:
        raise ConfigurationError("Expected a metric to score, but all are left out: use --metrics")
    return made


class _LeftOutError(ConfigurationError):
    """A metric of a run that cannot be scored again."""


def _asked_for(args: argparse.Namespace, recorded: Mapping[str, Any]) -> list[str]:
    allowed = [name for name in {**dict.fromkeys(SCORERS), **recorded} if name not in _NOT_HERE]
    if wrong := [name for name in args.metrics or () if name not in allowed]:
        raise ConfigurationError(
            f"Expected --metrics among {', '.join(allowed)}, but got {', '.join(wrong)}"
        )
    return list(args.metrics or ())


def _usual(task: str, recorded: Mapping[str, Any], args: argparse.Namespace) -> list[str]:
    """The metrics of a run, else of the task, as far as they are about the task's answers."""
    left_out = {name for names in TASKS.values() for name in names} - set(TASKS[task])
    left_out |= {*_NOT_HERE, *_ASKED_FOR}
    if task == "phrase_grounding" and not args.box_format:
        left_out |= set(_OF_TEXTS)
    kinds = {name: _kind(name, recorded.get(name)) for name in recorded or TASKS[task]}
    for name, kind in kinds.items():
        if kind == "bertscore":
            note(f"{name} is left out: it loads torch; ask for it with --metrics")
    return [name for name, kind in kinds.items() if kind not in {*left_out, "bertscore"}]


def _kind(name: str, record: Mapping[str, Any] | None) -> str:
    """What a metric is, which a run may call by another name."""
    return name if record is None else str(record.get("name"))


def _scorer(name: str, args: argparse.Namespace, record: Mapping[str, Any] | None) -> Scorer:
    """A metric with the options that were given, else those of the run."""
    kind, options = _kind(name, record), dict[str, Any]()
    if record is not None:
        try:
            recorded_scorer(record, rescoring=True)
        except ConfigurationError as error:
            raise _LeftOutError(str(error)) from None
        options = dict(record["options"])
    boxes = {
        "iou_threshold": args.iou_threshold,
        # The boxes of a run are stored by their corners, however they came.
        "box_coordinates": args.box_coordinates or ("xyxy" if record else None),
    }
    given: dict[str, Mapping[str, Any]] = {
        "grounding": boxes,
        "error_budget": boxes,
        "structured": {
            "format": args.answer_format,
            "schema": None if args.schema is None else _schema(args.schema),
            "required_fields": args.required_fields,
        },
        "bertscore": {"model_name_or_path": args.encoder},
    }
    options |= {key: one for key, one in given.get(kind, {}).items() if one is not None}
    scorer = scorer_class(kind)(**options)
    scorer.prepare()
    return scorer


def _schema(name: str) -> Any:
    try:
        return json.loads(Path(name).read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{name}: expected a JSON Schema, but got {error}") from None


def score_rows(
    predictions: Predictions, scorers: Mapping[str, Scorer], args: argparse.Namespace, task: str
) -> dict[str, dict[str, Table]]:
    """The table of each metric, by dataloader ("" for the only one) and by name.

    Args:
        predictions: The answers.
        scorers: The metrics.
        args: With `box_format`.
        task: What the answers are.

    Raises:
        StoreError: An answer or a target cannot be scored; its place is named.
    """
    ids = predictions.ids()
    positions: dict[str, list[int]] = {}
    for position, row in enumerate(predictions.rows):
        positions.setdefault(str(row.values.get("loader", "")), []).append(position)
    reader = AnswerReader(predictions, args.box_format, task)
    progress = Progress(len(ids) * len(scorers))
    try:
        return {
            loader: {
                name: _table(scorer, reader, ids, mine, progress)
                for name, scorer in scorers.items()
            }
            for loader, mine in positions.items()
        }
    finally:
        progress.close()


def _table(
    scorer: Scorer,
    reader: AnswerReader,
    ids: Sequence[str],
    mine: Sequence[int],
    progress: Progress,
) -> Table:
    """The rows of some answers."""
    parts, payloads = [], []
    for start in range(0, len(mine), _CHUNK):
        chunk = [reader.rows[position] for position in mine[start : start + _CHUNK]]
        preds, target = reader.pairs(scorer.name, chunk)
        try:
            rows, beside = scorer.tabulate(
                preds, target, prompts=reader.prompts(chunk), truncated=reader.truncated(chunk)
            )
        except InputError as error:
            place = chunk[error.index].place if error.index is not None else chunk[0].place
            raise StoreError(f"{place}: {error}") from None
        parts.append(rows)
        payloads += list(beside or [b""] * len(rows))
        progress.advance(len(chunk), f"scoring {scorer.name}")
    return Table(
        scorer.columns,
        tuple(ids[position] for position in mine),
        np.concatenate(parts),
        tuple(str(reader.rows[position].values.get("group") or "") for position in mine),
        tuple(payloads),
    )
