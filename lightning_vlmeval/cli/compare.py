"""``lightning-vlmeval compare``: B against A, sample by sample."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lightning_vlmeval.analysis.comparison import Difference
from lightning_vlmeval.cli.output import coloured, note, number, short, shown, table_lines, write
from lightning_vlmeval.runs.comparison import RunComparison, compare

_SHOWN_IDS = 3


def run(args: argparse.Namespace) -> bool:
    """Compare two runs.

    Args:
        args: The arguments.

    Returns:
        Whether no primary score is worse, or nobody asked.
    """
    found = compare(
        args.a,
        args.b,
        args.evaluation_a,
        args.evaluation_b,
        metrics=args.metrics,
        primary=args.primary,
        level=args.level,
        method=args.test,
    )
    for text in found.notes:
        note(text)
    failed = found.regressions if args.fail_on_regression else []
    lines = _lines(found, show_all=args.all)
    lines += [coloured(f"failed: {key} is worse in B", "bad") for key in failed]
    write(args, lines, _data(found))
    return not failed


def _data(found: RunComparison) -> dict[str, Any]:
    """The comparison as values."""
    return {
        "a": asdict(found.a),
        "b": asdict(found.b),
        "differences": {
            key: {**asdict(one), "verdict": found.verdict(key)}
            for key, one in found.differences.items()
        },
        "samples": {
            name: {
                "compared": one.num_samples,
                "only_a": one.num_only_a,
                "only_b": one.num_only_b,
                "clusters": one.num_clusters,
            }
            for name, one in found.metrics.items()
        },
        "regressions": found.regressions,
        "notes": list(found.notes),
    }


def _lines(found: RunComparison, *, show_all: bool) -> list[str]:
    level = next(iter(found.metrics.values())).level
    rows = [
        ["score", "A", "B", "B - A", f"{level * 100:g} % interval", "p", "fixed", "broken", "B is"]
    ]
    colours = [""]
    for key, one in found.differences.items():
        primary = one.adjusted_p_value is not None
        if not (show_all or primary or one.direction != "undecided"):
            continue
        rows.append([*_cells(f"{key}{' *' if primary else ''}", one), found.verdict(key)])
        colours.append({"better": "good", "worse": "bad"}.get(found.verdict(key), ""))
    table = table_lines(rows)
    return [
        f"A  {shown(found.a.run)}, evaluation {found.a.index}, step {found.a.step}",
        f"B  {shown(found.b.run)}, evaluation {found.b.index}, step {found.b.step}",
        "",
        *(
            coloured(line, colour) if colour else line
            for line, colour in zip(table, colours, strict=True)
        ),
        "",
        "* a primary score: its p is corrected for their number; the others are exploratory",
        *_sample_lines(found),
    ]


def _cells(name: str, one: Difference) -> list[str]:
    p = one.p_value if one.adjusted_p_value is None else one.adjusted_p_value
    counts = ["", ""] if one.flips is None else [len(one.flips.fixed), len(one.flips.broken)]
    return [
        name,
        number(one.value_a),
        number(one.value_b),
        number(one.difference, "+.4f"),
        f"[{number(one.low, '+.4f')}, {number(one.high, '+.4f')}]",
        number(p, ".3g"),
        *map(str, counts),
    ]


def _sample_lines(found: RunComparison) -> list[str]:
    """How many samples were compared, and a few that changed sides."""
    lines = []
    for name, compared in found.metrics.items():
        rest = [f"{compared.num_only_a} only in A", f"{compared.num_only_b} only in B"]
        lines.append(
            f"{name}: {compared.num_samples} samples in common, {', '.join(rest)}, "
            f"{compared.num_clusters} independent ones"
        )
    for key, one in found.differences.items():
        if one.adjusted_p_value is None:
            continue
        if not math.isnan(one.detectable):
            lines.append(
                f"{key}: a true difference of {one.detectable:.3f} would be found in 80 % of such "
                "comparisons"
            )
        if one.flips is not None:
            lines += _named(f"{key}: fixed", one.flips.fixed)
            lines += _named(f"{key}: broken", one.flips.broken)
            lines += _named(f"{key}: never solved", one.flips.never_solved)
    return lines


def _named(what: str, ids: Sequence[str]) -> list[str]:
    if not ids:
        return []
    rest = f" and {len(ids) - _SHOWN_IDS} more" if len(ids) > _SHOWN_IDS else ""
    return [f"{what} {', '.join(map(short, ids[:_SHOWN_IDS]))}{rest}"]
