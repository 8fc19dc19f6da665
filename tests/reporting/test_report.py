"""The report's file: what is in it, and how it is made."""

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.reporting.check_sheet import QUESTIONS, draw_sheet
from lightning_vlmeval.reporting.curves import Point, curve
from lightning_vlmeval.reporting.markup import visible
from lightning_vlmeval.reporting.report import write_report
from lightning_vlmeval.reporting.report_data import script_json
from lightning_vlmeval.reporting.selection import choose, main_score
from lightning_vlmeval.reporting.summary_page import judgement_html
from lightning_vlmeval.runs.files import StoreError
from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import RunStore
from tests.reporting.made_runs import HOSTILE, make_run


class Page(HTMLParser):
    """The elements of a page: how often each is there, and the text of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.texts: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, str | None]] = []
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open, []).append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(make_run(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def html(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "below" / "report.html"
    write_report([run], path)
    return path.read_text(encoding="utf-8")


def content(html: str) -> Any:
    match = re.search('<script type="application/json" id="data">(.*?)</script>', html)
    assert match
    return json.loads(match[1])


def test_the_page_has_every_answer_of_every_evaluation(run: Run, html: str) -> None:
    data = content(html)
    for position in range(6):
        stored = {sample["id"]: sample for sample in run.samples(position)}
        shown = {row["id"]: row for row in data["runs"][0]["rows"][position]}
        assert shown.keys() == stored.keys()
        for name, row in shown.items():
            assert row.get("prediction") == (stored[name].get("prediction") or None)
            assert row.get("matches", []) == [
                [p, t, round(overlap, 3)] for p, t, overlap in stored[name].get("matches", [])
            ]


def test_the_policy_names_the_pages_own_script_and_style(html: str) -> None:
    page = Page(html)
    (policy,) = (value for name, value in page.attributes if value and "default-src" in value)
    assert "default-src 'none'" in policy
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        text = page.texts[tag][-1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_nothing_of_another_place_and_nothing_hostile_is_in_the_page(html: str) -> None:
    page = Page(html)
    assert page.tags["script"] == 2
    assert not page.tags.keys() & {"img", "a", "link", "iframe", "object", "base", "form"}
    names = {name for name, _ in page.attributes}
    assert not any(name.startswith("on") or name in ("src", "href", "style") for name in names)
    assert "\u202e" not in html
    assert "⟨U+202E⟩" in html
    assert visible(HOSTILE)[:9] in "".join(page.texts["bdi"])


def test_the_summary_reads_without_scripts(html: str) -> None:
    static = html[html.index('id="static"') : html.index("</main>")]
    assert "overfitting" in static
    assert "Add more positive examples." in static
    assert "Best of all at evaluation 3. &lt;/script&gt;" in static
    assert static.count('<figure class="chart">') == 13
    assert static.count('class="band"') == 12
    assert "<th>val/grounding/f1</th>" in static


def test_the_sheet_asks_for_what_no_metric_sees(html: str) -> None:
    start = html.index('id="sheet"')
    sheet = html[start : html.index("</details>", start)]
    assert "Check by hand: 25 of 60 samples" in sheet
    assert sheet.count("<tr>") == 26
    assert sheet.count("<select") == 25 * len(QUESTIONS)


def test_the_same_runs_make_the_same_page(run: Run, html: str, tmp_path: Path) -> None:
    write_report([run], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html


def test_few_samples_are_picked_and_the_page_says_how(run: Run, tmp_path: Path) -> None:
    chosen = write_report([run], tmp_path / "report.html", max_samples=20)
    assert len(chosen) == 20
    assert Counter(chosen.values())["random"] == 10
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "20 of 60 samples are shown: 10 drawn at random (seed 0), which alone represent" in html
    rows = content(html)["runs"][0]["rows"]
    assert [{row["id"] for row in one} for one in rows] == [{name for _, name in chosen}] * 6


def test_the_size_is_kept(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report([run], path)
    whole = path.stat().st_size
    chosen = write_report([run], path, max_bytes=whole - 1)
    assert len(chosen) == 30
    assert path.stat().st_size < whole


def test_runs_of_one_name_are_told_apart(run: Run, tmp_path: Path) -> None:
    write_report([run, run], tmp_path / "report.html")
    data = content((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [one["name"] for one in data["runs"]] == ["first", "first (2)"]


def test_ids_that_look_like_json_are_found(tmp_path: Path) -> None:
    names = ['a","b', "c\\", "d,", 'e"', "", "é", "\u2028", "\ud800"]
    store = RunStore(tmp_path / "b" / "vlmeval", run_record("b", ["vqa"], {}))
    store.write(
        {"index": 0, "step": 0, "values": {}},
        [{"id": name, "target": "x", "prediction": "y"} for name in names],
    )
    write_report([Run(tmp_path / "b")], tmp_path / "report.html")
    data = content((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert sorted(row["id"] for row in data["runs"][0]["rows"][0]) == sorted(names)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (False, "Expected a run with at least one whole evaluation, but got no run"),
        (True, "Expected `max_samples` to be at least 1, but got 0"),
    ],
)
def test_what_cannot_be_shown(run: Run, tmp_path: Path, keep: bool, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        write_report([run] if keep else [], tmp_path / "report.html", 0 if keep else 1)
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    run = Run(make_run(tmp_path / "run", num_samples=8, num_evaluations=2))
    path = tmp_path / "report.html"
    path.write_text("old")
    (run.path / "evals" / "000000001.jsonl.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(StoreError):
        write_report([run], path)
    assert path.read_text() == "old"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["report.html", "run"]


@pytest.mark.parametrize(
    ("sample", "score"),
    [
        ({}, math.nan),
        ({"scores": {}}, math.nan),
        ({"scores": None}, math.nan),
        ({"scores": {"grounding/f1": None}}, math.nan),
        ({"scores": {"text/bleu": 0.5, "grounding/f1": 0.25}}, 0.25),
        ({"scores": {"mine/own": 3}}, 3.0),
    ],
)
def test_main_score(sample: dict[str, Any], score: float) -> None:
    assert main_score(sample) == pytest.approx(score, nan_ok=True)


def test_samples_are_picked_for_their_reason() -> None:
    """100 samples of score 1, but for one that is bad, one that lost, one that a finding names."""
    good = {("", f"{i:03d}"): {"scores": {"text/bleu": 1.0}} for i in range(100)}
    last: dict[Any, Any] = dict(good)
    last["", "010"] = {"scores": {"text/bleu": 0.1}}
    last["", "020"] = {"scores": {"text/bleu": 0.6}}
    last["", "030"] = {"scores": {"text/bleu": 1.0}, "named": True}
    before = {**good, ("", "010"): {"scores": {"text/bleu": 0.1}}}
    chosen = choose([[good, before, last]], 6)
    reasons = {name: reason for (_, name), reason in chosen.items() if reason != "random"}
    assert reasons == {
        "030": "named by a finding",
        "010": "among the worst",
        "020": "lost since the evaluation before",
    }


def test_the_sheet_has_each_stratum_and_is_drawn_from_its_seed() -> None:
    answers: dict[Any, Any] = {
        ("", str(i)): {"task": "vqa" if i < 90 else "freeform", "scores": {"text/bleu": i / 100}}
        for i in range(100)
    }
    answers["", "99"] = {"task": "freeform", "unparsable": True}
    drawn = draw_sheet(answers)
    assert len(drawn) == len(set(drawn)) == 25
    assert draw_sheet(answers) == drawn
    assert draw_sheet(answers, seed=1) != drawn
    assert ("", "99") in drawn
    thirds = Counter(int(name) // 30 for _, name in drawn if int(name) < 90)
    assert sorted(thirds.values()) == [7, 7, 7]
    assert draw_sheet({}) == []
    assert len(draw_sheet({key: answers[key] for key in list(answers)[:4]})) == 4


@pytest.mark.parametrize(
    ("points", "parts"),
    [
        ([], []),
        ([Point(0, math.nan)], []),
        ([Point(0, 0.5)], ['points="40.0,58.0"']),
        (
            [Point(0, 0.0, 0.0, 0.5), Point(10, 1.0, 0.5, 1.0)],
            ['points="40.0,108.0 232.0,8.0"', 'class="band"'],
        ),
    ],
)
def test_curves(points: list[Point], parts: list[str]) -> None:
    drawn = curve("a <b>", [("one & two", points)])
    assert all(part in drawn for part in parts)
    assert bool(drawn) == bool(parts)
    assert "<b>" not in drawn


def test_a_strangers_summary_is_no_fault() -> None:
    strange = {
        "verdict": {"state": '"><script>', "reason": None},
        "findings": [{"slug": "<b>", "numbers": {"<i>": ["x", None, None]}}],
        "accounting": {"<u>": "<s>"},
    }
    html = judgement_html("<a>", [strange])
    assert Page(html).tags.keys() == {"div", "b", "bdi", "p"}


@pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "\u2028", "&lt;", "\ud800"])
def test_script_json(text: str) -> None:
    made = script_json({text: [text, math.nan]})
    assert made.isascii()
    assert not set(made) & set("<>&")
    assert json.loads(made) == {text: [text, None]}


def test_it_needs_no_torch(run: Run, tmp_path: Path) -> None:
    code = (
        "import sys; from lightning_vlmeval import Run;"
        "from lightning_vlmeval.reporting.report import write_report;"
        f"write_report([Run({str(run.path)!r})], {str(tmp_path / 'report.html')!r});"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "pytorch_lightning", "lightning", "tensorboard"}
