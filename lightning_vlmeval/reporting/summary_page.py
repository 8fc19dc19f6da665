"""The part of a report that reads without scripts: verdicts, findings, tables and curves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lightning_vlmeval.reporting.console import is_headline
from lightning_vlmeval.reporting.curves import Point, curve, series_key
from lightning_vlmeval.reporting.markup import escaped, said

Summaries = Sequence[Mapping[str, Any]]
"""The evaluations of a run, as `Run.evaluations` gives them."""


def summary_html(names: Sequence[str], runs: Sequence[Summaries]) -> str:
    """The runs in HTML.

    Args:
        names: What the runs are called.
        runs: Their evaluations.
    """
    judged = "".join(judgement_html(name, run) for name, run in zip(names, runs, strict=True))
    tables = "".join(_table(name, run) for name, run in zip(names, runs, strict=True))
    return f"{judged}<h2>Curves</h2>{_curves(names, runs)}<h2>Values</h2>{tables}"


def judgement_html(name: str, run: Summaries) -> str:
    """What the last evaluation of a run says: its verdict and its findings.

    Args:
        name: What the run is called.
        run: Its evaluations.
    """
    last = run[-1]
    parts = []
    verdict = last.get("verdict")
    if isinstance(verdict, Mapping):
        parts.append(
            f'<div class="verdict state-{_state(verdict)}"><b>{escaped(name)}: '
            f"{escaped(verdict.get('state'))}</b> {said(verdict.get('reason') or '')}</div>"
        )
    if last.get("judgement"):
        parts.append(f"<p><b>{escaped(name)}</b>: {said(last['judgement'])}</p>")
    for finding in last.get("findings") or []:
        parts.append(
            f'<div class="finding"><b>{escaped(name)}: {escaped(finding.get("slug"))}</b> '
            f"{said(finding.get('meaning') or '')} {said(finding.get('advice') or '')}"
            f"{_numbers(finding.get('numbers') or {})}</div>"
        )
    counted = last.get("accounting") or {}
    for loader, text in counted.items() if isinstance(counted, Mapping) else ():
        parts.append(
            f'<p class="muted">{escaped(name)}{", " if loader else ""}{escaped(loader)}: '
            f"{escaped(text)}</p>"
        )
    return "".join(parts)


def main_keys(runs: Sequence[Summaries]) -> list[str]:
    """The values worth a curve: the main ones, or the first eight where there are none.

    Args:
        runs: The evaluations of each run.
    """
    keys = dict.fromkeys(key for run in runs for one in run for key in one.get("values") or {})
    return [key for key in keys if is_headline(key)] or list(keys)[:8]


def _state(verdict: Mapping[str, Any]) -> str:
    known = ("ok", "watch", "overfitting", "diverging", "invalid")
    return next((state for state in known if verdict.get("state") == state), "unknown")


def _numbers(numbers: Mapping[str, Any]) -> str:
    cells = []
    for name, value in numbers.items():
        one, low, high = (
            (*value, None, None)[:3] if isinstance(value, list) else (value, None, None)
        )
        cells.append(f"{escaped(name)} {_number(one)}{_interval((low, high))}")
    return f'<div class="muted">{", ".join(cells)}</div>' if cells else ""


def _curves(names: Sequence[str], runs: Sequence[Summaries]) -> str:
    losses = []
    for name, run in zip(names, runs, strict=True):
        for kind, key in (("validation", "val_loss"), ("training", "train_loss")):
            points = [Point(one.get("step", 0), _finite(one.get(key))) for one in run]
            losses.append((f"{name}, {kind}", points))
    charts = [curve("loss: validation (line) and training (dashes)", losses[:2])]
    for key in main_keys(runs):
        series = []
        for name, run in zip(names, runs, strict=True):
            points = []
            for one in run:
                ends = (one.get("intervals") or {}).get(key) or (None, None)
                value = _finite((one.get("values") or {}).get(key))
                points.append(Point(one.get("step", 0), value, *map(_finite, ends[:2])))
            series.append((name, points))
        charts.append(curve(key, series))
    return f'{series_key(names)}<div class="charts">{"".join(charts)}</div>'


def _table(name: str, run: Summaries) -> str:
    """The values of the last evaluation, with the first and the one before."""
    last, first = run[-1], run[0]
    before = run[-2] if len(run) > 1 else {}
    rows = []
    for key, value in (last.get("values") or {}).items():
        ends = (last.get("intervals") or {}).get(key) or (None, None)
        cells = [
            _number((first.get("values") or {}).get(key)),
            _number((before.get("values") or {}).get(key)),
            f"<b>{_number(value)}</b>",
            _interval(ends),
        ]
        rows.append(
            f"<tr><th>{escaped(key)}</th>{''.join(f'<td>{one}</td>' for one in cells)}</tr>"
        )
    heads = ("value", f"first (step {_number(first.get('step'))})", "before", "last", "interval")
    return (
        f'<div class="scroll"><table><caption>{escaped(name)}, evaluation '
        f"{_number(last.get('index'))}, step {_number(last.get('step'))}</caption><tr>"
        f"{''.join(f'<th>{escaped(head)}</th>' for head in heads)}</tr>{''.join(rows)}</table></div>"
    )


def _finite(value: Any) -> float:
    """A stored number; NaN for what is none."""
    return float(value) if isinstance(value, (int, float)) else math.nan


def _number(value: Any) -> str:
    number = _finite(value)
    if math.isnan(number):
        return "\N{EN DASH}"
    return str(value) if isinstance(value, int) else f"{number:.3f}"


def _interval(ends: Sequence[Any]) -> str:
    low, high = map(_finite, ends[:2])
    return "" if math.isnan(low) or math.isnan(high) else f" [{low:.3f}, {high:.3f}]"
