"""The lines of a stored run are plain JSON that other readers take, whatever a model wrote."""

import gzip
import json
from pathlib import Path

import pandas
import pytest

from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import RunStore

TEXTS = ["a\nb\r\n", "\u2028\u2029\x85\x0b\x0c", '"}\\', "\ud800", "\x00\u202e", "", "{}", "é漢🙂"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = RunStore(tmp_path, run_record("first", ["vqa"], {}))
    for index in (0, 1):
        samples = [
            {
                "id": f"{i + index:03d}",
                "prompt": text,
                "target": [text, "dog"] if i % 2 else {"boxes": [[0, 0, 1.5, 2]]},
                "prediction": text,
                "scores": {"answers/anls": float("nan"), "text/bleu": 0.5},
            }
            for i, text in enumerate(TEXTS)
        ]
        store.write({"index": index, "step": index, "values": {}}, samples)
    return tmp_path


def test_a_line_is_a_json_object_in_utf_8(folder: Path) -> None:
    for path in folder.rglob("*.jsonl.gz"):
        data = gzip.decompress(path.read_bytes())
        assert data.endswith(b"\n")
        lines = data.decode("utf-8").split("\n")[:-1]
        objects = [json.loads(line, parse_constant=pytest.fail) for line in lines]
        assert all(list(one)[:2] == ["id", "loader"] for one in objects)
        assert len({one["id"] for one in objects}) == len(objects)
    answers = gzip.decompress((folder / "evals" / "000000001.jsonl.gz").read_bytes())
    found = [json.loads(line) for line in answers.split(b"\n")[:-1]]
    assert [one["prediction"] for one in found] == TEXTS
    assert found[0]["scores"] == {"answers/anls": None, "text/bleu": 0.5}


def test_pandas_joins_answers_with_what_is_stored_once(folder: Path) -> None:
    parts = sorted(folder.glob("samples/*.gz"))
    assert len(parts) == 2, "one sample came in the second evaluation"
    samples = pandas.concat(pandas.read_json(path, lines=True, dtype=False) for path in parts)
    answers = pandas.read_json(folder / "evals/000000001.jsonl.gz", lines=True, dtype=False)
    joined = answers.merge(samples, on=["loader", "id"], validate="one_to_one")
    ours = Run(folder).samples(1)
    assert list(joined["id"]) == [one["id"] for one in ours] == [f"{i:03d}" for i in range(1, 9)]
    # Half a character, which no tokenizer gives, is lost on the way into pandas.
    told = [json.loads(json.dumps(one).replace("\\ud800", "")) for one in ours]
    assert list(joined["target"]) == [one["target"] for one in told]
    assert list(joined["prediction"]) == [one["prediction"] for one in told]
