"""What is left of an evaluation that never came to its end."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from lightning_vlmeval import Run, VLMEvalCallback
from lightning_vlmeval.runs import unfinished
from lightning_vlmeval.runs.files import StoreError
from lightning_vlmeval.runs.unfinished import PartWriter, unfinished_answers
from tests.callback.modules import QUIET, loader
from tests.callback.test_store import WithPictures

ROOT = Path(__file__).resolve().parents[2]


def fit(folder: Path, module: pl.LightningModule, ckpt_path: str | None = None) -> None:
    callback = VLMEvalCallback(store=str(folder), print_results=False)
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    trainer.fit(module, loader(4), loader(8), ckpt_path=ckpt_path)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system with SIGKILL")
def test_a_killed_validation_leaves_its_answers_until_the_run_goes_on(tmp_path: Path) -> None:
    script = [sys.executable, "-W", "ignore", "-m", "tests.callback.endless_validation"]
    with subprocess.Popen(
        [*script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as it:
        assert it.stdout is not None
        assert any("asleep" in line for line in it.stdout)
        it.send_signal(signal.SIGKILL)
    run = Run(tmp_path)
    assert run.indices == [0]
    assert [one["id"] for one in run.unfinished] == [f"scene{i}" for i in range(4)]
    assert run.unfinished[0]["prompt"] == "find the boxes of 0"
    assert len(run.unfinished[1]["boxes"]) == 2
    assert "image" not in run.unfinished[0]
    fit(tmp_path, WithPictures(), str(tmp_path / "first.ckpt"))
    assert Run(tmp_path).indices == [0, 1]
    assert Run(tmp_path).unfinished == []
    assert not (tmp_path / "vlmeval.unfinished").exists()


class Failing(WithPictures):
    """Raises at the third batch of the second evaluation."""

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        if self.global_step and batch_idx == 2:
            raise MemoryError("no memory")
        return super().validation_step(batch, batch_idx)


def test_an_exception_leaves_the_answers_too(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        fit(tmp_path, Failing())
    assert [one["id"] for one in Run(tmp_path).unfinished] == [f"scene{i}" for i in range(4)]
    fit(tmp_path, WithPictures())  # another run in the same place
    assert Run(tmp_path).unfinished == Run(tmp_path / "vlmeval-1").unfinished == []


class Clean(pl.Callback):
    """Looks whether anything is left when training begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert list(self.folder.iterdir()) == []


def test_an_evaluation_that_ends_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "SECONDS", 0.0)
    callback = VLMEvalCallback(store=str(tmp_path), print_results=False, evaluate_untrained=False)
    trainer = pl.Trainer(
        **QUIET, max_epochs=1, num_sanity_val_steps=-1, callbacks=[callback, Clean(tmp_path)]
    )
    module = WithPictures()
    trainer.fit(module, loader(4), loader(8))
    assert [path.name for path in tmp_path.iterdir()] == ["vlmeval"]
    trainer.validate(module, loader(8), verbose=False)
    assert [path.name for path in tmp_path.iterdir()] == ["vlmeval"]
    trainer.test(module, loader(8), verbose=False)
    assert [path.name for path in tmp_path.iterdir()] == ["vlmeval"]


def test_each_rank_writes_and_sweeps_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "vlmeval"
    first, second = (PartWriter(folder, rank, 2) for rank in (0, 1))
    for writer, name in ((first, "a"), (second, "b")):
        writer.begin(1)
        writer.add([{"id": name}], now=True)
        writer.add([{"id": name}, {"id": 2 * name, "prediction": None}], now=True)
        writer.add([{"id": name}, {"id": 2 * name}], now=True)  # nothing new
    parts = sorted(path.name for path in (tmp_path / "vlmeval.unfinished").iterdir())
    assert parts == [f"000000001.rank{r}.00000{p}.jsonl.gz" for r in (0, 1) for p in (0, 1)]
    assert [one["id"] for one in unfinished_answers(folder)[1]] == ["a", "aa", "b", "bb"]

    for rank in (0, 1):
        stray = f".000000001.rank{rank}.000002.jsonl.gz.12-0123abcd.tmp"
        (tmp_path / "vlmeval.unfinished" / stray).write_bytes(b"half")
    first.begin(1)  # a rank that starts late must not remove what the other has written
    assert [path.name[:16] for path in tmp_path.rglob("*.tmp")] == [".000000001.rank1"]
    assert [one["id"] for one in unfinished_answers(folder)[1]] == ["b", "bb"]
    PartWriter(folder, 0, 1).begin(1)  # with fewer processes than before
    assert unfinished_answers(folder) == {}
    second.add([{"id": str(i)} for i in range(3)], now=True)
    second.end()
    assert unfinished_answers(folder)[1] == [{"id": "2"}], "rank zero ends it, when all is stored"
    first.end()
    assert unfinished_answers(folder) == {}
    first.add([{"id": "late"}], now=True)
    assert not (tmp_path / "vlmeval.unfinished").exists()


def test_answers_wait_for_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(unfinished.time, "monotonic", lambda: clock[0])
    writer = PartWriter(tmp_path / "vlmeval", 0, 1)
    writer.begin(0)
    samples: list[dict[str, str]] = []
    for number in range(40):
        clock[0] += 1
        samples.append({"id": str(number)})
        writer.add(samples)
    assert len(list(tmp_path.rglob("*.jsonl.gz"))) == 2
    assert len(unfinished_answers(tmp_path / "vlmeval")[0]) == 30


def test_a_place_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "vlmeval.unfinished").write_text("not a folder")
    writer = PartWriter(tmp_path / "vlmeval", 0, 1)
    writer.begin(0)
    with pytest.warns(UserWarning, match=r"Unfinished evaluations cannot be kept in .*unfinished"):
        writer.add([{"id": "a"}], now=True)
    writer.add([{"id": "a"}, {"id": "b"}], now=True)
    writer.end()


def test_a_part_that_is_cut_is_named(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path / "vlmeval", 0, 1)
    writer.begin(0)
    writer.add([{"id": "a"}], now=True)
    (part,) = tmp_path.rglob("*.jsonl.gz")
    os.truncate(part, 15)
    with pytest.raises(StoreError, match=r"rank0\.000000\.jsonl\.gz: expected a whole gzip file"):
        unfinished_answers(tmp_path / "vlmeval")
