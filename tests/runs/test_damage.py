"""Whatever file of a run is damaged, and however: one of our errors, never a traceback."""

import contextlib
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_vlmeval.cli.main import DATA, OK, main
from lightning_vlmeval.errors import VLMEvalError
from lightning_vlmeval.reporting.report import write_report
from lightning_vlmeval.runs.run import Run
from tests.runs.made_runs import grounding_run

ODD_SUMMARY = b"""{"index": "x", "step": [], "values": {"val/grounding/f1": 1e999}, "intervals": 3,
    "accounting": 4, "verdict": "x", "findings": {"a": 1}, "fingerprint": 3, "val_loss": "x"}"""
ODD_RECORD = b"""{"format": 1, "scorers": {"grounding": 3}, "columns": {"grounding": 3}, "tasks": [],
    "model": {}}"""
ODD_SAMPLE = b"""{"id": "scene-0000", "boxes": 3, "labels": 4, "matches": [1], "rows": {}, "target": 4,
    "scores": {"grounding/f1": "x"}, "image": 7, "size": "x", "group": [], "issues": 3}"""

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "noise": lambda _: b"\xff\x00" * 40,
    "an array": lambda _: b"[1]",
    "an array, compressed": lambda _: gzip.compress(b"[1]\n"),
    "no text, compressed": lambda _: gzip.compress(b"\xff{"),
    "odd fields": lambda _: ODD_SUMMARY,
    "an odd record": lambda _: ODD_RECORD,
    "an odd sample": lambda _: gzip.compress(ODD_SAMPLE.replace(b"\n", b" ")),
}
FILES = [
    "run.json",
    "samples/000000000.jsonl.gz",
    "evals/000000000.jsonl.gz",
    "evals/000000000.summary.json",
    "evals/000000001.jsonl.gz",
    "evals/000000001.summary.json",
]


def read_all(folder: Path) -> None:
    run = Run(folder)
    for position in range(len(run.evaluations)):
        run.scores(position)
        run.samples(position)
    run.table(-1, "grounding")
    run.history("scene-0000")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", DAMAGES)
def test_damage_is_told_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    whole = grounding_run(tmp_path / "whole")
    folder = tmp_path / "damaged" / "vlmeval"
    shutil.copytree(whole, folder)
    path = folder / name
    path.write_bytes(DAMAGES[how](path.read_bytes()))
    for read in (read_all, lambda run: write_report([Run(run)], tmp_path / "report.html")):
        with contextlib.suppress(VLMEvalError):  # any other error fails the test
            read(folder)
    for command in (["compare", str(folder), str(whole)], ["breakdown", str(folder)]):
        assert main(command) in (OK, DATA, 2, 3)
    assert main(["runs", str(tmp_path)]) == OK
    assert "Traceback" not in capsys.readouterr().err
