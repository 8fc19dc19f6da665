"""Where a model is weak, as the part of a report that needs no script: scores part by part."""

import math
from collections.abc import Sequence

from lightning_vlmeval.analysis.breakdown import Part
from lightning_vlmeval.reporting.markup import escaped, said
from lightning_vlmeval.runs.breakdown import MIN_SAMPLES, Breakdown

_SHOWN = 6  # parts of a breakdown that are not folded away
_MOST = 200  # that are in the page at all
_NAMED = 12  # of those that are too small to score

_TITLES = {
    "size": "size of box",
    "targets": "number of targets",
}


def breakdowns_html(names: Sequence[str], runs: Sequence[Sequence[Breakdown]]) -> str:
    """The breakdowns of the runs' last evaluations in HTML, folded; "" where there are none.

    Args:
        names: What the runs are called.
        runs: The breakdowns of each.
    """
    shown = "".join(
        f"<h3>{escaped(name)}</h3>" * (len(runs) > 1)
        + f'<div class="parts">{"".join(map(_breakdown, run))}</div>'
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


def _worst(one: Breakdown) -> str:
    """The worst part in a few words, where there is one."""
    part = one.parts[0]
    if not _is_scored(part):
        return ""
    return f"; {escaped(one.key)} is lowest for {_by(one)} {_name(part)}: {_score(part)}"


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


def _table(rows: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("", "samples", "value"))
    return f'<div class="scroll"><table><tr>{heads}</tr>{"".join(rows)}</table></div>'


def _row(part: Part) -> str:
    return (
        f'<tr><th scope="row">{_name(part)}</th><td>{part.num_samples}</td>'
        f"<td>{_score(part)}</td></tr>"
    )


def _by(one: Breakdown) -> str:
    return _TITLES.get(one.by, one.by)


def _name(part: Part) -> str:
    return said(part.label) if part.label else "(no label)"


def _is_scored(part: Part) -> bool:
    return part.score is not None and not math.isnan(part.score.value)


def _score(part: Part) -> str:
    if part.score is None or not _is_scored(part):
        return "undefined"
    ends = (part.score.low, part.score.high)
    interval = "" if any(map(math.isnan, ends)) else f" [{ends[0]:.3f}, {ends[1]:.3f}]"
    return f"<b>{part.score.value:.3f}</b>{interval}"
