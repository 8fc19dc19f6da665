"""Where a score is low, by what samples or boxes have in common."""

import json
from pathlib import Path
from typing import Any

import pytest

from lightning_vlmeval.cli.main import DATA, OK, USAGE, main
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.store import RunStore

CAT, DOG = [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 200.0, 200.0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve cats, of which three are found; eleven dogs, all found; two birds; ten questions."""
    scorers = {"grounding": GroundingScorer(), "answers": AnswerScorer()}
    samples: list[dict[str, Any]] = []
    for name, box, count, found in (("cat", CAT, 12, 3), ("dog", DOG, 11, 11), ("bird", CAT, 2, 2)):
        for i in range(count):
            boxes = [box] if i < found else []
            labels = [name] * len(boxes)
            pred = {"boxes": boxes, "labels": labels}
            target = {"boxes": [box], "labels": [name]}
            (row,) = scorers["grounding"].rows([pred], [target])
            sample = {
                "id": f"{name}{i:02d}",
                "task": "phrase_grounding",
                "rows": {"grounding": row},
            }
            samples.append({**sample, **pred, "target": target, "size": [400, 400]})
    for i in range(10):
        (row,) = scorers["answers"].rows(["two"], ["two" if i else "three"])
        sample = {"id": f"q{i}", "task": "vqa", "rows": {"answers": row}, "prediction": "two"}
        samples.append({**sample, "target": "two" if i else "three"})
    path = tmp_path_factory.mktemp("run")
    record = run_record("run", ["phrase_grounding", "vqa"], scorers)
    RunStore(path, record).write({"index": 0, "step": 5, "values": {}}, samples)
    return path


def parts(
    capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str
) -> list[tuple[str, int, float | None]]:
    code = main(["breakdown", str(folder), "--format", "json", *arguments])
    assert code == OK, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)["parts"][""]
    return [
        (one["label"], one["num_samples"], None if one["score"] is None else one["score"][0])
        for one in found
    ]


def test_by_phrase_the_worst_first(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert parts(capsys, folder) == [("cat", 12, 0.4), ("dog", 11, 1.0), ("bird", 2, None)]
    assert parts(capsys, folder, "--min-samples", "2")[-1] == ("bird", 2, 1.0)
    recall = parts(capsys, folder, "--key", "grounding/recall")
    assert recall[0] == ("cat", 12, 0.25)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--by", "size"), [("small", 14, 2 * 5 / 19), ("large", 11, 1.0)]),
        (("--by", "relative-size"), [("small", 14, 2 * 5 / 19), ("large", 11, 1.0)]),
        (("--by", "targets"), [("1", 25, 2 * 16 / 41)]),
        (("--by", "group"), [("none", 25, 2 * 16 / 41)]),
        (("--by", "task", "--key", "answers/exact_match"), [("vqa", 10, 0.9)]),
    ],
)
def test_by_what_else(
    capsys: pytest.CaptureFixture[str], folder: Path, arguments: tuple[str, ...], expected: Any
) -> None:
    assert parts(capsys, folder, *arguments) == expected


def test_the_table(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["breakdown", str(folder)]) == OK
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["samples", "grounding/f1", "95", "%", "interval"]
    assert lines[1][:3] == ["cat", "12", "0.4000"]
    assert lines[3] == ["bird", "2", "too", "few"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--key", "f1"), USAGE, "Expected --key among grounding/precision, "),
        (("--key", "answers/exact_match"), USAGE, "Expected --key of boxes with --by phrase"),
        (("--evaluation", "7"), DATA, "7"),
    ],
)
def test_what_cannot_be_broken_down(
    capsys: pytest.CaptureFixture[str],
    folder: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    assert main(["breakdown", str(folder), *arguments]) == code
    assert message in capsys.readouterr().err
