"""``score``: the same values as the metrics give, from every kind of file; gates; what cannot be read."""

import gzip
import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lightning_vlmeval.cli.arguments import TASKS
from lightning_vlmeval.cli.main import DATA, GATE, OK, USAGE, main
from lightning_vlmeval.errors import MissingExtraError
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.meteor import METEORScorer
from lightning_vlmeval.functional.rouge import ROUGEScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.parsing import Box, box_format
from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import RunStore
from lightning_vlmeval.session.tasks import TASKS as CALLBACK_TASKS
from tests.analysis.scorers import MicroF1
from tests.runs.made_runs import BOX, grounding_run

TEXTS = [
    {"id": "a", "prediction": "a red dog", "reference": "a red dog"},
    {"id": "b", "prediction": "two cats", "reference": ["three cats", "3 cats"]},
    {"id": "c", "prediction": "yes", "reference": "no"},
]
BOXES = [
    {"id": "a", "prediction": [BOX], "target": [BOX]},
    {"id": "b", "prediction": [[0, 0, 10, 6], [50, 50, 60, 60]], "target": [BOX]},
    {"id": "c", "prediction": [], "target": []},
]


def saved(folder: Path, rows: list[Any], name: str = "answers.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def scored(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = OK) -> dict[str, Any]:
    assert main(["score", *arguments, "--format", "json"]) == code, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def error_of(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert main(["score", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.splitlines()[-1].removeprefix("lightning-vlmeval: ")


def expected(scorer: Scorer, preds: list[Any], target: list[Any]) -> dict[str, float]:
    return {k: float(v) for k, v in scorer.from_sums(scorer.rows(preds, target).sum(0)).items()}


def test_the_tasks_have_the_metrics_of_the_callback() -> None:
    without_encoder = {
        task: tuple(name for name in names if name not in ("bertscore", "error_budget"))
        for task, names in CALLBACK_TASKS.items()
    }
    assert without_encoder == TASKS


def test_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = scored(capsys, saved(tmp_path, BOXES), "--task", "phrase_grounding")
    truth = expected(
        GroundingScorer(), [r["prediction"] for r in BOXES], [r["target"] for r in BOXES]
    )
    assert found["scores"] == {f"grounding/{key}": value for key, value in truth.items()}
    assert found["scores"]["grounding/f1"] == 0.8
    assert found["samples"] == 3
    low, high = found["intervals"]["grounding/f1"]
    assert 0 <= low < 0.8 < high <= 1
    assert "grounding/tp" not in found["intervals"]
    assert found["signatures"] == {"grounding": GroundingScorer().signature()}
    options = ["--iou-threshold", "0.7", "--box-coordinates", "xywh"]
    found = scored(capsys, saved(tmp_path, BOXES), "--task", "phrase_grounding", *options)
    assert found["scores"]["grounding/tp"] == 1
    assert "iou_threshold:0.7|box_coordinates:xywh" in found["signatures"]["grounding"]


def test_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = "bleu,rouge,answers"
    found = scored(capsys, saved(tmp_path, TEXTS), "--task", "vqa", "--metrics", metrics)
    preds = [row["prediction"] for row in TEXTS]
    target = [row["reference"] for row in TEXTS]
    truth = {
        **{f"text/{k}": v for k, v in expected(BLEUScorer(), preds, target).items()},
        **{f"text/{k}": v for k, v in expected(ROUGEScorer(), preds, target).items()},
        **{f"answers/{k}": v for k, v in expected(AnswerScorer(), preds, target).items()},
    }
    assert {k: v for k, v in found["scores"].items() if v is not None} == {
        k: v for k, v in truth.items() if v == v
    }
    assert found["scores"].keys() == truth.keys()


def test_what_is_not_installed_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(self: object) -> None:
        raise MissingExtraError("WordNet is not installed")

    monkeypatch.setattr(METEORScorer, "prepare", missing)
    path = saved(tmp_path, TEXTS)
    assert main(["score", path, "--task", "vqa"]) == OK
    said = capsys.readouterr()
    assert "note: meteor is left out: WordNet is not installed\n" in said.err
    assert "text/bleu" in said.out
    error = error_of(capsys, USAGE, path, "--task", "vqa", "--metrics", "meteor")
    assert error == "WordNet is not installed"


def test_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"prediction": '{"defect": "dent", "count": 1}', "label": {"defect": "dent", "count": 1}},
        {"prediction": "It has a dent.", "label": {"defect": "dent", "count": 2}},
    ]
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "required": ["defect"]}')
    options = ["--schema", str(schema), "--required-fields", "count"]
    found = scored(capsys, saved(tmp_path, rows), "--task", "freeform", *options)
    scorer = StructuredOutputScorer(
        schema=json.loads(schema.read_text()), required_fields=["count"]
    )
    truth = expected(scorer, [r["prediction"] for r in rows], [r["label"] for r in rows])
    assert found["scores"]["structured/format_compliance"] == 0.5
    for key, value in truth.items():
        if value == value:
            assert found["scores"][f"structured/{key}"] == value
    assert found["scores"]["structured/consistency"] == 1, "of the structures beside the rows"
    assert found["signatures"]["structured"] == scorer.signature()
    assert 0 < found["scores"]["text/bleu"] < 1


def test_boxes_as_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    form = box_format("qwen3-vl")
    boxes = [Box("cat", (0, 0, 100, 100)), Box("dog", (200, 100, 300, 400))]
    text = form.render(boxes, (640, 480))
    rows = [
        {"output": text, "target": text, "size": [640, 480], "prompt": "find"},
        {"output": "[]", "target": "[]", "width": 640, "height": 480, "prompt": "find"},
        {
            "output": "a cat",
            "target": {"boxes": [[0, 0, 9, 9]], "labels": ["cat"]},
            "size": [64, 48],
            "prompt": "find",
        },
    ]
    path = saved(tmp_path, rows)
    found = scored(capsys, path, "--task", "phrase_grounding", "--box-format", "qwen3-vl")
    scores = found["scores"]
    assert [scores[f"grounding/{key}"] for key in ("tp", "fp", "fn")] == [2, 0, 1]
    assert scores["grounding/parse_rate"] == pytest.approx(2 / 3)
    assert scores["grounding/said_none"] == pytest.approx(1 / 3)
    assert scores["health/healthy"] == 1
    rows[1].pop("width")
    path = saved(tmp_path, rows)
    error = error_of(capsys, DATA, path, "--task", "phrase_grounding", "--box-format", "qwen3-vl")
    assert error == (
        f"{path}:2: expected the image's 'size', or 'width' and 'height', for boxes as texts"
    )
    error = error_of(capsys, DATA, path, "--task", "phrase_grounding", "--box-format", "qwen2.5-vl")
    assert error.startswith(f"{path}:1: expected 'fed_size', the size after the processor's resize")
    error = error_of(capsys, DATA, path, "--task", "phrase_grounding")
    assert error == f"{path}:1: expected boxes, but got a text: say --box-format to read it"
    metrics = ["--metrics", "box_answers"]
    error = error_of(capsys, USAGE, path, "--task", "phrase_grounding", *metrics)
    assert error == "Expected --box-format, to read the answers' texts"


# ----------------------------------------------------------------------------- kinds of files


@pytest.mark.parametrize("kind", ["jsonl.gz", "json", "columns", "stdin", "packed stdin", "crlf"])
def test_every_kind_of_file(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = saved(tmp_path, BOXES)
    truth = scored(capsys, plain, "--task", "phrase_grounding")["scores"]
    data = Path(plain).read_bytes()
    path = tmp_path / "other.jsonl"
    if kind == "jsonl.gz":
        path = tmp_path / "other.jsonl.gz"
        data = gzip.compress(data)
    elif kind == "json":
        path = tmp_path / "other.json"
        data = b"\xef\xbb\xbf" + json.dumps(BOXES).encode()
    elif kind == "columns":
        path = tmp_path / "other.json"
        data = json.dumps({key: [row[key] for row in BOXES] for key in BOXES[0]}).encode()
    elif kind == "crlf":
        data = b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n\r\n")
    path.write_bytes(data)
    name = str(path)
    if "stdin" in kind:
        data = gzip.compress(data) if "packed" in kind else data
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        name = "-"
    assert scored(capsys, name, "--task", "phrase_grounding")["scores"] == truth


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        (("prediction", "reference"), []),
        (("preds", "references"), []),
        (("output", "target"), []),
        (("answer", "label"), []),
        (("prediction", "answer"), []),
        (("output", "answers"), []),
        (("said", "wanted"), ["--prediction-column", "said", "--reference-column", "wanted"]),
    ],
)
def test_columns(
    columns: tuple[str, str],
    options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [dict(zip(columns, (r["prediction"], r["reference"]), strict=True)) for r in TEXTS]
    common = ["--task", "vqa", "--metrics", "answers", *options]
    found = scored(capsys, saved(tmp_path, rows), *common)
    assert found["scores"]["answers/exact_match"] == pytest.approx(1 / 3)


def test_boxes_in_columns_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"prediction": "text", "boxes": [BOX], "labels": ["x"], "target": {"boxes": [BOX], "labels": ["x"]}},
        {"boxes": [[0, 0, None, 5]], "labels": ["x"], "unparsable": True, "target": {"boxes": []}},
    ]  # fmt: skip
    found = scored(capsys, saved(tmp_path, rows), "--task", "phrase_grounding")["scores"]
    assert (found["grounding/tp"], found["grounding/fp"]) == (1, 1)
    assert found["grounding/rejection_accuracy"] == 0
    rows = [{"boxes": [BOX], "target": [BOX]}]
    found = scored(capsys, saved(tmp_path, rows), "--task", "phrase_grounding")["scores"]
    assert found["grounding/f1"] == 1


def test_only_the_samples_of_the_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {**TEXTS[0], "task": "vqa"},
        {**TEXTS[1], "task": ["a task", "of their own"]},
        {**BOXES[0], "reference": [BOX], "task": "phrase_grounding"},
    ]
    options = ["--task", "vqa", "--metrics", "answers"]
    found = scored(capsys, saved(tmp_path, rows), *options)
    assert found["samples"] == 2


@pytest.mark.parametrize(
    "boxes", [[["a", 0, 1, 2]], [[0, 0, 1]], 3, [[0, [1], 2, 3]], {"boxes": [1]}, [[0, 0, 1, {}]]]
)
def test_boxes_that_are_none(
    boxes: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, [{"prediction": boxes, "target": [BOX]}])
    assert error_of(capsys, DATA, path, "--task", "phrase_grounding").startswith(f"{path}:1: ")


def test_groups_count_as_one_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**row, "group": "one"} for row in BOXES]
    alone = scored(capsys, saved(tmp_path, BOXES), "--task", "phrase_grounding")
    grouped = scored(capsys, saved(tmp_path, rows), "--task", "phrase_grounding")
    assert grouped["scores"] == alone["scores"]
    assert grouped["intervals"]["grounding/f1"] == [0, 1]


# ------------------------------------------------------------------------------------- runs


def test_a_run_is_scored_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scorer = GroundingScorer(iou_threshold=0.75)
    folder = grounding_run(tmp_path, scorer=scorer)
    for evaluation in (0, -1):
        found = scored(capsys, str(tmp_path), "--evaluation", str(evaluation))
        stored = {
            key.removeprefix("val/"): value for key, value in Run(folder).scores(evaluation).items()
        }
        assert {k: np.nan if v is None else v for k, v in found["scores"].items()} == pytest.approx(
            stored, nan_ok=True
        )
        assert found["signatures"]["grounding"] == scorer.signature()
    found = scored(capsys, str(folder), "--iou-threshold", "0.5")
    assert found["scores"]["grounding/f1"] == 0.75
    error = error_of(capsys, DATA, str(folder), "--evaluation", "7")
    assert error == f"{folder}: expected one of its evaluations, but got 7: there are 2"


def test_a_run_of_several_dataloaders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grounding_run(tmp_path, loaders=("shelf", "street"))
    found = scored(capsys, str(tmp_path), "--worst", "1")
    assert found["scores"]["shelf/grounding/f1"] == found["scores"]["street/grounding/f1"] == 0.75
    assert found["samples"] == 8


def test_a_run_of_several_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scorers = {"grounding": GroundingScorer(), "answers": AnswerScorer(), "mine": MicroF1()}
    record = run_record("both", ["phrase_grounding", "vqa"], scorers)
    samples = [
        {"id": "g", "task": "phrase_grounding", "boxes": [BOX], "target": {"boxes": [BOX]}},
        {"id": "t", "task": "vqa", "prediction": "two", "target": "two"},
    ]
    RunStore(tmp_path, record).write({"index": 0}, samples)
    found = scored(capsys, str(tmp_path))
    assert found["task"] == ["phrase_grounding", "vqa"]
    assert found["samples"] == 2
    assert found["scores"]["grounding/f1"] == found["scores"]["answers/exact_match"] == 1
    assert main(["score", str(tmp_path), "--task", "vqa", "--format", "json"]) == OK
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["signatures"].keys() == {"answers"}
    assert found["scores"]["answers/exact_match"] == found["samples"] == 1
    assert said.err.startswith("note: mine is left out: The metric 'micro' cannot be made again")


def test_metrics_that_a_run_calls_by_names_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scorers = {"loose": GroundingScorer(0.1), "strict": GroundingScorer(0.9)}
    samples = [{"id": "a", "boxes": [[0, 0, 10, 6]], "target": {"boxes": [BOX]}}]
    store = RunStore(tmp_path, run_record("two", ["phrase_grounding"], scorers))
    store.write({"index": 0}, samples)
    found = scored(capsys, str(tmp_path))["scores"]
    assert (found["loose/f1"], found["strict/f1"]) == (1, 0)
    assert scored(capsys, str(tmp_path), "--metrics", "strict")["scores"]["strict/f1"] == 0
    found = scored(capsys, str(tmp_path), "--iou-threshold", "0.5")["scores"]
    assert (found["loose/f1"], found["strict/f1"]) == (1, 1)


def test_a_tokenizer_of_ones_own_cannot_score_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scorers = {"rouge": ROUGEScorer(tokenizer=str.split), "answers": AnswerScorer()}
    samples = [{"id": "t", "prediction": "two", "target": "two"}]
    RunStore(tmp_path, run_record("texts", ["vqa"], scorers)).write({"index": 0}, samples)
    why = "The metric 'rouge' cannot score again: its option 'tokenizer' is code, which no record holds"
    assert main(["score", str(tmp_path)]) == OK
    assert capsys.readouterr().err == f"note: rouge is left out: {why}\n"
    assert error_of(capsys, USAGE, str(tmp_path), "--metrics", "rouge") == why


def test_bertscore_is_left_out_unless_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = run_record("texts", ["vqa"], {"answers": AnswerScorer()})
    record["scorers"]["bertscore"] = {"name": "bertscore", "options": {}, "signature": "bertscore"}
    samples = [{"id": "t", "prediction": "two", "target": "two"}]
    RunStore(tmp_path, record).write({"index": 0}, samples)
    assert main(["score", str(tmp_path)]) == OK
    said = "note: bertscore is left out: it loads torch; ask for it with --metrics\n"
    assert capsys.readouterr().err == said
    options = ["--metrics", "bertscore", "--encoder", str(tmp_path)]
    assert str(tmp_path) in error_of(capsys, USAGE, str(tmp_path), *options)


# ------------------------------------------------------------------------------------ output


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, BOXES)
    arguments = ["score", path, "--task", "phrase_grounding"]
    assert main(arguments) == OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "score"
    assert re.fullmatch(r"grounding/f1 +0\.8000  \[0\.\d{4}, \d\.\d{4}\]", lines[3])
    assert re.fullmatch(r"grounding/tp +2\.0000", lines[6])
    assert lines[-2:] == [f"3 samples of {path}", GroundingScorer().signature()]
    assert "\x1b" not in "".join(lines)


def test_the_worst_samples_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202eevil\r\nnew line\x9b\u2028" + "x" * 200
    rows = [TEXTS[0], {"id": "d\x1b[31m", "prediction": evil, "reference": "a dog"}]
    options = ["--task", "vqa", "--metrics", "bleu", "--worst", "1"]
    assert main(["score", saved(tmp_path, rows), *options]) == OK
    out = capsys.readouterr().out
    assert "d\\x1b[31m: text/bleu 0.0000" in out
    assert "  prediction  \\x1b]0;owned\\x07\\x1b[2J\\u202eevil\\r\\nnew line\\x9b\\u2028xx" in out
    assert "  reference   a dog" in out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", out)
    found = scored(capsys, saved(tmp_path, rows), *options)
    assert found["worst"] == [
        {
            "id": "d\x1b[31m",
            "key": "text/bleu",
            "value": 0.0,
            "prediction": evil,
            "reference": "a dog",
        }
    ]


def test_colours_where_they_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["score", saved(tmp_path, BOXES), "--task", "phrase_grounding"]
    arguments += ["--fail-under", "grounding/f1=0.9"]
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    assert main(arguments) == GATE
    assert "\x1b[31mfailed: grounding/f1" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(arguments) == GATE
    assert "\x1b" not in capsys.readouterr().out


def test_exactly_the_file_that_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, BOXES)
    target = tmp_path / "result.txt"
    link = tmp_path / "link"
    link.symlink_to(target)
    arguments = ["score", path, "--task", "phrase_grounding", "--format", "json", "-o"]
    assert main([*arguments, str(link)]) == OK
    assert capsys.readouterr().out == ""
    assert link.is_symlink()
    assert json.loads(target.read_text())["scores"]["grounding/f1"] == 0.8
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.jsonl", "link", "result.txt"]
    assert main([*arguments, "/dev/null"]) == OK
    assert main([*arguments, str(tmp_path)]) == USAGE
    error = capsys.readouterr().err
    assert error == f"lightning-vlmeval: {tmp_path}: cannot be written: Is a directory\n"


# ------------------------------------------------------------------------------ exit codes


def test_gates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, BOXES)

    def gated(*gates: str) -> list[str]:
        options = [part for gate in gates for part in ("--fail-under", gate)]
        code = main(["score", path, "--task", "phrase_grounding", "--format", "json", *options])
        failed: list[str] = json.loads(capsys.readouterr().out)["failed"]
        assert code == (GATE if failed else OK)
        return failed

    assert gated("grounding/f1=0.8", "grounding/recall=0.5") == []
    assert gated("grounding/f1=0.81", "grounding/recall=0.5") == ["grounding/f1 is 0.8, below 0.81"]
    rows = [{"prediction": [], "target": []}]
    path = saved(tmp_path, rows)
    assert gated("grounding/iou=0.1") == ["grounding/iou is undefined, below 0.1"]
    assert (
        main(["score", path, "--task", "phrase_grounding", "--fail-under", "grounding/f1=0"]) == 1
    )
    assert "failed: grounding/f1 is undefined, below 0\n" in capsys.readouterr().out


def test_a_gate_on_no_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, BOXES)
    options = ["--task", "phrase_grounding", "--fail-under", "f1=0.8"]
    error = error_of(capsys, USAGE, path, *options)
    assert error.startswith("Expected --fail-under with one of grounding/precision, ")
    assert error.endswith("grounding/macro_f1, but got 'f1'")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "detection"], "argument --task: invalid choice: 'detection'"),
        (["--fail-under", "f1"], "expected KEY=NUMBER, as grounding/f1=0.8, got 'f1'"),
        (["--fail-under", "f1=high"], "expected KEY=NUMBER, as grounding/f1=0.8, got 'f1=high'"),
        (["--fail-under", "f1=nan"], "expected KEY=NUMBER, as grounding/f1=0.8, got 'f1=nan'"),
        (["--fail-under", "=1"], "expected KEY=NUMBER, as grounding/f1=0.8, got '=1'"),
        (["--fail"], "unrecognized arguments: --fail"),
        (["--format", "xml"], "argument --format: invalid choice: 'xml'"),
    ],
)
def test_arguments_that_argparse_refuses(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["score", "x.jsonl", *options])
    assert stopped.value.code == USAGE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Expected --task to be one of phrase_grounding, vqa, freeform"),
        (
            ["--task", "vqa", "--metrics", "f1"],
            "Expected --metrics among answers, bertscore, bleu, box_answers, chrf, cider, "
            "error_budget, grounding, health, meteor, rouge, structured, but got f1",
        ),
        (["--task", "phrase_grounding", "--iou-threshold", "7"], "Expected `iou_threshold` "),
        (
            ["--task", "phrase_grounding", "--box-format", "x"],
            "Expected a box format to be one of ",
        ),
        (["--task", "freeform", "--schema", "no.json"], "no.json: cannot be read: No such file or"),
        (
            ["--task", "vqa", "--prediction-column", "said"],
            "FILE:1: expected the column 'said' of the predictions, but there are id, prediction, ",
        ),
    ],
)
def test_options_that_cannot_work(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, BOXES)
    assert error_of(capsys, USAGE, path, *options).startswith(message.replace("FILE", path))


def test_a_schema_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = saved(tmp_path, ["{"], "schema.json")
    Path(schema).write_text("{")
    options = ["--task", "freeform", "--schema", schema]
    error = error_of(capsys, USAGE, saved(tmp_path, TEXTS), *options)
    assert error.startswith(f"{schema}: expected a JSON Schema, but got Expecting property name")


GOOD_LINE = b'{"prediction": "x", "reference": "x"}\n'


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b"", ": expected saved answers, but there are none"),
        (
            "a.jsonl",
            GOOD_LINE + b"\n{oops}\n",
            ":3: expected a JSON object, but got Expecting prop",
        ),
        ("a.jsonl", GOOD_LINE + b"[1]\n", ":2: expected a JSON object, but got an array"),
        ("a.jsonl", GOOD_LINE + b"\xff\n", ":2: expected UTF-8 text, but got other bytes"),
        ("a.jsonl.gz", b"\x1f\x8b\x08\x00", ": expected a whole gzip file, but: Compressed file"),
        ("a.json", b'{"a": [1], "b": [1, 2]}', ": expected a list of rows, or a dictionary of col"),
        ("a.json", b'{"a": 1}', ": expected a list of rows, or a dictionary of columns of one len"),
        ("a.json", b"[1]", ": expected a list of rows, or a dictionary of columns"),
        ("a.json", b"[", ": expected JSON, but got Expecting value"),
        (
            "a.jsonl",
            b'{"text": "x"}\n',
            ":1: expected a column of the predictions, one of prediction, preds, output, answer, but "
            "there are text; name it with --prediction-column",
        ),
        (
            "a.jsonl",
            b'{"answer": "x"}\n',
            ":1: expected a column of the references, one of reference, references, target, label, "
            "answers, but there are answer; name it with --reference-column",
        ),
        ("a.jsonl", GOOD_LINE + b'{"reference": "x"}\n', ":2: expected a prediction in 'predictio"),
        ("a.jsonl", GOOD_LINE + b'{"prediction": "x"}\n', ":2: expected a reference in 'reference"),
        (
            "a.jsonl",
            GOOD_LINE + b'{"prediction": 3, "reference": "x"}\n',
            ":2: Expected each prediction to be a string, but got int",
        ),
        (
            "a.jsonl",
            GOOD_LINE + b'{"prediction": "x", "reference": []}\n',
            ":2: Expected at least one reference",
        ),
        (
            "a.jsonl",
            b'{"id": "a", "prediction": "x", "reference": "x"}\n' * 2,
            ":2: expected each id once, but 'a' was in FILE:1",
        ),
        (
            "a.jsonl",
            b'{"id": "a", "prediction": "x", "reference": "x"}\n' + GOOD_LINE,
            ":2: expected an id in 'id', but got None",
        ),
    ],
)
def test_data_that_cannot_be_read(
    name: str, data: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    options = ["--task", "vqa", "--metrics", "answers"]
    error = error_of(capsys, DATA, str(path), *options)
    assert error.startswith(f"{path}{message}".replace("FILE", str(path)))


def test_text_targets_of_objects_are_named_where_they_are_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [*BOXES, {"id": "d", "prediction": [[0, 0, 1]], "target": [BOX]}]
    path = saved(tmp_path, rows)
    error = error_of(capsys, DATA, path, "--task", "phrase_grounding")
    assert error.startswith(f"{path}:4: ")
    rows[-1] = {"id": "d", "prediction": {"labels": ["x"]}, "target": [BOX]}
    error = error_of(capsys, DATA, saved(tmp_path, rows), "--task", "phrase_grounding")
    assert error == f"{path}:4: cannot be scored: KeyError: 'boxes'"


def test_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "none.jsonl")
    error = error_of(capsys, DATA, path, "--task", "vqa")
    assert error == f"{path}: cannot be read: No such file or directory"
    error = error_of(capsys, DATA, str(tmp_path), "--task", "vqa")
    assert error.startswith(f"{tmp_path}: expected the folder of a run, with 'run.json' or")


def test_progress_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prediction": "x", "reference": "x"}] * 700
    arguments = ["score", saved(tmp_path, rows), "--task", "vqa", "--metrics", "answers"]
    assert main(arguments) == OK
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True, raising=False)
    assert main(arguments) == OK
    said = capsys.readouterr().err
    assert said == "\r\x1b[Kscoring answers: 71%\r\x1b[Kscoring answers: 100%\r\x1b[K"
