"""What a person reads in the terminal after each evaluation."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

# The values worth reading at every evaluation; all of them are in the logs. A group that is not
# named here shows its first values.
HEADLINES = {
    "grounding": ("f1", "mean_iou", "precision", "recall", "iou"),
    "text": ("bertscore_f1", "bleu", "meteor", "rougeL_fmeasure", "rougeL_recall"),
    "answers": ("exact_match", "token_f1", "vqa_accuracy"),
    "structured": ("format_compliance", "schema_adherence", "field_f1"),
    "health": ("healthy", "truncated", "empty", "repetition"),
}
_OTHERS = 4
_WIDTH = 100


def is_headline(key: str) -> bool:
    """Whether a value is among those worth reading at every evaluation.

    Those over the healthy answers alone are not: they stand beside the ones over all.

    Args:
        key: Its name in the logs.
    """
    group, _, name = key.rpartition("/")
    return not _of_the_healthy(key) and name in HEADLINES.get(group.rpartition("/")[2], ())


def _of_the_healthy(key: str) -> bool:
    return "_healthy/" in key


def metric_lines(
    scores: Mapping[str, float],
    previous: Mapping[str, float] | None = None,
    intervals: Mapping[str, Sequence[float]] | None = None,
) -> list[str]:
    """The main values, a line or two for each group, with the change since the evaluation before.

    Args:
        scores: Values by key, such as ``grounding/f1``.
        previous: The values of the evaluation before.
        intervals: The ends of the values' intervals, shown as half their width.

    Example:
        >>> metric_lines({"grounding/f1": 0.5, "grounding/iou": 0.75}, {"grounding/f1": 0.4})
        ['  grounding  f1 0.500 (+0.100)   iou 0.750']
        >>> metric_lines({"grounding/f1": 0.5}, intervals={"grounding/f1": (0.4, 0.6)})
        ['  grounding  f1 0.500 ±0.100']
    """
    groups: dict[str, list[str]] = {}
    for key in scores:
        if _of_the_healthy(key):
            continue
        group, _, name = key.rpartition("/")
        groups.setdefault(group, []).append(name)
    width = max(map(len, groups), default=0)
    lines: list[str] = []
    for group, names in groups.items():
        shown = HEADLINES.get(group.rpartition("/")[2], tuple(names)[:_OTHERS])
        keys = {name: f"{group}/{name}" for name in shown if name in names}
        cells = [
            _cell(name, scores[key], (previous or {}).get(key), (intervals or {}).get(key))
            for name, key in keys.items()
        ]
        # Cells hold no-break spaces while lines are broken, so that none is broken inside.
        text = "   ".join(cells).replace(" ", "\N{NO-BREAK SPACE}")
        text = text.replace("\N{NO-BREAK SPACE}" * 3, "   ")
        wrapped = textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"  {group:<{width}}  ",
            subsequent_indent=" " * (width + 4),
        )
        lines += [line.replace("\N{NO-BREAK SPACE}", " ") for line in wrapped]
    return lines


def evaluation_lines(
    entry: Mapping[str, Any], previous: Mapping[str, Any] | None, costs: Sequence[str] = ()
) -> list[str]:
    """An evaluation in a few lines: losses, main values, what was counted.

    Args:
        entry: The evaluation, as the callback's history keeps it.
        previous: The evaluation before.
        costs: What to add below.
    """
    losses = {"training loss": entry["train_loss"], "validation loss": entry["val_loss"]}
    known = [
        f"{name} {value:.4g}"
        for name, value in losses.items()
        if value is not None and not math.isnan(value)
    ]
    counted = [
        f"  {name + ': ' if name else ''}{text}" for name, text in entry["accounting"].items()
    ]
    return [
        ", ".join([f"evaluation {entry['index']}, step {entry['step']}", *known]),
        *metric_lines(
            entry["values"],
            None if previous is None else previous["values"],
            entry["intervals"],
        ),
        *counted,
        *(f"  {cost}" for cost in costs),
    ]


def history_lines(
    entries: Sequence[Mapping[str, Any]], keys: Sequence[str] | None = None
) -> list[str]:
    """The run as a table: one row an evaluation, its losses, main values and verdict.

    Args:
        entries: The evaluations, as the callback's history keeps them.
        keys: Log keys of the values to show; None for the first main values of each group.

    Example:
        >>> entry = {"index": 0, "step": 0, "train_loss": None, "val_loss": 2.0, "state": None}
        >>> for line in history_lines([{**entry, "values": {"val/grounding/f1": 0.25}}]):
        ...     print(line)
        evaluation  step  train loss  val loss  val/grounding/f1  verdict
                 0     0           -         2             0.250        -
    """
    known = list(dict.fromkeys(key for entry in entries for key in entry["values"]))
    shown = _main_keys(known) if keys is None else [key for key in keys if key in known]
    head = ["evaluation", "step", "train loss", "val loss", *shown, "verdict"]
    rows = [
        [
            str(entry["index"]),
            str(entry["step"]),
            _number(entry["train_loss"], ".4g"),
            _number(entry["val_loss"], ".4g"),
            *(_number(entry["values"].get(key), ".3f") for key in shown),
            entry["state"] or "-",
        ]
        for entry in entries
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(f"{text:>{width}}" for text, width in zip(row, widths, strict=True))
        for row in [head, *rows]
    ]


def _main_keys(keys: Sequence[str]) -> list[str]:
    """The first two main values of each group."""
    chosen = []
    wanted = [key for key in keys if not _of_the_healthy(key)]
    for group in dict.fromkeys(key.rpartition("/")[0] for key in wanted):
        shown = HEADLINES.get(group.rpartition("/")[2], ())
        chosen += [key for name in shown if (key := f"{group}/{name}") in keys][:2]
    return chosen


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)


def _cell(name: str, value: float, before: float | None, ends: Sequence[float] | None) -> str:
    """One value, half the width of its interval, and its change."""
    if math.isnan(value):
        return f"{name} undefined"
    text = f"{name} {value:.3f}"
    if ends is not None:
        text += f" ±{(ends[1] - ends[0]) / 2:.3f}"
    if before is None or math.isnan(before):
        return text
    return f"{text} ({value - before:+.3f})"
