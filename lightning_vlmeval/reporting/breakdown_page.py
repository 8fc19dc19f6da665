"""Where a model is weak, as the part of a report that needs no script: scores part by part."""

import math
from collections.abc import Sequence

from lightning_vlmeval.analysis.breakdown import Part
from lightning_vlmeval.analysis.intervals import Interval
from lightning_vlmeval.functional.error_budget import ERRORS
from lightning_vlmeval.reporting.markup import escaped, said
from lightning_vlmeval.runs.breakdown import MIN_SAMPLES, Breakdown, Budget

_SHOWN = 6  # parts of a breakdown that are not folded away
_MOST = 200  # that are in the page at all
_NAMED = 12  # of those that are too small to score

_TITLES = {
    "size": "size of box",
    "targets": "number of targets",
}


def breakdowns_html(names: Sequence[str], runs: Sequence[Sequence[Budget | Breakdown]]) -> str:
    """The breakdowns of the runs' last evaluations in HTML, folded; "" where there are none.

    Args:
        names: What the runs are called.
        runs: The error budgets and the breakdowns of each.
    """
    shown = "".join(
        f"<h3>{escaped(name)}</h3>" * (len(runs) > 1)
        + f'<div class="parts">{"".join(map(_card, run))}</div>'
        for name, run in zip(names, runs, strict=True)
        if run
    )
    if not shown:
        return ""
    worst = next((text for run in runs for one in run if (text := _worst(one))), "")
    return (
        '<details class="breakdowns" id="breakdowns"><summary>where it is weak: the last '
        f"evaluation, part by part{worst}</summary>{shown}</details>"
    )


def _worst(one: Budget | Breakdown) -> str:
    """The worst part in a few words, where there is one."""
    if isinstance(one, Budget) or not _is_scored(part := one.parts[0]):
        return ""
    return f"; {escaped(one.key)} is lowest for {_by(one)} {_name(part)}: {_value(part.score)}"


def _card(one: Budget | Breakdown) -> str:
    return _budget(one) if isinstance(one, Budget) else _breakdown(one)


def _budget(one: Budget) -> str:
    """Each kind of error with its boxes, and F1 without it, the most costly first."""
    gains = {name: one.scores[f"f1_{name}_fixed"] for name in ERRORS}
    ordered = sorted(ERRORS, key=lambda name: -gains[name] if gains[name] == gains[name] else 0.0)
    rows = []
    for name in ("correct", *ordered):
        counts = [one.scores.get(f"{side}_{name}") for side in ("pred", "target")]
        if any(counts):
            cells = "".join(
                f"<td>{'' if count is None else f'{count:.0f}'}</td>" for count in counts
            )
            key = "f1" if name == "correct" else f"f1_{name}_fixed"
            label = escaped(name.replace("_", " "))
            value = _value(one.intervals.get(key))
            rows.append(f'<tr><th scope="row">{label}</th>{cells}<td>{value}</td></tr>')
    title = f"{f'{one.loader}: ' if one.loader else ''}errors of boxes, and F1 without each"
    table = _table(rows, ("", "predicted", "annotated", "F1"))
    return f'<div class="part"><b>{escaped(title)}</b>{table}</div>'


def _breakdown(one: Breakdown) -> str:
    scored = [part for part in one.parts if part.score is not None]
    small = [part for part in one.parts if part.score is None]
    title = f"{f'{one.loader}: ' if one.loader else ''}{one.key} by {_by(one)}"
    rows = [_row(part) for part in scored[:_MOST]]
    text = f"<b>{escaped(title)}</b>"
    if rows:
        text += _table(rows[:_SHOWN])
    if len(rows) > _SHOWN:
        more = _more(len(scored), _SHOWN)
        text += f"<details><summary>{more}</summary>{_table(rows[_SHOWN:])}</details>"
    return f'<div class="part">{text}{_small(small)}</div>'


def _small(parts: Sequence[Part]) -> str:
    """The parts that are too small to score, with how many samples each has."""
    if not parts:
        return ""
    named = [f"{_name(part)} ({part.num_samples})" for part in parts[:_MOST]]
    few = f"fewer than {MIN_SAMPLES} independent samples, not scored"
    text = f'<p class="muted">{few}: {", ".join(named[:_NAMED])}</p>'
    if len(parts) > _NAMED:
        more = _more(len(parts), _NAMED)
        text += f"<details><summary>{more}</summary>{', '.join(named[_NAMED:])}</details>"
    return text


def _more(count: int, shown: int) -> str:
    """How many are folded away."""
    more = f"{count - shown} more"
    return f"{more}, of which {_MOST - shown} are in this page" if count > _MOST else more


def _table(rows: Sequence[str], heads: Sequence[str] = ("", "samples", "value")) -> str:
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return f'<div class="scroll"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _row(part: Part) -> str:
    return (
        f'<tr><th scope="row">{_name(part)}</th><td>{part.num_samples}</td>'
        f"<td>{_value(part.score)}</td></tr>"
    )


def _by(one: Breakdown) -> str:
    return _TITLES.get(one.by, one.by)


def _name(part: Part) -> str:
    return said(part.label) if part.label else "(no label)"


def _is_scored(part: Part) -> bool:
    return part.score is not None and not math.isnan(part.score.value)


def _value(one: Interval | None) -> str:
    if one is None or math.isnan(one.value):
        return "undefined"
    ends = (one.low, one.high)
    interval = "" if any(map(math.isnan, ends)) else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
    return f"<b>{one.value:.3f}</b>{interval}"
