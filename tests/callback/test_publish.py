"""What people look at: TensorBoard's tab, texts and pictures, and the report at the end."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.session import publisher
from lightning_vlmeval.session.judge import Judge
from tests.callback.modules import QUIET, loader
from tests.callback.test_store import WithPictures


def fit(logger: Any, **options: Any) -> VLMEvalCallback:
    callback = VLMEvalCallback(print_results=False, **options)
    trainer = pl.Trainer(**{**QUIET, "logger": logger}, max_epochs=3, callbacks=[callback])
    trainer.fit(WithPictures(), loader(4), loader(12, first=100))
    return callback


def events_of(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 100}).Reload()


def test_tensorboard_and_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(self: Judge, entries: Any, *_: Any) -> list[str]:
        self.findings = [{"slug": "loose-boxes", "meaning": "Loose.", "advice": "Tighten."}]
        return ["loose-boxes: Loose."] if len(entries) == 3 else []

    monkeypatch.setattr(Judge, "look", look)
    logger = TensorBoardLogger(tmp_path)
    fit(logger)
    events = events_of(Path(logger.log_dir))
    tags = events.Tags()
    assert len(tags["images"]) == 8
    assert [one.step for one in events.Images(tags["images"][0])] == [0, 1, 3, 5]
    assert [one.step for one in events.Scalars("val/grounding/f1")] == [0, 1, 3, 5]
    assert events.summary_metadata["vlmeval"].plugin_data.plugin_name == "vlmeval"
    (diagnosis,) = [tag for tag in tags["tensors"] if "diagnosis" in tag]
    (told,) = events.Tensors(diagnosis)
    assert told.step == 3
    assert b"Tighten" in told.tensor_proto.string_val[0]
    report = Path(logger.log_dir) / "vlmeval" / "report.html"
    page = report.read_text(encoding="utf-8")
    assert "Content-Security-Policy" in page
    assert "val/grounding/f1" in page
    assert "Tighten." in page


def test_what_is_switched_off_is_not_there(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    fit(logger, tensorboard_images=0, report=False, diagnose=False)
    tags = events_of(Path(logger.log_dir)).Tags()
    assert tags["images"] == []
    assert not any("diagnosis" in tag for tag in tags["tensors"])
    assert not list(tmp_path.rglob("report.html"))


def test_any_logger_has_the_report(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    fit(logger)
    assert (Path(logger.log_dir) / "vlmeval" / "report.html").exists()


def test_the_run_lies_where_the_tab_looks_for_it(tmp_path: Path) -> None:
    board = TensorBoardLogger(tmp_path / "board")
    fit([CSVLogger(tmp_path / "csv"), board])
    assert (Path(board.log_dir) / "vlmeval" / "run.json").exists()
    assert not list((tmp_path / "csv").rglob("run.json"))


def test_a_fault_in_showing_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(publisher, "write_marker", broken)
    monkeypatch.setattr(publisher, "write_report", broken)
    with pytest.warns(UserWarning, match="RuntimeError: no") as seen:
        callback = fit(TensorBoardLogger(tmp_path))
    assert len(callback.history) == 4
    said = [str(one.message) for one in seen]
    assert sum("TensorBoard shows less than it could" in one for one in said) == 1
    assert sum("The report could not be written" in one for one in said) == 1
