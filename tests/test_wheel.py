"""A wheel holds all that the package needs, and works where it is installed, outside the tree."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.runs.made_runs import grounding_run

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "lightning_vlmeval"
NO_CACHE = shutil.ignore_patterns("__pycache__")


def _can_build() -> bool:
    try:
        return int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not _can_build(), reason="building takes setuptools 77")

_SERVED = """
import importlib.metadata, sys
from pathlib import Path
from tensorboard.plugins import base_plugin
from werkzeug.test import Client
import lightning_vlmeval

place = Path(sys.argv[1])
assert Path(lightning_vlmeval.__file__).is_relative_to(place), lightning_vlmeval.__file__
(found,) = importlib.metadata.distributions(name="lightning-vlmeval", path=[str(place)])
(entry,) = found.entry_points.select(group="tensorboard_plugins")
tab = entry.load()().load(base_plugin.TBContext(logdir=str(place), flags=None))
for path, answer in tab.get_plugin_apps().items():
    if path.endswith((".js", ".css")):
        response = Client(answer).get(path)
        assert (response.status_code, len(response.data) > 500) == (200, True), path
        print(path)
"""


def run(*command: str | Path, cwd: Path, place: Path | None = None) -> str:
    env = {**os.environ, "PYTHONPATH": str(place or "")}
    ran = subprocess.run(
        [str(one) for one in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_a_wheel(tmp_path: Path) -> None:
    source, place = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(ROOT / PACKAGE, source / PACKAGE, ignore=NO_CACHE)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    run(*pip, "wheel", *offline, "--no-build-isolation", "-w", tmp_path, ".", cwd=source)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == files
    assert {
        f"{PACKAGE}/py.typed",
        f"{PACKAGE}/reporting/static/viewer.js",
        f"{PACKAGE}/demo/checkpoint/model.safetensors",
    } <= names

    run(*pip, "install", *offline, "--target", place, wheel, cwd=tmp_path)
    shutil.rmtree(source)
    command = place / "bin" / "lightning-vlmeval"
    assert "compare" in run(command, "--help", cwd=tmp_path, place=place)
    grounding_run(tmp_path / "version_0", [(9, 9), (0, 9)])
    listed = run(command, "runs", ".", cwd=tmp_path, place=place)
    assert "val/grounding/f1" in listed
    report = run(command, "report", "version_0", "-o", "page.html", cwd=tmp_path, place=place)
    assert report.startswith("page.html: ")
    served = run(sys.executable, "-c", _SERVED, place, cwd=tmp_path, place=place).split()
    assert {"/index.js", "/viewer.css", "/chart.js"} <= set(served)
