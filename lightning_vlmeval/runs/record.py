"""What makes a run comparable with others: its metrics, validation set, model and configuration."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lightning_vlmeval import __version__
from lightning_vlmeval.functional.registry import scorer_record
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.runs.files import StoreError, check_kinds, json_line, plain, read_object

FORMAT = 1
"""The version of the files' format. 1: the first."""

RECORD = "run.json"


def run_record(
    name: str,
    tasks: Sequence[str],
    scorers: Mapping[str, Scorer],
    *,
    model: str = "",
    parameters: int = 0,
    trained_parameters: int = 0,
    config: Any = None,
    box_format: str | None = None,
) -> dict[str, Any]:
    """The record of a run that begins now.

    Args:
        name: What people call the run.
        tasks: What the answers are.
        scorers: The metrics by name.
        model: The class of the model.
        parameters: How many numbers the model has.
        trained_parameters: How many of them are trained.
        config: The run's configuration, such as its hyperparameters; only its hash is kept.
        box_format: The model family in whose way the answers write boxes.

    Example:
        >>> from lightning_vlmeval.functional.grounding import GroundingScorer
        >>> record = run_record("first", ["phrase_grounding"], {"grounding": GroundingScorer()})
        >>> record["format"], record["scorers"]["grounding"]["options"]["iou_threshold"]
        (1, 0.5)
    """
    return {
        "format": FORMAT,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "package": __version__,
        "tasks": list(tasks),
        "name": name,
        **({} if box_format is None else {"box_format": box_format}),
        "model": {
            "class": model,
            "parameters": int(parameters),
            "trained_parameters": int(trained_parameters),
        },
        "config_hash": None if config is None else _digest([{"config": config}]),
        "scorers": {key: scorer_record(scorer) for key, scorer in scorers.items()},
        "columns": {key: list(scorer.columns) for key, scorer in scorers.items()},
    }


def fingerprint(ids: Sequence[str], targets: Sequence[Any]) -> str:
    """What tells one validation set from another: the SHA-256 of its ids and targets, in hex.

    Neither the order of the samples nor the type of an array, a list or a tensor matters.

    Args:
        ids: The id of each sample.
        targets: What each answer should be.

    Example:
        >>> fingerprint(["b", "a"], ["dog", "cat"]) == fingerprint(["a", "b"], ["cat", "dog"])
        True
    """
    pairs = sorted(zip(map(str, ids), targets, strict=True), key=lambda pair: pair[0])
    return _digest({"id": name, "target": plain(target)} for name, target in pairs)


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run, checked.

    Args:
        folder: The run's folder.

    Raises:
        StoreError: There is none, or it is of another format.
    """
    path = folder / RECORD
    record = read_object(path)
    if record.get("format") != FORMAT:
        raise StoreError(
            f"{path}: expected the format {FORMAT}, but got {record.get('format')!r}: read it with "
            "the version of lightning_vlmeval that wrote it, or a newer one"
        )
    for key, kind in (("scorers", dict), ("columns", dict), ("tasks", list), ("model", dict)):
        if not isinstance(record.get(key), kind):
            raise StoreError(
                f"{path}: expected {key!r} to be a {kind.__name__}, but got {record.get(key)!r}"
            )
    check_kinds(record["scorers"], dict.fromkeys(record["scorers"], dict), f"{path}: scorers")
    check_kinds(record["columns"], dict.fromkeys(record["columns"], list), f"{path}: columns")
    return record


def _digest(values: Any) -> str:
    """The SHA-256 of lines of JSON, their keys sorted."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(json_line(_sorted(plain(value))) + b"\n")
    return digest.hexdigest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value
