"""What is written is read back, by this package and by plain code; and nothing is ever half there."""

import gzip
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.runs.files import StoreError, remove_strays, write_whole
from lightning_vlmeval.runs.record import fingerprint, run_record
from lightning_vlmeval.runs.run import EvaluationIndexError, Run
from lightning_vlmeval.runs.store import RunStore
from tests.runs.made_runs import BOX, grounding_run, grounding_samples, summary_of

HOSTILE = {
    "line separators": "one\u2028two\u2029three\x85four\x0bfive\rsix\nseven",
    "lone surrogates": "\ud800 and \udfff, and a backslash before one: \\\udc00",
    "NUL and control": "\x00\x1b[31m\x7f\u202e",
    "a megabyte": "ab \u00e9" * 250_000,
    "markup": "</script><img src=x onerror=alert(1)>",
    "JSON": '{"id": "not-this-one"}\n{"id": "x"}',
    "nothing": "",
    "emoji": "\U0001f600 e\u0301",
}


def plain_lines(path: Path) -> list[dict[str, Any]]:
    """What `zcat FILE | jq` does: gzip, UTF-8, lines, JSON."""
    text = gzip.decompress(path.read_bytes()).decode("utf-8", "strict")
    assert text.endswith("\n")
    return [json.loads(line) for line in text[:-1].split("\n")]


def store_of(folder: Path, **kwargs: Any) -> RunStore:
    record = run_record("first", ["phrase_grounding"], {"grounding": GroundingScorer()})
    return RunStore(folder / "vlmeval", record, **kwargs)


def test_a_run_is_read_back(tmp_path: Path) -> None:
    folder = grounding_run(tmp_path)
    run = Run(tmp_path)
    assert (run.path, run.name, run.loaders) == (folder, "first", [""])
    assert Run(folder).record == run.record
    assert run.record["scorers"]["grounding"]["options"]["iou_threshold"] == 0.5
    assert [one["step"] for one in run.evaluations] == [0, 10]
    assert run.scores(-1)["val/grounding/f1"] == 0.75
    assert run.scores(0) == run.scores(-2)
    first = run.samples(-1)[0]
    assert next(iter(first)) == "id"
    assert first["target"] == {"boxes": [BOX], "labels": [""]}
    assert first["prediction"] == "answer 0"
    assert first["scores"]["grounding/iou"] == pytest.approx(8 / 12)
    table = run.table(-1, "grounding")
    scorer = GroundingScorer()
    expected = scorer.rows([[[s, 0, 10 + s, 10]] for s in (2, 1, 6, 0)], [[BOX]] * 4)
    np.testing.assert_array_equal(table.rows, expected)
    assert table.ids == ("scene-0000", "scene-0001", "scene-0002", "scene-0003")
    assert table.groups == ("image-0", "image-0", "image-1", "image-1")
    assert scorer.score(table)["f1"] == run.scores(-1)["val/grounding/f1"]
    history = run.history("scene-0002")
    assert [(one["index"], one["step"], one["boxes"][0][0]) for one in history] == [
        (0, 0, 5.0),
        (1, 10, 6.0),
    ]
    assert history[0]["prompt"] == "find it"
    assert run.history("scene-9") == run.history("scene-0002", loader="other") == []


def test_the_files_are_as_documented(tmp_path: Path) -> None:
    folder = grounding_run(tmp_path)
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert names == [
        "evals/000000000.jsonl.gz",
        "evals/000000000.summary.json",
        "evals/000000001.jsonl.gz",
        "evals/000000001.summary.json",
        "run.json",
        "samples/000000000.jsonl.gz",
    ]
    lines = plain_lines(folder / "evals" / "000000001.jsonl.gz")
    assert len(lines) == 4
    assert next(iter(lines[0])) == "id"
    assert "target" not in lines[0]
    assert "group" in plain_lines(folder / "samples" / "000000000.jsonl.gz")[0]
    again = tmp_path / "again"
    grounding_run(again)
    for name in names:
        if name != "run.json":  # which holds the time
            assert (again / "vlmeval" / name).read_bytes() == (folder / name).read_bytes(), name


def test_hostile_texts_come_back_as_they_were(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    samples = [
        {"id": name, "prediction": text, "target": [text, "x"], "prompt": text}
        for name, text in HOSTILE.items()
    ] + [{"id": text[:50], "prediction": "the id"} for text in HOSTILE.values()]
    store.write({"index": 0, "step": 0, "note": HOSTILE["lone surrogates"]}, samples)
    run = Run(tmp_path)
    read = {sample["id"]: sample for sample in run.samples()}
    for name, text in HOSTILE.items():
        assert read[name]["prediction"] == text
        assert read[name]["target"] == [text, "x"]
        assert read[text[:50]]["prediction"] == "the id"
        assert [one["prediction"] for one in run.history(text[:50])] == ["the id"]
    assert run.evaluations[0]["note"] == HOSTILE["lone surrogates"]
    assert len(plain_lines(run.path / "evals" / "000000000.jsonl.gz")) == len(samples)


def test_values_that_json_has_no_form_for(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    sample = {
        "id": 7,
        "target": {"boxes": np.array([BOX]), "size": np.float32(2)},
        "prediction": None,
        "boxes": torch.tensor([BOX]),
        "scores": {"grounding/iou": math.nan, "grounding/f1": np.float64(0.5)},
        "rows": {"grounding": np.array([1.0, math.inf, math.nan])},
        "truncated": np.bool_(False),
        "issues": {1: 2},
        "loss": None,
        "payloads": {"grounding": b"\x00\xff"},
    }
    store.write({"index": 0, "values": {"val/grounding/iou": math.nan}, "steps": (1, 2)}, [sample])
    run = Run(tmp_path)
    assert run.samples() == [
        {
            "id": "7",
            "loader": "",
            "target": {"boxes": [BOX], "size": 2.0},
            "boxes": [BOX],
            "scores": {"grounding/iou": None, "grounding/f1": 0.5},
            "rows": {"grounding": [1.0, None, None]},
            "truncated": False,
            "issues": {"1": 2},
            "payloads": {"grounding": "AP8="},
        }
    ]
    assert run.evaluations == [{"index": 0, "values": {"val/grounding/iou": None}, "steps": [1, 2]}]
    assert math.isnan(run.scores(0)["val/grounding/iou"])


def test_payloads_and_undefined_statistics_are_in_the_table(tmp_path: Path) -> None:
    scorer = GroundingScorer()
    row = np.arange(float(len(scorer.columns)))
    row[3] = math.nan
    sample = {"id": "a", "rows": {"grounding": row}, "payloads": {"grounding": b"\x00\xff"}}
    store_of(tmp_path).write({"index": 0}, [sample, {"id": "b", "prediction": "of another task"}])
    table = Run(tmp_path).table(0, "grounding")
    np.testing.assert_array_equal(table.rows, [row])
    assert table.payloads == (b"\x00\xff",)
    assert table.ids == ("a",)


def test_samples_are_sorted_and_each_once(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    names = [("b", "x"), ("", "2"), ("a", "x"), ("", "1"), ("a", "x")]
    store.write({"index": 0}, [{"id": i, "loader": d, "n": n} for n, (d, i) in enumerate(names)])
    read = Run(tmp_path).samples()
    assert [(s["loader"], s["id"], s["n"]) for s in read] == [
        ("", "1", 3),
        ("", "2", 1),
        ("a", "x", 2),
        ("b", "x", 0),
    ]


def test_several_dataloaders(tmp_path: Path) -> None:
    grounding_run(tmp_path, loaders=("shelf", "street"))
    run = Run(tmp_path)
    assert run.loaders == ["shelf", "street"]
    assert run.scores()["val/shelf/grounding/f1"] == 0.75
    assert len(run.samples()) == 8
    assert len(run.table(-1, "grounding", "shelf")) == 4
    assert len(run.table(-1, "grounding")) == 0
    assert len(run.history("scene-0000", "street")) == 2


def test_samples_that_come_later_are_stored_when_they_come(tmp_path: Path) -> None:
    scorer, store = GroundingScorer(), store_of(tmp_path)
    for index, first in enumerate([0, 2, 0]):
        samples = grounding_samples(scorer, [0, 1, 2], first=first)
        store.write(summary_of(scorer, samples, index), samples)
    folder = tmp_path / "vlmeval"
    stored = {
        path.name: [line["id"] for line in plain_lines(path)]
        for path in sorted((folder / "samples").iterdir())
    }
    assert stored == {
        "000000000.jsonl.gz": ["scene-0000", "scene-0001", "scene-0002"],
        "000000001.jsonl.gz": ["scene-0003", "scene-0004"],
    }
    assert all("target" in sample for i in range(3) for sample in Run(folder).samples(i))


def test_a_resumed_run_goes_on_where_its_checkpoint_was(tmp_path: Path) -> None:
    folder = grounding_run(tmp_path, [(8, 8), (6, 6), (4, 4), (2, 2)])
    created = json.loads((folder / "run.json").read_text())["created"]
    (folder / "run.json").write_text(
        (folder / "run.json").read_text().replace(created, "2001-01-01T00:00:00+00:00")
    )
    scorer, store = GroundingScorer(), store_of(tmp_path)
    samples = grounding_samples(scorer, [0, 1, 2])
    message = f"{folder}: evaluations 2, 3 are removed: the run was resumed before them"
    with pytest.warns(UserWarning, match=re.escape(message)):
        store.write(summary_of(scorer, samples, 2), samples)
    run = Run(tmp_path)
    assert [one["index"] for one in run.evaluations] == [0, 1, 2]
    assert [len(run.samples(i)) for i in range(3)] == [2, 2, 3]
    assert run.record["created"] == "2001-01-01T00:00:00+00:00"
    assert all("target" in sample for sample in run.samples())
    with pytest.warns(UserWarning, match="evaluations 1, 2 are removed"):
        store.write(summary_of(scorer, samples, 1), samples)  # turned back once more
    assert [one["index"] for one in Run(tmp_path).evaluations] == [0, 1]
    assert all("target" in sample for sample in Run(tmp_path).samples())


def test_resumed_into_another_folder_a_run_begins_later(tmp_path: Path) -> None:
    scorer, store = GroundingScorer(), store_of(tmp_path)
    samples = grounding_samples(scorer, [0, 1])
    store.write(summary_of(scorer, samples, 5), samples)
    assert Run(tmp_path).evaluations[0]["index"] == 5
    assert "target" in Run(tmp_path).samples(0)[0]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("run.json", b'{"format": 2}'),
        ("run.json", b""),
        ("samples/000000000.jsonl.gz", b"\x1f\x8b"),
    ],
)
def test_a_run_that_cannot_be_read_is_kept_and_goes_on_elsewhere(
    tmp_path: Path, name: str, damage: bytes
) -> None:
    folder = grounding_run(tmp_path)
    (folder / name).write_bytes(damage)
    scorer, store = GroundingScorer(), store_of(tmp_path)
    samples = grounding_samples(scorer, [0, 1])
    with pytest.warns(
        UserWarning, match=r"kept as .*vlmeval-1, and the run goes on from evaluation 2"
    ):
        store.write(summary_of(scorer, samples, 2), samples)
    assert [one["index"] for one in Run(folder).evaluations] == [2]
    assert all("target" in sample for sample in Run(folder).samples())
    assert (tmp_path / "vlmeval-1" / name).read_bytes() == damage


def test_a_run_that_could_not_begin_is_not_taken_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = grounding_run(tmp_path, name="before")
    scorer, store = GroundingScorer(), store_of(tmp_path)
    samples = grounding_samples(scorer, [0, 1])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: os.open("/nowhere/at all", os.O_RDONLY))
        with pytest.raises(OSError, match="No such file"):
            store.write(summary_of(scorer, samples, 0), samples)
    store.write(summary_of(scorer, samples, 1), samples)
    assert [one["index"] for one in Run(folder).evaluations] == [1]
    assert Run(tmp_path / "vlmeval-1").name == "before"


def test_another_run_in_the_folder_is_moved_aside(tmp_path: Path) -> None:
    for number in range(3):
        grounding_run(tmp_path, name=f"run {number}")
    names = {path.name: Run(path).name for path in tmp_path.iterdir()}
    assert names == {"vlmeval": "run 2", "vlmeval-1": "run 0", "vlmeval-2": "run 1"}


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    folder = grounding_run(tmp_path)
    (folder / "images").mkdir(exist_ok=True)
    strays = [
        folder / place / ".000000002.jsonl.gz.4711-0a1b2c3d.tmp"
        for place in ("", "evals", "samples", "images")
    ]
    mine = folder / "evals" / "notes.tmp"
    half = [folder / "evals" / "000000002.summary.json", folder / "samples" / "000000002.jsonl.gz"]
    for path in [*strays, mine, half[0]]:
        path.write_bytes(b"{}")
    half[1].write_bytes(gzip.compress(b'{"id": "scene-0000", "target": "of a dead process"}\n'))
    assert len(Run(folder).evaluations) == 2
    scorer, store = GroundingScorer(), store_of(tmp_path)
    samples = grounding_samples(scorer, [0, 1])
    store.write(summary_of(scorer, samples, 2), samples)
    assert not any(path.exists() for path in strays)
    assert mine.exists()
    assert len(Run(folder).evaluations) == 3
    assert not half[1].exists(), "these samples were first seen in evaluation 0"


def test_write_whole_leaves_nothing_behind_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "file"
    write_whole(path, b"old")

    def fails(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_sweeping_a_folder_that_is_not_there(tmp_path: Path) -> None:
    remove_strays(tmp_path / "nowhere")


@pytest.mark.parametrize("index", [None, -1, 1.5, "3", True, 10**9])
def test_an_index_that_cannot_be(tmp_path: Path, index: object) -> None:
    message = f"Expected `index` to be a whole number of at least 0, but got {index!r}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        store_of(tmp_path).write({"index": index}, [])


def test_an_evaluation_without_samples(tmp_path: Path) -> None:
    store_of(tmp_path).write({"index": 0}, [])
    run = Run(tmp_path)
    assert (run.samples(0), run.scores(0), len(run.table(0, "grounding"))) == ([], {}, 0)


# ------------------------------------------------------------------- what cannot be read


def test_no_run_here(tmp_path: Path) -> None:
    message = (
        f"{tmp_path}: expected the folder of a run, with 'run.json' or 'vlmeval/run.json' in it, "
        "but there is neither"
    )
    with pytest.raises(StoreError, match=re.escape(message)):
        Run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2}', "expected the format 1, but got 2: read it with the version of lightni"),
        ("{}", "expected the format 1, but got None"),
        ('{"format": 1, "scorers": []}', "expected 'scorers' to be a dict, but got []"),
        ("[1]", "expected a JSON object, but got an array"),
        ('{"format": 1', "expected a JSON object, but got Expecting ',' delimiter: line 1"),
        ("", "expected a JSON object, but got Expecting value"),
        ("[" * 100_000, "expected a JSON object, but maximum recursion depth exceeded"),
        ('{"format": ' + "9" * 5000 + "}", "expected a JSON object, but Exceeds the limit"),
    ],
)
def test_a_record_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path / 'run.json'}: {message}")):
        Run(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_a_file_that_is_cut(tmp_path: Path, kept: int) -> None:
    folder = grounding_run(tmp_path)
    path = folder / "evals" / "000000001.jsonl.gz"
    path.write_bytes(path.read_bytes()[:kept])
    run = Run(tmp_path)
    assert len(run.evaluations) == 2
    assert len(run.samples(0)) == 4
    for read in (lambda: run.samples(1), lambda: run.table(1, "grounding")):
        with pytest.raises(
            StoreError, match=re.escape(f"{path}: expected a whole gzip file, but:")
        ):
            read()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"id": 3}', ":2: expected a sample with a text as 'id', but got 3"),
        (b"3", ":2: expected a JSON object, but got a number"),
        (b"\xff", ":2: expected UTF-8 text, but got other bytes"),
        (b'{"id": "a"', ":2: expected a JSON object, but got Expecting ',' delimiter"),
        (b'{"id": "a", "rows": 3}', ":2: expected 'rows' to be an object, but got 3"),
        (b'{"id": "a", "rows": {"grounding": [1]}}', ":2: expected a row of 25 numbers, as in the"),
        (b'{"id": "a", "rows": {"grounding": ["x"]}}', ":2: a row: expected a number or null, but"),
        (b'{"id": "a", "rows": {"grounding": 1}}', ":2: a row: expected an array, but got a numb"),
        (
            b'{"id": "a", "rows": {"grounding": [' + b",".join([b"1"] * 25) + b']}, "payloads": '
            b'{"grounding": "?"}}',
            ":2: expected a payload in base64, but got '?'",
        ),
    ],
)
def test_a_line_that_cannot_be_read(tmp_path: Path, line: bytes, message: str) -> None:
    folder = grounding_run(tmp_path)
    path = folder / "evals" / "000000001.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": "0"}\n' + line + b"\n"))
    assert len(GroundingScorer().columns) == 25
    with pytest.raises(StoreError, match=re.escape(f"{path}{message}")):
        Run(tmp_path).table(1, "grounding")


def test_foreign_files_are_passed_over(tmp_path: Path) -> None:
    folder = grounding_run(tmp_path)
    for name in ("notes.jsonl.gz", "1.jsonl.gz", "00000000\u0663.jsonl.gz", "000000009.jsonl.gz"):
        (folder / "evals" / name).write_bytes(b"?")
        (folder / "samples" / name).write_bytes(b"?")
    (folder / "evals" / "000000007.summary.json").write_bytes(b"?")
    run = Run(folder)
    assert run.indices == [0, 1]
    assert len(run.samples()) == 4


def test_there_is_no_such_evaluation(tmp_path: Path) -> None:
    folder = grounding_run(tmp_path)
    run = Run(folder)
    for position in (2, -3):
        message = f"{folder}: expected one of its evaluations, but got {position}: there are 2"
        with pytest.raises(EvaluationIndexError, match=re.escape(message)):
            run.scores(position)
    for path in (folder / "evals").iterdir():
        path.unlink()
    with pytest.raises(IndexError, match="but got -1: there is none yet"):
        run.samples()


def test_there_is_no_such_metric(tmp_path: Path) -> None:
    run = Run(grounding_run(tmp_path))
    message = "Expected a metric of the run, grounding, but got 'bleu'"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        run.table(0, "bleu")


def test_values_that_are_none(tmp_path: Path) -> None:
    folder = grounding_run(tmp_path)
    path = folder / "evals" / "000000001.summary.json"
    path.write_text('{"index": 1, "values": {"val/grounding/f1": "high"}}')
    message = f"{path}: values: expected a number or null, but got a string"
    with pytest.raises(StoreError, match=re.escape(message)):
        Run(folder).scores(1)


def test_a_fingerprint_tells_validation_sets_apart() -> None:
    ids, targets = ["a", "b"], [{"boxes": [BOX], "labels": ["cat"]}, "x"]
    same = fingerprint(ids, targets)
    as_array = {"labels": ["cat"], "boxes": np.array([BOX])}
    assert fingerprint(ids[::-1], ["x", as_array]) == same
    assert fingerprint(ids, [torch.tensor(BOX), "x"]) != same
    assert fingerprint(["a", "c"], targets) != same
    assert len(same) == 64
