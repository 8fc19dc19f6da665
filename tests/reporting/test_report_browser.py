"""The report in a browser."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.reporting.report import write_report
from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import RunStore
from lightning_vlmeval.session.outputs import Batch
from lightning_vlmeval.session.sample_log import SampleLog
from tests.reporting.browser import CHROMIUM, Browser
from tests.reporting.made_runs import HOSTILE, make_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

BOXES = "JSON.stringify([...document.querySelectorAll('.card .box.tp, .card .box.fp')].map(box => box.innerHTML))"
IDS = "[...document.querySelectorAll('.card')].map(card => card.dataset.id)"


def control(label: str) -> str:
    return f"""document.querySelector('[aria-label="{label}"]')"""


def choose(page: Browser, label: str, value: str) -> None:
    """Choose an option as a person does, and wait for the cards."""
    page.run("window.before = document.querySelector('.card')")
    page.run(
        f"(s => {{ s.value = '{value}'; s.dispatchEvent(new Event('change')) }})({control(label)})"
    )
    page.wait("document.querySelector('.card') !== window.before")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    runs = [
        Run(make_run(folder / name, name=name, seed=i)) for i, name in enumerate(("one", "two"))
    ]
    write_report(runs, folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Browser]:
    browser.open(address)
    browser.wait("document.documentElement.dataset.ready")
    yield browser
    # Whatever a test does: no complaint, no request, and no text that became a script.
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [address]
    assert browser.run("window.PWNED") is None


def test_the_slider_moves_the_boxes_of_the_same_samples(page: Browser) -> None:
    ids, last = page.run(IDS), page.run(BOXES)
    assert len(ids) == 24
    page.run(
        f"(s => {{ s.value = 0; s.dispatchEvent(new Event('input')) }})({control('checkpoint')})"
    )
    page.wait("document.querySelector('.place').textContent.startsWith('untrained, step 0')")
    assert page.run(IDS) == ids
    assert page.run(BOXES) != last
    page.press("ArrowRight")
    page.wait("document.querySelector('.place').textContent.startsWith('step 60')")


def test_each_box_is_drawn_as_what_it_is(page: Browser) -> None:
    """At an evaluation in which predictions and targets are matched across their order."""
    choose(page, "beside", "")
    page.run(
        f"(s => {{ s.value = 3; s.dispatchEvent(new Event('input')) }})({control('checkpoint')})"
    )
    page.wait("document.querySelector('.place').textContent.startsWith('step 180')")
    choose(page, "sort", "id")
    page.run("document.querySelector('.more').click()")
    page.wait("document.querySelectorAll('.card').length === 60")
    drawn = page.run(
        "Object.fromEntries([...document.querySelectorAll('.card')].map(c => [c.dataset.id,"
        " [...c.querySelectorAll('.panel:last-child .box')].map(b => [b.classList[1],"
        " ...['x', 'y'].map(a => Number(b.lastChild.getAttribute(a)))])]))"
    )
    run = json.loads(page.run("document.getElementById('data').textContent"))["runs"][0]
    targets = {one["id"]: one["target"] for one in run["statics"] if "boxes" in one["target"]}
    seen = 0
    for row in run["rows"][3]:
        if row["id"] not in targets or row["id"] not in drawn:
            continue
        found = {target for _, target, _ in row.get("matches", [])}
        right = {prediction for prediction, _, _ in row.get("matches", [])}
        expected = [
            ["gt" if i in found else "fn", *map(min, zip(box[:2], box[2:], strict=True))]
            for i, box in enumerate(targets[row["id"]]["boxes"])
        ] + [
            ["tp" if i in right else "fp", *map(min, zip(box[:2], box[2:], strict=True))]
            for i, box in enumerate(row.get("boxes", []))
        ]
        assert drawn[row["id"]] == expected
        seen += found != right
    assert seen > 0


@pytest.mark.parametrize(
    ("outcome", "selector"),
    [("tp", ".pill.tp"), ("fp", ".pill.fp"), ("fn", ".pill.fn"), ("failed", ".pill.failed")],
)
def test_a_filter_leaves_the_answers_it_names(page: Browser, outcome: str, selector: str) -> None:
    choose(page, "beside", "")
    page.run(
        f"(s => {{ s.value = 1; s.dispatchEvent(new Event('input')) }})({control('checkpoint')})"
    )
    page.wait("document.querySelector('.place').textContent.startsWith('step 60')")
    choose(page, "outcome", outcome)
    cards = page.run("document.querySelectorAll('.card').length")
    assert 0 < cards < 60
    assert page.run(
        f"[...document.querySelectorAll('.card')].every(c => c.querySelector('{selector}'))"
    )


def test_right_and_wrong_answers_are_all_answers(page: Browser) -> None:
    counts = {}
    for outcome in ("error", "right"):
        choose(page, "outcome", outcome)
        counts[outcome] = int(
            page.run("document.querySelector('[role=status]').textContent").split()[0]
        )
    assert counts["error"] > 0
    assert counts["right"] > 0
    assert sum(counts.values()) == 60


def scores(page: Browser) -> list[float]:
    texts = page.run(
        "[...document.querySelectorAll('.card')].map(c => c.querySelector('.answer .muted').textContent)"
    )
    return [float(text.split()[-1]) for text in texts if text.split()[-1] != "\N{EN DASH}"]


def test_orders(page: Browser) -> None:
    shown = scores(page)
    assert shown == sorted(shown)
    assert len(set(shown)) > 1
    status = "document.querySelector('[role=status]').textContent"
    counts = {}
    for order in ("improved", "broken", "unsolved", "drop", "differ", "id"):
        choose(page, "sort", order)
        counts[order] = int(page.run(status).split()[0])
        ids = page.run(IDS)
    assert ids == sorted(ids)
    assert counts["differ"] == counts["id"] == 60
    assert 0 < counts["improved"] < 60
    assert counts["broken"] <= counts["drop"] < 60
    assert 0 < counts["unsolved"] < 60


def test_newly_broken_and_never_solved_are_what_the_run_says(page: Browser) -> None:
    """Against the same questions asked of the page's data."""
    data = json.loads(page.run("document.getElementById('data').textContent"))
    run = data["runs"][0]
    wanted = {
        one["id"]: one["target"]["boxes"] for one in run["statics"] if "boxes" in one["target"]
    }

    def is_right(row: dict[str, Any]) -> bool:
        matched = len(row.get("matches", []))
        counts = {len(row.get("boxes", [])), len(wanted[row["id"]]), matched}
        return counts == {matched} and not row.get("unparsable")

    rows = [
        {row["id"]: is_right(row) for row in rows if row["id"] in wanted} for rows in run["rows"]
    ]
    unsolved = {name for name in rows[-1] if not any(one[name] for one in rows)}
    broken = {name for name in rows[-1] if rows[-2][name] and not rows[-1][name]}
    assert unsolved
    boxes = "[...document.querySelectorAll('.card')].filter(c => c.querySelector('.panels:not(.aside)')).map(c => c.dataset.id)"
    for order, expected in (("unsolved", unsolved), ("broken", broken)):
        page.run(
            f"(s => {{ s.value = '{order}'; s.dispatchEvent(new Event('change')) }})({control('sort')})"
        )
        page.run("new Promise(done => setTimeout(done, 200))")
        assert set(page.run(boxes)) == expected


def test_hostile_text_stays_text(page: Browser) -> None:
    page.run(
        f"(s => {{ s.value = 'onerror'; s.dispatchEvent(new Event('input')) }})({control('search')})"
    )
    page.wait("document.querySelectorAll('.card').length === 3")
    said = page.run("document.querySelector('.card .said').textContent")
    assert said == HOSTILE.replace("\u202e", "⟨U+202E⟩")
    assert (
        page.run("document.querySelectorAll('.card script, .card img[src=x], .card a').length") == 0
    )


def test_words_and_fields_are_compared(page: Browser) -> None:
    page.run(
        f"(s => {{ s.value = 1; s.dispatchEvent(new Event('input')) }})({control('checkpoint')})"
    )
    choose(page, "sort", "id")
    page.run("document.querySelector('.more').click()")
    page.wait("document.querySelectorAll('.card').length === 60")
    kinds = page.run(
        "['ins', 'del', '.words span', '.fields .right', '.fields .wrong', '.fields .missing', '.fields .extra'].map(k => document.querySelectorAll(k).length)"
    )
    assert all(kinds)


STRUCTURED = [
    # format, answer, target, and the rows of the table: state, field, target, answer
    (
        "yaml",
        f"type: hole\nsize: {{width: 2}}\nnote: {json.dumps(HOSTILE[:40])}\n",
        "type: dent\nsize: {width: 2}\ncount: 1\n",
        [
            ("wrong", "type", "dent", "hole"),
            ("right", "size.width", "2", "2"),
            ("missing", "count", "1", "\N{EN DASH}"),
            ("extra", "note", "\N{EN DASH}", HOSTILE[:40]),
        ],
    ),
    (
        "csv",
        "type,count\ndent,3\n",
        [{"type": "dent", "count": "2"}],
        [("right", "[0].type", "dent", "dent"), ("wrong", "[0].count", "2", "3")],
    ),
    ("json", "{'type': 'dent',}", {"type": "dent"}, [("right", "type", "dent", "dent")]),
    (
        "json",
        '```json\n{"type": "dent"}\n```',
        '{"type": "dent"}',
        [("right", "type", "dent", "dent")],
    ),
    ("yaml", "there is: a: hole", {"type": "dent"}, None),
]


def test_yaml_and_csv_are_compared_field_by_field(browser: Browser, tmp_path: Path) -> None:
    samples = []
    for number, (kind, answer, target, _) in enumerate(STRUCTURED):
        log = SampleLog(0.5, "xyxy", 0, StructuredOutputScorer(format=kind))
        log.add(Batch([answer], [target]), [str(number)], "", None)
        samples += log.samples
    record = run_record("first", ["freeform"], {"structured": StructuredOutputScorer()})
    RunStore(tmp_path, record).write({"index": 0, "step": 0, "values": {}}, samples)
    write_report([Run(tmp_path)], tmp_path / "report.html")
    browser.open((tmp_path / "report.html").as_uri())
    browser.wait("document.documentElement.dataset.ready")
    choose(browser, "sort", "id")
    shown = browser.run(
        "[...document.querySelectorAll('.card')].map(c => [c.querySelector('.answer > p.muted')?.textContent ?? null,"
        " [...c.querySelectorAll('.fields tr:not(:first-child)')].map(r => [r.className, ...[...r.cells].slice(1).map(d => d.textContent)])])"
    )
    for (unread, rows), (*_, expected) in zip(shown, STRUCTURED, strict=True):
        assert [tuple(row) for row in rows] == (expected or [])
        assert unread == (None if expected else "No fields can be read in the answer.")
    assert browser.run("window.PWNED") is None
    assert browser.complaints == []


def test_two_runs_stand_side_by_side(page: Browser) -> None:
    assert page.run("document.querySelector('.card .panels').children.length") == 3
    choose(page, "beside", "")
    assert page.run("document.querySelector('.card .panels').children.length") == 2
    choose(page, "run", "1")
    assert page.run("document.querySelector('.verdict b').textContent") == "two: overfitting"
    assert "Best of all at evaluation 3." in page.run(
        "document.querySelector('.summary').innerText"
    )


def test_a_finding_shows_its_samples(page: Browser) -> None:
    page.run("document.querySelector('.finding button').click()")
    page.wait("document.querySelectorAll('.card').length === 5")
    page.run("[...document.querySelectorAll('.bar button')].find(b => !b.hidden).click()")
    page.wait("document.querySelectorAll('.card').length === 24")


def test_keys(page: Browser) -> None:
    page.press("/")
    assert page.run("document.activeElement.getAttribute('aria-label')") == "search"
    page.press("Escape")
    page.press("j")
    page.press("j")
    assert page.run("document.activeElement === document.querySelectorAll('.card')[1]")
    truth = "document.querySelectorAll('.card .box.gt, .card .box.fn').length"
    before = page.run(truth)
    page.press("g")
    page.wait(f"{truth} < {before}")


def test_every_control_has_a_name(page: Browser) -> None:
    nameless = page.run(
        "[...document.querySelectorAll('input, select, button, .card, svg[role=img], img')].filter(e =>"
        " !(e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent || e.alt)).length"
    )
    assert nameless == 0


def test_the_sheet_is_exported(page: Browser, tmp_path: Path) -> None:
    page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.run("document.querySelector('#sheet select').value = 'wrong'")
    page.run("document.querySelector('#sheet input').value = '=HYPERLINK(1)'")
    page.run("document.getElementById('export').click()")
    file = tmp_path / "checked-by-hand.csv"
    for _ in range(200):
        page.run("new Promise(done => setTimeout(done, 20))")
        if file.exists():
            break
    lines = file.read_text(encoding="utf-8-sig").split("\n")
    assert len([line for line in lines if line]) == 26
    assert '"wrong","","","","\'=HYPERLINK(1)"' in lines[1]


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, True)])
def test_widths_and_darkness(page: Browser, address: str, width: int, dark: bool) -> None:
    page.open(address, width=width, dark=dark)
    page.wait("document.documentElement.dataset.ready")
    assert page.run("document.documentElement.scrollWidth") == width
    back = page.run("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")


def test_it_reads_without_scripts(browser: Browser, address: str) -> None:
    browser.open(address, scripts=False)
    document = browser.command("DOM.getDocument", depth=0)["root"]["nodeId"]
    found = {
        selector: len(
            browser.command("DOM.querySelectorAll", nodeId=document, selector=selector)["nodeIds"]
        )
        for selector in (
            "#static .verdict",
            "#static .finding",
            "#static .chart svg",
            "#static td",
            "#sheet tbody tr",
        )
    }
    browser.command("Emulation.setScriptExecutionDisabled", value=False)
    assert all(found.values()), found
    assert found["#sheet tbody tr"] == 25


def test_the_policy_refuses_what_is_not_the_pages_own(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.wait("document.documentElement.dataset.ready")
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.PWNED = 1'}))"
    )
    assert browser.run("window.PWNED") is None
    assert (
        browser.run("fetch('https://example.invalid/').then(() => 'asked', () => 'refused')")
        == "refused"
    )
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)
