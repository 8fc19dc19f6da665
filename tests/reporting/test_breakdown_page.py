"""Where a model is weak, as a page: the worst first, the small ones listed, whatever they are called."""

import re
from pathlib import Path
from typing import Any

import pytest

from lightning_vlmeval.analysis.breakdown import Part
from lightning_vlmeval.analysis.intervals import Interval
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.reporting.breakdown_page import breakdowns_html
from lightning_vlmeval.reporting.report import write_report
from lightning_vlmeval.runs.breakdown import Breakdown, StoredBreakdowns
from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import RunStore
from tests.reporting.browser import CHROMIUM, Browser
from tests.reporting.made_runs import HOSTILE
from tests.reporting.test_report import Page

NAN = float("nan")
SCORERS: dict[str, Scorer] = {
    "grounding": GroundingScorer(),
    "answers": AnswerScorer(),
    "bleu": BLEUScorer(),
}


def part(label: str, value: float | None, count: int = 12) -> Part:
    score = None if value is None else Interval(value, value - 0.1, value + 0.1, count, count)
    return Part(label, count, score)


def boxes_sample(i: int) -> dict[str, Any]:
    """Of three phrases, each 12 times: the first one is never found, its boxes are small."""
    phrase = (HOSTILE, "cat", "dog")[i % 3]
    side = 20.0 if i % 3 == 0 else 200.0
    found = [] if i % 3 == 0 else [[0.0, 0.0, side, side]]
    pred = {"boxes": found, "labels": [phrase] * len(found)}
    target = {"boxes": [[0.0, 0.0, side, side]], "labels": [phrase]}
    (row,) = SCORERS["grounding"].rows([pred], [target])
    return {
        "id": f"b{i:02}",
        "task": "phrase_grounding",
        **pred,
        "target": target,
        "rows": {"grounding": row},
        "annotator": "eve" if i < 24 else "bob",
        "group": f"image {i // 2}",
    }


def text_sample(i: int) -> dict[str, Any]:
    task = "vqa" if i < 11 else "freeform"
    (bleu,) = SCORERS["bleu"].rows(["a red cat sits here"], ["a red cat sits here"])
    (answer,) = SCORERS["answers"].rows(["two"], ["two" if i % 2 else "three"])
    rows = {"bleu": bleu, **({"answers": answer} if task == "vqa" else {})}
    return {"id": f"t{i:02}", "task": task, "prediction": "two", "target": "two", "rows": rows}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    samples = [boxes_sample(i) for i in range(36)] + [text_sample(i) for i in range(22)]
    record = run_record("one", ["phrase_grounding", "vqa", "freeform"], SCORERS)
    RunStore(folder, record).write({"index": 0, "step": 5, "values": {}}, samples)
    return Run(folder)


def test_what_tells_something(run: Run) -> None:
    found = {(one.key, one.by): one.parts for one in StoredBreakdowns(run).telling()}
    values = {
        by: [(one.label, one.num_samples, one.score and round(one.score.value, 2)) for one in parts]
        for by, parts in found.items()
    }
    f1 = "grounding/f1"
    assert list(values) == [
        *((f1, by) for by in ("phrase", "size", "group", "annotator")),
        ("text/bleu", "task"),
    ]  # every sample has one target, and no answer a group
    assert [(label[:9], *rest) for label, *rest in values[f1, "phrase"]] == [
        (HOSTILE[:9], 12, 0.0),
        ("cat", 12, 1.0),
        ("dog", 12, 1.0),
    ]
    assert values[f1, "size"] == [("small", 12, 0.0), ("large", 24, 1.0)]
    assert len(values[f1, "group"]) == 18
    # Bob's twelve samples are of six images: six draws.
    assert values[f1, "annotator"] == [("eve", 24, 0.8), ("bob", 12, None)]
    assert values["text/bleu", "task"] == [("freeform", 11, 1.0), ("vqa", 11, 1.0)]


def test_the_report_has_them_and_what_is_hostile_is_text(run: Run, tmp_path: Path) -> None:
    write_report([run], tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    section = html[html.index('<details class="breakdowns"') : html.index("<footer")]
    assert "grounding/f1 is lowest for phrase" in section
    assert section.count('<div class="part">') == 5
    assert "fewer than 10 independent samples, not scored" in section
    assert "&lt;img src=x onerror=&quot;" in section
    assert "<img" not in section
    assert "\u202e" not in section
    assert Page(html).tags["script"] == 2


def test_the_samples_of_a_group_are_draws_of_their_own_where_it_is_the_part(tmp_path: Path) -> None:
    samples = [{**boxes_sample(i), "group": f"shelf {i % 2}"} for i in range(36)]
    record = run_record("one", ["phrase_grounding"], {"grounding": SCORERS["grounding"]})
    RunStore(tmp_path, record).write({"index": 0, "step": 5, "values": {}}, samples)
    found = StoredBreakdowns(Run(tmp_path))
    by_group = found.of("", "grounding/f1", "group").parts
    assert [(one.num_samples, one.score and one.score.value) for one in by_group] == [(18, 0.8)] * 2
    by_annotator = found.of("", "grounding/f1", "annotator").parts
    assert [one.score for one in by_annotator] == [None, None]  # of two draws each


def test_a_label_that_no_prompt_and_no_phrase_gives(tmp_path: Path) -> None:
    """Boxes without labels are of their sample's prompt, or of nothing that can be named."""
    samples = []
    for i in range(24):
        boxes = [[0.0, 0.0, 9.0, 9.0]]
        (row,) = SCORERS["grounding"].rows([boxes], [boxes])
        one = {"id": str(i), "boxes": boxes, "target": {"boxes": boxes}, "rows": {"grounding": row}}
        samples.append({**one, "prompt": " find the cans "} if i % 2 else one)
    record = run_record("one", ["phrase_grounding"], {"grounding": SCORERS["grounding"]})
    RunStore(tmp_path, record).write({"index": 0, "step": 5, "values": {}}, samples)
    (found,) = StoredBreakdowns(Run(tmp_path)).telling()
    assert [(one.label, one.num_samples) for one in found.parts] == [
        ("", 12),
        ("find the cans", 12),
    ]
    assert "(no label)" in breakdowns_html(["one"], [[found]])


def test_the_error_budget_has_every_box_in_one_bin(tmp_path: Path) -> None:
    """Of 12 boxes 6 are found, 3 drawn far too large, 3 missed; one more is made up in each image."""
    scorer = ErrorBudgetScorer()
    box, large, elsewhere = [0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 19.0, 19.0], [90.0, 90.0, 99.0, 99.0]
    samples = []
    for i in range(12):
        boxes = [[box], [large], [box], []][i % 4] + [elsewhere]
        (row,) = scorer.rows([boxes], [[box]])
        one = {"id": str(i), "boxes": boxes, "target": {"boxes": [box]}}
        samples.append({**one, "rows": {"error_budget": row}})
    record = run_record("one", ["phrase_grounding"], {"error_budget": scorer})
    RunStore(tmp_path, record).write({"index": 0, "step": 5, "values": {}}, samples)
    (budget,) = StoredBreakdowns(Run(tmp_path)).budgets()
    html = breakdowns_html(["one"], [[budget]])
    rows = [row.split("</tr>")[0] for row in html.split('<th scope="row">')[1:]]
    cells = [re.findall(r"[^<>]+(?=</th>|</td>|</b>)", row) for row in rows]
    f1 = 12 / 33  # 6 of 21 predictions and 12 targets
    assert [one[0] for one in cells] == ["correct", "hallucinated", "too big", "missed"]
    assert cells[0][:4] == ["correct", "6", "6", f"{f1:.3f}"]
    assert cells[1][:3] == ["hallucinated", "12", f"{12 / 21:.3f}"]
    assert cells[2][:4] == ["too big", "3", "3", f"{18 / 33:.3f}"]


def test_many_parts_are_folded_and_the_small_ones_are_not_hidden() -> None:
    parts = [part(f"p{i}", i / 10) for i in range(9)]
    parts += [part("odd", NAN), *(part(f"s{i}", None, i) for i in range(1, 15))]
    html = breakdowns_html(["one"], [[Breakdown("shelf", "grounding/f1", "size", parts)]])
    assert "grounding/f1 is lowest for size of box" in html
    assert "shelf: grounding/f1 by size of box" in html
    assert "<summary>4 more</summary>" in html
    assert "<b>0.100</b> [0.000, 0.200]" in html
    assert "undefined" in html
    assert all(f">s{i}</bdi> ({i})" in html for i in range(1, 15))
    assert "<summary>2 more</summary>" in html
    many = [part(f"p{i}", 0.5) for i in range(300)]
    html = breakdowns_html(["one"], [[Breakdown("", "grounding/f1", "size", many)]])
    assert "294 more, of which 194 are in this page" in html
    assert html.count("<td>12</td>") == 200


def test_nothing() -> None:
    assert breakdowns_html(["one"], [[]]) == ""
    assert breakdowns_html([], []) == ""


def test_rows_that_cannot_be_read_leave_a_report_without_breakdowns(tmp_path: Path) -> None:
    samples = [{**boxes_sample(i), "boxes": [["none"]]} for i in range(24)]
    record = run_record("one", ["phrase_grounding"], {"grounding": SCORERS["grounding"]})
    RunStore(tmp_path, record).write({"index": 0, "step": 5, "values": {}}, samples)
    assert {one.by for one in StoredBreakdowns(Run(tmp_path)).telling()} == {"group"}


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_in_a_browser_with_and_without_scripts(run: Run, tmp_path: Path) -> None:
    write_report([run, run], tmp_path / "report.html")
    address = (tmp_path / "report.html").as_uri()
    with Browser(tmp_path / "profile") as page:
        for scripts in (True, False):
            page.open(address, width=390, dark=scripts, scripts=scripts)
            if scripts:
                page.wait("document.documentElement.dataset.ready")
                assert page.run("document.querySelectorAll('.viewer > .breakdowns').length") == 1
            page.run("document.getElementById('breakdowns').open = true")
            assert page.run("document.querySelectorAll('#breakdowns .part').length") == 10
            assert page.run("document.getElementById('breakdowns').offsetHeight") > 500
            assert page.run("document.documentElement.scrollWidth") == 390
            assert page.run("window.PWNED") is None
            assert page.complaints == []
