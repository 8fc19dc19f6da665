"""The report: one HTML file that needs nothing else, and asks nothing of any server."""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.reporting.breakdown_page import breakdowns_html
from lightning_vlmeval.reporting.check_sheet import sheet_html
from lightning_vlmeval.reporting.markup import escaped
from lightning_vlmeval.reporting.report_data import ReportData, script_json
from lightning_vlmeval.reporting.selection import Key
from lightning_vlmeval.reporting.summary_page import summary_html
from lightning_vlmeval.runs.files import write_whole
from lightning_vlmeval.runs.run import Run

# The viewer's files, each after those it needs.
_SCRIPTS = (
    "dom.js",
    "chart.js",
    "answer.js",
    "card.js",
    "ranking.js",
    "summary.js",
    "viewer.js",
    "report.js",
)
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def write_report(
    runs: Sequence[Run],
    path: str | Path,
    max_samples: int = 150,
    *,
    max_bytes: int = 10_000_000,
    sheet_size: int = 25,
    seed: int = 0,
) -> dict[Key, str]:
    """Write the report of some runs: a page that is its own viewer, and reads without scripts too.

    Where there are more than `max_samples`, half of those shown are drawn at random, and the others
    are picked because they are bad or changed; the page says so. Where the file would be larger
    than `max_bytes`, fewer samples are shown.

    Args:
        runs: The runs; the first two are shown side by side.
        path: The file, which is there whole or not at all; its folder is made.
        max_samples: How many samples to show.
        max_bytes: How large the file may be.
        sheet_size: How many samples the sheet for checking by hand has.
        seed: Where draws come from.

    Returns:
        The samples shown, by dataloader and id, each with the reason.

    Raises:
        ConfigurationError: There is no evaluation to show, or `max_samples` is below 1.
        StoreError: A run cannot be read.
        OSError: The file cannot be written.
    """
    if max_samples < 1:
        raise ConfigurationError(f"Expected `max_samples` to be at least 1, but got {max_samples}")
    data = ReportData(runs)
    if not data.names:
        raise ConfigurationError(
            "Expected a run with at least one whole evaluation, but got "
            f"{', '.join(str(run.path) for run in runs) or 'no run'}"
        )
    chosen = data.choose(max_samples, seed)
    breakdowns = breakdowns_html(data.names, data.breakdowns())
    page = _page(data, chosen, breakdowns, sheet_size, seed)
    while len(page) > max_bytes and len(chosen) > 1:
        chosen = data.choose(len(chosen) // 2, seed)
        page = _page(data, chosen, breakdowns, sheet_size, seed)
    write_whole(Path(path), page)
    return chosen


def picked_text(chosen: Mapping[Key, str], num_samples: int, seed: int) -> str:
    """How the samples of a page were picked, in a sentence.

    Args:
        chosen: The samples with the reason for each.
        num_samples: How many there are.
        seed: Where the draw came from.

    Example:
        >>> picked_text({("", "a"): "random", ("", "b"): "among the worst"}, 9, 0)
        '2 of 9 samples are shown: 1 drawn at random (seed 0), which alone represent the set; 1 among the worst.'
    """
    counts = Counter(chosen.values())
    if set(counts) <= {"all"}:
        return f"All {num_samples} samples are shown."
    drawn = counts.pop("random", 0)
    others = "".join(f"; {count} {reason}" for reason, count in counts.items())
    return (
        f"{len(chosen)} of {num_samples} samples are shown: {drawn} drawn at random (seed {seed}), "
        f"which alone represent the set{others}."
    )


def _static(name: str) -> str:
    file = resources.files("lightning_vlmeval.reporting") / "static" / name
    return file.read_text(encoding="utf-8")


def _script() -> str:
    """The viewer's modules as one: in a page that asks for nothing they cannot import each other."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", _static(name))) for name in _SCRIPTS)


def _page(
    data: ReportData, chosen: Mapping[Key, str], breakdowns: str, sheet_size: int, seed: int
) -> bytes:
    script, style = _script(), _static("viewer.css")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    picked = picked_text(chosen, data.num_samples, seed)
    sheet = sheet_html(data.names[0], data.last[0], sheet_size, seed)
    title = escaped(", ".join(data.names))
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>VLM evaluation: {title}</title>\n<style>{style}</style></head>\n<body>"
        f'<header class="top"><h1>VLM evaluation</h1><p>{title}</p></header>\n'
        f'<div id="viewer"></div>\n<main id="static">'
        f"{summary_html(data.names, data.summaries)}</main>\n"
        f"{breakdowns}\n"
        f'<footer class="foot"><p id="picked">{escaped(picked)}</p>{sheet}</footer>\n'
        f'<script type="application/json" id="data">{script_json(data.content(chosen))}</script>\n'
        f'<script type="module">{script}</script></body></html>\n'
    )
    return page.encode("utf-8", "backslashreplace")


def _hash(text: str) -> str:
    """What a content security policy calls an element of the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
