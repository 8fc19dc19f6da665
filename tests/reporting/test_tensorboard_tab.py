"""TensorBoard's tab: what its server gives and refuses, what the browser shows."""

import gzip
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.plugins import base_plugin
from torch.utils.tensorboard import SummaryWriter

from lightning_vlmeval.reporting import tensorboard_plugin
from lightning_vlmeval.reporting.run_folders import RefusedError, RunFolder, run_folders
from lightning_vlmeval.reporting.tensorboard_events import write_marker
from tests.reporting.browser import CHROMIUM, Browser
from tests.reporting.made_runs import HOSTILE, make_run
from tests.reporting.tensorboard_server import TensorBoard

IMAGE = "c" * 32 + ".jpg"
ROOT = Path(__file__).resolve().parents[2]


def mark(folder: Path) -> None:
    writer = SummaryWriter(str(folder))
    assert write_marker(writer)
    writer.close()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with the mark, one without, and traps."""
    logs = tmp_path_factory.mktemp("logs")
    secret = logs.parent / "secret.txt"
    secret.write_text("SECRET")
    (logs.parent / "secret.gz").write_bytes(gzip.compress(b"SECRET"))
    for i, name in enumerate(("one", "two")):
        make_run(logs / name, num_samples=30, num_evaluations=5, name=name, seed=i)
        mark(logs / name)
    make_run(logs / "unmarked", num_samples=8, num_evaluations=1)
    for images in logs.glob("*/vlmeval/images"):  # there is a picture of this name to be had
        shutil.copy(next(images.iterdir()), images / IMAGE)
    folder = logs / "one" / "vlmeval"
    (folder / "images" / f"{'a' * 32}.jpg").symlink_to(secret)
    (folder / "images" / f"{'b' * 32}.jpg").write_bytes(b"<svg onload=alert(1)>")
    (folder / "evals" / "000000099.jsonl.gz").symlink_to(logs.parent / "secret.gz")
    (folder / "evals" / "000000098.summary.json").write_text("{}")  # not whole
    (logs / "one" / "vlmeval-link").symlink_to(logs / "unmarked" / "vlmeval")
    return logs


@pytest.fixture(scope="module")
def server(logs: Path) -> Iterator[TensorBoard]:
    with TensorBoard("--logdir", str(logs), log=logs.parent / "log") as server:
        yield server


def ask(server: TensorBoard, path: str, **parameters: str) -> tuple[int, str, bytes]:
    """The status, the type and the body of an answer."""
    query = urllib.parse.urlencode(parameters, errors="surrogatepass")
    url = f"{server.url}data/plugin/vlmeval/{path}?{query}"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            body = answer.read()
            if answer.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            return answer.status, answer.headers["Content-Type"], body
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def runs_of(server: TensorBoard) -> list[dict[str, Any]]:
    """The runs, once TensorBoard has read its event files."""
    for _ in range(300):
        found: list[dict[str, Any]] = json.loads(ask(server, "runs")[2])
        if len({one["run"] for one in found}) == 2:
            return found
        subprocess.run(["sleep", "0.1"], check=True)
    raise AssertionError("TensorBoard does not list the runs")


def test_the_runs_with_the_mark_are_there(server: TensorBoard, logs: Path) -> None:
    found = {(one["run"], one["folder"]): one for one in runs_of(server)}
    assert found.keys() == {("one", "vlmeval"), ("two", "vlmeval")}
    assert found["two", "vlmeval"]["indices"] == [0, 1, 2, 3, 4]
    assert found["two", "vlmeval"]["samples"] == [0]
    evaluations = json.loads(ask(server, "evaluations", run="two", folder="vlmeval")[2])
    stored = json.loads((logs / "two/vlmeval/evals/000000003.summary.json").read_text())
    assert evaluations["evaluations"][3] == stored
    assert evaluations["directions"]["val/grounding/fp"] == "lower"
    status, kind, body = ask(server, "lines", run="two", folder="vlmeval", kind="evals", index="3")
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert body == gzip.decompress((logs / "two/vlmeval/evals/000000003.jsonl.gz").read_bytes())


def test_a_picture(server: TensorBoard, logs: Path) -> None:
    runs_of(server)
    path = logs / "one" / "vlmeval" / "images" / IMAGE
    status, kind, body = ask(server, "image", run="one", folder="vlmeval", name=IMAGE)
    assert (status, kind, body) == (200, "image/jpeg", path.read_bytes())


REFUSED = [
    ("image", {"run": "../..", "name": IMAGE}),
    ("image", {"run": "one/../one", "name": IMAGE}),
    ("image", {"run": "/etc", "name": IMAGE}),
    ("image", {"run": "unmarked", "name": IMAGE}),
    ("image", {"run": "one/../unmarked", "name": IMAGE}),
    ("image", {"run": "./one", "name": IMAGE}),
    ("image", {"run": "one\x00", "name": IMAGE}),
    ("image", {"run": "<script>", "name": IMAGE}),
    ("image", {"folder": "", "name": IMAGE}),
    ("image", {"folder": ".", "name": IMAGE}),
    ("image", {"folder": "vlmeval/../vlmeval", "name": IMAGE}),
    ("image", {"folder": "../two/vlmeval", "name": IMAGE}),
    ("image", {"folder": "vlmeval-../../x", "name": IMAGE}),
    ("image", {"folder": "vlmeval-link", "name": IMAGE}),
    ("image", {"name": "../run.json"}),
    ("image", {"name": "../../../../secret.txt"}),
    ("image", {"name": f"{'a' * 32}.jpg"}),
    ("image", {"name": f"{'b' * 32}.jpg"}),
    ("image", {"name": f"{'c' * 32}.svg"}),
    ("image", {"name": IMAGE + "\n"}),
    ("image", {}),
    ("lines", {"kind": "evals", "index": "99"}),
    ("lines", {"kind": "evals", "index": "7"}),
    ("lines", {"kind": "evals", "index": "-1"}),
    ("lines", {"kind": "evals", "index": "../3"}),
    ("lines", {"kind": "evals", "index": "\N{ARABIC-INDIC DIGIT THREE}"}),
    ("lines", {"kind": "evals", "index": "1\n"}),
    ("lines", {"kind": "evals", "index": "1" * 100}),
    ("lines", {"kind": "images", "index": "1"}),
    ("lines", {"kind": "..", "index": "1"}),
    ("lines", {}),
    ("evaluations", {"folder": "vlmeval-link"}),
    ("evaluations", {"run": "two/../two"}),
    ("evaluations", {"folder": "vlmeval-link/../vlmeval"}),
]


@pytest.mark.parametrize(("path", "parameters"), REFUSED)
def test_what_is_refused(server: TensorBoard, path: str, parameters: dict[str, str]) -> None:
    runs_of(server)
    status, kind, body = ask(server, path, **{"run": "one", "folder": "vlmeval", **parameters})
    assert status in (400, 404)
    assert kind == "text/plain; charset=utf-8"
    assert b"SECRET" not in body
    assert b"<" not in body


def test_names_of_static_files_are_fixed(server: TensorBoard) -> None:
    for name in ("viewer.js/../../report.py", "..%2freport.py", "report.js", ""):
        assert ask(server, name)[0] == 404


def test_the_entry_point_is_the_loader() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(r"\[project.entry-points.tensorboard_plugins\]\nvlmeval = \"(.*)\"", text)
    assert match
    entry = importlib.metadata.EntryPoint("vlmeval", match[1], "tensorboard_plugins")
    assert entry.load() is tensorboard_plugin.VLMEvalLoader


def test_a_fault_of_ours_is_no_fault_of_tensorboards(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    context = base_plugin.TBContext(logdir="/tmp", flags=None)
    assert tensorboard_plugin.VLMEvalLoader().load(context) is not None
    for broken in (None, object()):  # as if it could not be imported; as if it had no tab
        monkeypatch.setitem(sys.modules, "lightning_vlmeval.reporting.tensorboard_tab", broken)
        assert tensorboard_plugin.VLMEvalLoader().load(context) is None
    assert "The tab 'VLM Eval' is left out" in caplog.text


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from tensorboard.plugins import base_plugin\n"
        "from lightning_vlmeval.reporting.tensorboard_plugin import VLMEvalLoader\n"
        "first = set(sys.modules)\n"
        "assert 'lightning_vlmeval.reporting.tensorboard_tab' not in first\n"
        "tab = VLMEvalLoader().load(base_plugin.TBContext(logdir='/tmp', flags=None))\n"
        "assert tab.frontend_metadata().tab_name == 'VLM Eval'\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "torch",
        "pytorch_lightning",
        "lightning",
        "torchmetrics",
        "transformers",
        "PIL",
        "tensorflow",
    }
    assert not {name.split(".")[0] for name in done.stdout.split()} & heavy


def test_remote_files_are_read_through_tensorboards_own_layer(logs: Path) -> None:
    """As s3 and gs are: by an address, with no path of this machine."""
    fsspec = pytest.importorskip("fsspec", reason="TensorBoard reads remote files by fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(logs / "one" / "vlmeval"), "/runs/one/vlmeval", recursive=True)
    try:
        assert run_folders("memory://runs/one") == ["vlmeval"]
        here, there = (
            RunFolder(str(logs / "one"), "vlmeval"),
            RunFolder("memory://runs/one", "vlmeval"),
        )
        assert there.indices("evals")[:5] == [0, 1, 2, 3, 4]
        assert there.summaries() == here.summaries()
        assert there.lines("evals", "3") == here.lines("evals", "3")
        assert there.image(IMAGE) == here.image(IMAGE)
        with pytest.raises(RefusedError):
            there.image("d" * 32 + ".jpg")
        with pytest.raises(RefusedError):
            RunFolder("memory://runs/two", "vlmeval")
    finally:
        memory.rm("/runs", recursive=True)


def test_several_log_folders(logs: Path, tmp_path: Path) -> None:
    spec = f"a:{logs / 'one'},b:{logs / 'two'}"
    with TensorBoard("--logdir_spec", spec, log=tmp_path / "log") as server:
        found = runs_of(server)
        assert {one["run"] for one in found} == {"a/.", "b/."} or {one["run"] for one in found} == {
            "a",
            "b",
        }
        run = next(one["run"] for one in found if one["run"].startswith("b"))
        assert ask(server, "lines", run=run, folder="vlmeval", kind="evals", index="3")[0] == 200


FRAME = "document.querySelector('iframe').contentDocument"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_the_tab_in_a_browser(server: TensorBoard, logs: Path, tmp_path: Path) -> None:
    runs_of(server)
    with Browser(tmp_path) as page:
        page.open(f"{server.url}#vlmeval")
        page.wait(f"document.querySelector('iframe') && {FRAME}?.documentElement?.dataset.ready")
        cards = f"[...{FRAME}.querySelectorAll('.card')].map(card => card.dataset.id)"
        boxes = (
            f"[...{FRAME}.querySelectorAll('.box.tp, .box.fp')].map(box => box.innerHTML).join()"
        )
        ids, last = page.run(cards), page.run(boxes)
        assert len(ids) == 24
        slider = f"{FRAME}.querySelector('[aria-label=checkpoint]')"
        page.run(f"{slider}.value = 0; {slider}.dispatchEvent(new Event('input'))")
        page.wait(f"{FRAME}.querySelector('.place').textContent.startsWith('untrained, step 0')")
        assert page.run(cards) == ids
        assert page.run(boxes) != last
        search = f"{FRAME}.querySelector('[aria-label=search]')"
        page.run(f"{search}.value = 'onerror'; {search}.dispatchEvent(new Event('input'))")
        page.wait(f"{FRAME}.querySelectorAll('.card').length === 2")
        said = page.run(f"{FRAME}.querySelector('.card .said').textContent")
        assert said == HOSTILE.replace("\u202e", "⟨U+202E⟩")
        assert page.run(f"{FRAME}.defaultView.PWNED") is None
        assert page.run(
            f"[...{FRAME}.images].every(image => !image.complete || image.naturalWidth > 0)"
        )
        strangers = [
            url for url in page.requests if not url.startswith((server.url, "data:", "blob:"))
        ]
        assert strangers == []
        # TensorBoard's own pages complain of their own libraries.
        ours = ("vlmeval", "iframe", "Content Security Policy", "Uncaught", "404", "500")
        assert [one for one in page.complaints if any(word in one for word in ours)] == []


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_the_tab_is_as_dark_as_tensorboard(server: TensorBoard, tmp_path: Path) -> None:
    """TensorBoard's own switch, against what the system asks for."""
    runs_of(server)
    back = f"{FRAME}.defaultView.getComputedStyle({FRAME}.body).backgroundColor"
    with Browser(tmp_path) as page:
        page.open(f"{server.url}#vlmeval")
        page.wait(f"document.querySelector('iframe') && {FRAME}?.documentElement?.dataset.ready")
        assert page.run(back) == "rgb(255, 255, 255)"
        for mode, colour in (("Dark", "rgb(20, 24, 29)"), ("Light", "rgb(255, 255, 255)")):
            page.run("document.querySelector('app-header-dark-mode-toggle button').click()")
            item = (
                "[...document.querySelectorAll('.mat-mdc-menu-panel button')]"
                f".find(one => one.textContent.includes('{mode}'))"
            )
            page.wait(item)
            page.run(f"{item}.click()")
            page.wait(f"{back} === '{colour}'")
            page.wait("!document.querySelector('.mat-mdc-menu-panel')")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_the_tab_follows_a_run_that_goes_on(logs: Path, tmp_path: Path) -> None:
    run = tmp_path / "logs" / "run"
    make_run(run, num_samples=8, num_evaluations=3)
    mark(run)
    last = [
        path for path in (run / "vlmeval" / "evals").iterdir() if path.name.startswith("000000002")
    ]
    for path in last:
        shutil.move(path, tmp_path / path.name)
    with (
        TensorBoard("--logdir", str(tmp_path / "logs"), log=tmp_path / "log") as server,
        Browser(tmp_path / "p") as page,
    ):
        page.open(f"{server.url}#vlmeval")
        page.wait(f"document.querySelector('iframe') && {FRAME}?.documentElement?.dataset.ready")
        page.wait(f"{FRAME}.querySelector('.place')?.textContent.includes('2 of 2')")
        for path in sorted(last, reverse=True):
            shutil.move(tmp_path / path.name, path)
        page.wait(f"{FRAME}.querySelector('.place').textContent.includes('3 of 3')")
