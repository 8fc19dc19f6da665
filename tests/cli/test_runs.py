"""``runs``: what there is, the best values, and where they go from run to run."""

import json
import re
from pathlib import Path

import pytest

from lightning_vlmeval.cli.main import DATA, OK, main
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.store import RunStore
from lightning_vlmeval.runs.unfinished import PartWriter
from tests.runs.made_runs import grounding_run


def made(folder: Path, number: int, shift: float, images: int = 1, **kwargs: object) -> None:
    """A run whose first evaluation is the better one, made a day after the one before."""
    path = grounding_run(
        folder / f"version_{number}", [(shift, 9) * images, (9, 9) * images], **kwargs
    )
    record = json.loads((path / "run.json").read_text())
    record["created"] = f"2026-11-{10 + number:02d}T08:30:00+00:00"
    (path / "run.json").write_text(json.dumps(record))


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["runs", *arguments, "--format", "json"]) == OK
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_one_line_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, 1, 9)
    made(tmp_path, 0, 0)
    assert main(["runs", str(tmp_path)]) == OK
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "created", "evaluations", "step", "val/grounding/f1", "verdict"]
    assert re.fullmatch(r"version_0/vlmeval +2026-11-10 08:30 +2 +10 +0\.500 @ 0 +ok", first)
    assert re.fullmatch(r"version_1/vlmeval +2026-11-11 08:30 .* 0\.000 @ 0 +ok", second)


def test_values_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, 0, 0)
    found = listed(capsys, str(tmp_path), "--keys", "val/grounding/fp,val/grounding/iou,val/x")
    assert found == {
        "runs": [
            {
                "path": str(tmp_path / "version_0" / "vlmeval"),
                "name": "first",
                "created": "2026-11-10T08:30:00+00:00",
                "evaluations": 2,
                "step": 10,
                "best": {
                    "val/grounding/fp": {"value": 1.0, "step": 0},  # lower is better
                    "val/grounding/iou": {"value": 1.0, "step": 0},  # undefined later
                    "val/x": {"value": None, "step": None},
                },
                "state": "ok",
                "unfinished": 0,
            }
        ],
        "trends": {},
    }


def test_an_evaluation_that_never_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, 0, 0)
    writer = PartWriter(tmp_path / "version_0" / "vlmeval", 0, 1)
    writer.begin(2)
    writer.add([{"id": "a"}, {"id": "b"}], now=True)
    assert main(["runs", str(tmp_path)]) == OK
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "version_0/vlmeval: an evaluation is not finished; 2 of its answers are there"
    (run,) = listed(capsys, str(tmp_path))["runs"]  # type: ignore[misc]
    assert run["unfinished"] == 2
    (part,) = (tmp_path / "version_0" / "vlmeval.unfinished").iterdir()
    part.write_bytes(b"")
    assert main(["runs", str(tmp_path)]) == OK
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert "expected a whole gzip file" in said.err


def test_a_trend_over_three_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mean IoU from (1/19 + 1/19) / 2 to (7/13 + 1/19) / 2, alike in each of six images."""
    for number in range(2):
        made(tmp_path, number, 9 - number, images=6)
    assert listed(capsys, str(tmp_path), "--keys", "val/grounding/mean_iou")["trends"] == {}
    other = GroundingScorer(iou_threshold=0.75)
    made(tmp_path, 2, 2, images=6, scorer=other)  # which does not compare with those before
    assert listed(capsys, str(tmp_path), "--keys", "val/grounding/mean_iou")["trends"] == {}
    made(tmp_path, 3, 3, images=6)
    keys = ["--keys", "val/grounding/mean_iou,val/grounding/said_none,val/x"]
    found = listed(capsys, str(tmp_path), *keys)["trends"]
    assert found["val/grounding/mean_iou"]["runs"] == 3  # type: ignore[index]
    assert main(["runs", str(tmp_path), *keys]) == OK
    line = capsys.readouterr().out.splitlines()[-1]
    change = f"{(7 / 13 - 1 / 19) / 2:+.3g}"
    assert line == (
        f"val/grounding/mean_iou: improving over 3 comparable runs, {change} [{change}, {change}]"
    )


def test_the_main_values_of_each_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {
        "val/grounding/precision": 0.5,
        "val/grounding/f1": 0.25,
        "val/text/bleu": None,
        "val/health/empty": 0.1,
        "val/mine/first": 0.1,
    }
    store = RunStore(tmp_path / "vlmeval", run_record("x", [], {}))
    store.write({"index": 0, "step": 3, "values": values}, [])
    best = listed(capsys, str(tmp_path))["runs"][0]["best"]  # type: ignore[index]
    assert best == {
        "val/grounding/f1": {"value": 0.25, "step": 3},
        "val/text/bleu": {"value": None, "step": None},
        "val/health/empty": {"value": 0.1, "step": 3},
    }


def test_a_run_without_an_evaluation_yet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, 0, 0)
    for path in (tmp_path / "version_0" / "vlmeval" / "evals").iterdir():
        path.unlink()
    assert main(["runs", str(tmp_path)]) == OK
    assert capsys.readouterr().out.splitlines()[1].split()[-3:] == ["0", "-", "-"]


def test_hostile_names_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grounding_run(tmp_path / "evil\x1b[2J\u202e")
    assert main(["runs", str(tmp_path)]) == OK
    out = capsys.readouterr().out
    assert "evil\\x1b[2J\\u202e/vlmeval" in out
    assert "\x1b" not in out


def test_runs_that_cannot_be_read_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, 0, 0)
    made(tmp_path, 1, 0)
    path = tmp_path / "version_1" / "vlmeval" / "run.json"
    path.write_text('{"format": 9}')
    assert main(["runs", str(tmp_path)]) == OK
    said = capsys.readouterr()
    assert said.err.startswith(f"note: {path}: expected the format 1, but got 9")
    assert len(said.out.splitlines()) == 2
    other = tmp_path / "version_0" / "vlmeval" / "evals" / "000000001.summary.json"
    other.write_text("{")
    assert main(["runs", str(tmp_path)]) == DATA
    said = capsys.readouterr()
    assert f"note: {other}: expected a JSON object" in said.err
    assert said.err.splitlines()[-1] == (
        f"lightning-vlmeval: {tmp_path}: expected runs below this folder, but there is none"
    )


def test_values_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, 0, 0)
    path = tmp_path / "version_0" / "vlmeval" / "evals" / "000000001.summary.json"
    path.write_text('{"index": 1, "values": {"val/grounding/f1": "high"}}')
    assert main(["runs", str(tmp_path)]) == DATA
    message = f"note: {path}: values: expected a number or null, but got a string\n"
    assert message in capsys.readouterr().err


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(tmp_path)]) == DATA
    assert capsys.readouterr().err == (
        f"lightning-vlmeval: {tmp_path}: expected runs below this folder, but there is none\n"
    )
    assert main(["runs", str(tmp_path / "no")]) == DATA
    assert capsys.readouterr().err == (
        f"lightning-vlmeval: {tmp_path / 'no'}: expected a folder, but there is none\n"
    )


def test_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, 0, 0)
    assert main(["runs", str(tmp_path), "-o", str(tmp_path / "list.txt")]) == OK
    assert capsys.readouterr().out == ""
    assert "version_0" in (tmp_path / "list.txt").read_text()
