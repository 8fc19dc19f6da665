"""What loggers other than TensorBoard's are given: exact calls, faults, and the real ones' files."""

import csv
import importlib.util
import json
import re
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers import MLFlowLogger as RealMLFlowLogger
from pytorch_lightning.loggers import WandbLogger as RealWandbLogger

from lightning_vlmeval import Run, VLMEvalCallback
from lightning_vlmeval.reporting.wandb_media import MOST_ROWS, cell, log_table, picture_boxes
from lightning_vlmeval.session.judge import Judge
from tests.callback.fake_loggers import MLFlowLogger, Unknown, WandbLogger
from tests.callback.modules import QUIET, loader
from tests.callback.test_store import WithPictures
from tests.reporting.made_runs import HOSTILE, make_run

MLFLOW_NAME = re.compile(r"[A-Za-z0-9_/. -]+")


class Hostile(WithPictures):
    """Says what no page should take for more than text."""

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        said = super().validation_step(batch, batch_idx)
        return {**said, "prompt": ["=1+1", HOSTILE][: len(said["prompt"])]}


def fit(loggers: list[Any], **options: Any) -> VLMEvalCallback:
    callback = VLMEvalCallback(print_results=False, **options)
    trainer = pl.Trainer(**{**QUIET, "logger": loggers}, max_epochs=3, callbacks=[callback])
    trainer.fit(Hostile(), loader(4), loader(10))
    return callback


@pytest.fixture
def diagnosed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding at the third evaluation, in a hostile model's words."""

    def look(self: Judge, entries: Any, *_: Any) -> list[str]:
        self.findings = [{"slug": "loose-boxes", "meaning": HOSTILE, "samples": ["scene1"]}]
        return ["loose-boxes"] if len(entries) == 3 else []

    monkeypatch.setattr(Judge, "look", look)


@pytest.mark.usefixtures("diagnosed")
def test_exact_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html = SimpleNamespace(Html=lambda path, inject: ("page", path, inject))
    monkeypatch.setitem(sys.modules, "wandb", html)
    wandb, mlflow, unknown = (kind(tmp_path) for kind in (WandbLogger, MLFlowLogger, Unknown))
    callback = fit([wandb, mlflow, unknown])
    folder = tmp_path / "project" / "run1" / "vlmeval"
    run, report = Run(folder), str(folder / "report.html")
    assert len(callback.history) == 4

    images, tables = wandb.of("log_image"), wandb.of("log_table")
    assert [options["step"] for _, options in images] == [0, 1, 3, 5], "as the values' curves"
    assert [options["step"] for _, options in tables] == [0, 1, 3, 5]
    (key, paths), options = images[-1]
    assert key == "vlmeval/samples"
    assert paths == [str(folder / "images" / one["image"]) for one in run.samples(-1)[:8]]
    assert all(Path(path).read_bytes().startswith(b"\xff\xd8\xff") for path in paths)
    assert options["caption"][0] == "scene0 | =1+1"
    assert options["caption"][1].startswith('scene1 | </script><img src=x onerror="window.PWNED=1"')
    assert "⟨U+202E⟩turned" in options["caption"][1]
    sample = run.samples(-1)[1]
    boxes = options["boxes"][1]
    assert boxes == picture_boxes(sample, (8, 6))
    assert {one["class_id"] for one in boxes["predictions"]["box_data"]} == {3}
    assert boxes["ground_truth"]["box_data"][1] == {
        "position": {"minX": 10.0, "minY": 0.0, "maxX": 18.0, "maxY": 8.0},
        "domain": "pixel",
        "class_id": 1,
        "box_caption": "box",
        "scores": {"iou": {m[1]: m[2] for m in sample["matches"]}[1]},
    }
    _, table = tables[-1]
    assert table["columns"][:4] == ["id", "prompt", "target", "answer"]
    assert len(table["data"]) == 10
    row = dict(zip(table["columns"], table["data"][1], strict=True))
    assert row["target"] == '{"boxes": [[0.0, 0.0, 8.0, 8.0], [10.0, 0.0, 18.0, 8.0]]}'
    assert row["grounding/f1"] == sample["scores"]["grounding/f1"]
    assert table["data"][0][1] == "'=1+1"
    assert wandb.of("log") == [(({"vlmeval/report": ("page", report, False)},), {})]
    name = {"name": "vlmeval-report-run1", "type": "report"}
    assert wandb.of("log_artifact") == [((report,), name)]

    places = [args[2] for args, _ in mlflow.of("log_image")]
    evaluations = ["0000_step_0", "0001_step_2", "0002_step_4", "0003_step_6"]
    assert places == [
        f"vlmeval/evaluation_{e}/sample_{i}.jpg" for e in evaluations for i in range(8)
    ]
    assert {(args[0], args[1].size) for args, _ in mlflow.of("log_image")} == {("run1", (320, 240))}
    ((run_id, text, place), _), = mlflow.of("log_text")  # fmt: skip
    assert (run_id, place) == ("run1", "vlmeval/evaluation_0002_step_4/diagnosis.md")
    assert "<script" not in text
    assert r"\[a\]\(javascript:" in text
    assert mlflow.of("log_artifact") == [(("run1", report, "vlmeval"), {})]
    names = {key for one in mlflow.scalars for key in one} | set(places)
    assert all(map(MLFLOW_NAME.fullmatch, names))

    assert unknown.calls == []
    assert any("val/grounding/f1" in one for one in unknown.scalars)


def test_no_fault_of_a_logger_stops_training(tmp_path: Path) -> None:
    broken = [WandbLogger(tmp_path, broken=True), MLFlowLogger(tmp_path, broken=True)]
    whole, numbers = WandbLogger(tmp_path), CSVLogger(tmp_path / "csv")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        callback = fit([*broken, whole, numbers])
    said = [str(one.message) for one in seen if "no connection" in str(one.message)]
    assert said == [
        "W&B shows less than it could: OSError: no connection",
        "MLflow shows less than it could: OSError: no connection",
    ]
    assert len(callback.history) == 4
    assert len(whole.of("log_image")) == 4
    with (Path(numbers.log_dir) / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["val/grounding/f1"]]
    assert len(rows) == 4


def test_two_callbacks_do_not_overwrite_each_other(tmp_path: Path) -> None:
    logger = WandbLogger(tmp_path)
    callbacks = [VLMEvalCallback(print_results=False, name=name) for name in (None, "a@b")]
    trainer = pl.Trainer(
        **{**QUIET, "logger": logger}, max_epochs=1, num_sanity_val_steps=0, callbacks=callbacks
    )
    trainer.fit(WithPictures(), loader(4), loader(4))
    assert [args[0] for args, _ in logger.of("log_image")] == [
        "vlmeval/samples",
        "vlmeval-a@b/samples",
    ]
    names = [options["name"] for _, options in logger.of("log_artifact")]
    assert names == ["vlmeval-report-run1", "vlmeval-a_b-report-run1"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0"),
        ("+1+1", "'+1+1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        ("-0.5", "-0.5"),
        ("- a dog", "'- a dog"),
        (["a", "b"], '["a", "b"]'),
        ("a\u202eb\ud800", "a⟨U+202E⟩b⟨U+D800⟩"),
        ("x" * 3000, "x" * 1999 + "…"),
    ],
)
def test_a_cell_is_text(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_a_box_without_numbers_is_not_drawn() -> None:
    sample = {
        "target": {"boxes": [[8, 8, 0, 0]], "labels": ["a dog"]},
        "boxes": [[0, None, 1, 1]],
        "labels": [HOSTILE],
    }
    boxes = picture_boxes(sample, (8, 8))
    assert boxes is not None
    (truth,) = boxes["ground_truth"]["box_data"]
    assert (truth["box_caption"], truth["class_id"]) == ("a dog", 2)
    assert truth["position"] == {"minX": 0, "minY": 0, "maxX": 8, "maxY": 8}
    assert boxes["predictions"]["box_data"] == []
    assert picture_boxes({"target": "a text"}, (8, 8)) is None


def test_a_long_table_has_the_same_rows_each_time(tmp_path: Path) -> None:
    run, logger = Run(make_run(tmp_path, 300, 2, images=False)), WandbLogger(tmp_path)
    assert log_table(logger, run, 1) == log_table(logger, run, 2) == MOST_ROWS
    ids = [[row[1] for row in options["data"]] for _, options in logger.of("log_table")]
    assert ids[0] == ids[1] == sorted(ids[0])
    assert logger.of("log_table")[0][1]["columns"][0] == "task"


@pytest.mark.skipif(not importlib.util.find_spec("mlflow"), reason="MLflow is not installed")
@pytest.mark.usefixtures("diagnosed")
@pytest.mark.filterwarnings("default")  # MLflow's own
def test_the_files_of_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = RealMLFlowLogger("e", tracking_uri=(tmp_path / "ml").as_uri())
    fit([logger])
    client, folder = logger.experiment, "vlmeval/evaluation_0002_step_4"
    assert {one.path for one in client.list_artifacts(logger.run_id, folder)} == {
        *(f"{folder}/sample_{i}.jpg" for i in range(8)),
        f"{folder}/diagnosis.md",
    }
    picture = client.download_artifacts(logger.run_id, f"{folder}/sample_0.jpg", str(tmp_path))
    with Image.open(picture) as opened:
        assert (opened.format, opened.size) == ("JPEG", (320, 240))
    report = client.download_artifacts(logger.run_id, "vlmeval/report.html", str(tmp_path))
    assert "val/grounding/f1" in Path(report).read_text()
    assert len(client.get_metric_history(logger.run_id, "val/grounding/f1")) == 4


@pytest.mark.skipif(not importlib.util.find_spec("wandb"), reason="wandb is not installed")
@pytest.mark.filterwarnings("default")  # wandb's own
def test_the_files_of_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MODE": "offline", "SILENT": "true", "DIR": str(tmp_path)}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    logger = RealWandbLogger(project="p", save_dir=tmp_path)
    run = Run(make_run(tmp_path / "made", 30, 3))  # texts, objects and boxes, some hostile
    fit([logger])
    assert log_table(logger, run, 6, "made") == 30
    summary = dict(logger.experiment.summary)
    logger.experiment.finish()
    assert {"vlmeval/samples", "vlmeval/answers", "vlmeval/report"} <= set(summary)
    (files,) = tmp_path.glob("wandb/offline-run-*/files")
    boxes = [json.loads(path.read_text()) for path in files.rglob("vlmeval/*.boxes2D.json")]
    assert {key for one in boxes for key in one} >= {"box_data"}
    assert len(list(files.rglob("media/images/vlmeval/*.jpg"))) >= 8
    (page,) = files.rglob("media/html/vlmeval/*.html")
    assert "val/grounding/f1" in page.read_text()
    tables = [json.loads(path.read_text()) for path in files.rglob("*.table.json")]
    assert sorted(len(table["data"]) for table in tables) == [10, 10, 10, 10, 30]
    cells = [str(value) for table in tables for row in table["data"] for value in row]
    assert any("window.PWNED" in value for value in cells)
    assert "'=1+1" in cells
