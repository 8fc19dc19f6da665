"""Writes the tables of a benchmark's JSON file into a page, between its marks.

python examples/benchmarks/page.py RESULTS.json docs/performance.md
"""

import json
import re
import sys
from pathlib import Path
from typing import Any


def _ratio(value: dict[str, float]) -> str:
    return f"{value['median']:.1f}x ({value['min']:.1f}-{value['max']:.1f})"


def rows(report: dict[str, Any]) -> list[str]:
    """One line for each metric and peer."""
    lines = [
        "| metric, data | peer | first, later (us) | peer (us) | faster, first | faster, later "
        "| largest difference | floor (us), what |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        if "missing" in row:
            lines.append(
                f"| {row['metric']} | {row.get('peer', '')} | missing: {row['missing']} |||||"
            )
            continue
        ours = f"{row['first_us']['median']:.1f}, {row['later_us']['median']:.1f}"
        same = f"{row['difference']:.0e}" if row["same_definition"] else "another definition"
        floors = [row[key] for key in ("first_floor_us", "floor_us") if key in row]
        floor = ", ".join([*(f"{one['median']:.1f}" for one in floors), row["floor"]])
        lines.append(
            f"| {row['metric']} | {row['peer']} | {ours} | {row['peer_us']['median']:.1f} "
            f"| {_ratio(row['first_ratio'])} | {_ratio(row['later_ratio'])} | {same} | {floor} |"
        )
    return lines


def values(part: dict[str, Any]) -> list[str]:
    """A table of names and values."""
    lines = ["| what | value |", "|---|---|"]
    for name, value in part.items():
        shown = value
        if isinstance(value, dict):
            shown = ", ".join(f"{key} {one}" for key, one in value.items())
        elif isinstance(value, list):
            shown = f"{value[0]:.1f} ({min(value):.1f}-{max(value):.1f})"
        lines.append(f"| {name} | {'failed' if shown is None else shown} |")
    return lines


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    page = Path(sys.argv[2])
    text = page.read_text(encoding="utf-8")
    for name, part in report.items():
        if not isinstance(part, (dict, list)):
            continue
        lines = rows(report) if name == "rows" else values(part)
        block = f"<!-- {name} -->\n" + "\n".join(lines) + f"\n<!-- /{name} -->"
        text = re.sub(
            rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _, b=block: b, text, flags=re.S
        )
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
