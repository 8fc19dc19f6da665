"""Scorers written down as plain values, and made again from them."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.scorer import Scorer

_HOMES = {
    "answers": ("answers", "AnswerScorer"),
    "bertscore": ("bertscore", "BERTScorer"),
    "bleu": ("bleu", "BLEUScorer"),
    "box_answers": ("box_answers", "BoxAnswerScorer"),
    "chrf": ("chrf", "CHRFScorer"),
    "cider": ("cider", "CIDErScorer"),
    "error_budget": ("error_budget", "ErrorBudgetScorer"),
    "grounding": ("grounding", "GroundingScorer"),
    "health": ("health", "HealthScorer"),
    "loss": ("losses", "LossScorer"),
    "meteor": ("meteor", "METEORScorer"),
    "rouge": ("rouge", "ROUGEScorer"),
    "structured": ("structured", "StructuredOutputScorer"),
}

SCORERS = tuple(_HOMES)
"""The names of the scorers of this package."""


def scorer_class(name: str) -> type[Scorer]:
    """The class of a scorer of this package.

    Args:
        name: One of `SCORERS`.

    Raises:
        ConfigurationError: There is none of this name.

    Example:
        >>> scorer_class("grounding").__name__
        'GroundingScorer'
    """
    if name not in _HOMES:
        raise ConfigurationError(
            f"Expected a metric of this package, one of {', '.join(SCORERS)}, but got {name!r}"
        )
    module, attribute = _HOMES[name]
    # On first use: sacrebleu, NLTK and jsonschema take longer to import than most commands to run.
    found: type[Scorer] = getattr(
        importlib.import_module(f"lightning_vlmeval.functional.{module}"), attribute
    )
    return found


def scorer_record(scorer: Scorer) -> dict[str, Any]:
    """What a scorer is, as values that JSON can hold.

    | scorer | record |
    |---|---|
    | of this package | `name`, `options`, `signature` |
    | with an option that JSON cannot hold, such as a function as `tokenize` | the same without \
this option, whose name is among `unrecorded` |
    | of another class | `name`, `signature`; `options` is None |

    Options that do not change the number, such as a device, are left out.

    Args:
        scorer: The scorer.

    Example:
        >>> scorer_record(scorer_class("grounding")(iou_threshold=0.75))["options"]
        {'iou_threshold': 0.75, 'box_coordinates': 'xyxy', 'assignment': 'optimal'}
    """
    record: dict[str, Any] = {"name": scorer.name, "options": None}
    if scorer.name in _HOMES and type(scorer) is scorer_class(scorer.name):
        values = {
            field.name: _plain(field.name, getattr(scorer, field.name))
            for field in fields(scorer)  # type: ignore[arg-type]  # a scorer is a dataclass
            if field.init and field.compare
        }
        record["options"] = {name: one[0] for name, one in values.items() if one is not None}
        if unrecorded := [name for name, one in values.items() if one is None]:
            record["unrecorded"] = unrecorded
    return {**record, "signature": str(scorer.signature())}


def recorded_scorer(record: Mapping[str, Any], *, rescoring: bool = False) -> Scorer:
    """The scorer that a record describes.

    Options that could not be recorded are at their defaults. Those change rows, not what is made of
    rows, so that the scores of stored rows are right; new rows would not be.

    Args:
        record: What `scorer_record` gave.
        rescoring: Whether the scorer is to make rows, too.

    Raises:
        ConfigurationError: The metric is not of this package, an option is not one of this version,
            or with `rescoring` an option was not recorded.

    Example:
        >>> recorded_scorer({"name": "grounding", "options": {"iou_threshold": 0.75}}).iou_threshold
        0.75
    """
    name, options = record.get("name"), record.get("options")
    if name not in _HOMES or not isinstance(options, Mapping):
        raise ConfigurationError(
            f"The metric {name!r} cannot be made again from its record: it is not one of this "
            f"package ({', '.join(SCORERS)})"
        )
    unrecorded = record.get("unrecorded") or []
    if rescoring and unrecorded:
        raise ConfigurationError(
            f"The metric {name!r} cannot score again: its option {unrecorded[0]!r} is code, "
            "which no record holds"
        )
    scorer = scorer_class(name)
    known = {field.name for field in fields(scorer) if field.init}  # type: ignore[arg-type]  # as above
    if unknown := [option for option in options if option not in known]:
        raise ConfigurationError(
            f"Expected the options of {name!r}, {', '.join(sorted(known))}, but the record has "
            f"{unknown[0]!r}: it was written by another version of this package"
        )
    return scorer(**options)


def _plain(name: str, value: Any) -> tuple[Any] | None:
    """An option as JSON holds it, in a tuple; None for one that JSON cannot hold."""
    if name == "schema" and value is not None:
        # On first use, as in `scorer_class`. The short form is written down as the JSON Schema.
        schema = importlib.import_module("lightning_vlmeval.functional.schema").Schema(value)
        return (json.loads(schema.text),)
    try:
        return (json.loads(json.dumps(value, allow_nan=False)),)
    except (TypeError, ValueError):
        return None
