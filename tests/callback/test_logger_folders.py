"""Loggers that keep all runs in one folder, or none here: each run has a folder of its own."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger, MLFlowLogger, WandbLogger

from lightning_vlmeval import Run, VLMEvalCallback
from tests.callback.modules import QUIET, Finder, loader

F1 = "val/grounding/f1"


class Service(Logger):
    """As the loggers of services are: a folder for all projects, a name and a version."""

    def __init__(self, save_dir: Path | None, version: str | int | None) -> None:
        super().__init__()
        self.folder, self.kept = save_dir, version
        self.logged: dict[int, dict[str, float]] = {}

    name = "project"

    @property
    def version(self) -> str | int | None:
        return self.kept

    @property
    def save_dir(self) -> str | None:
        return None if self.folder is None else str(self.folder)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.logged.setdefault(int(step or 0), {}).update(metrics)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def fit(logger: Any, folder: Path) -> VLMEvalCallback:
    callback = VLMEvalCallback(print_results=False)
    options = {**QUIET, "logger": logger, "default_root_dir": folder, "log_every_n_steps": 1}
    trainer = pl.Trainer(**options, max_epochs=2, callbacks=[callback])
    trainer.fit(Finder(), loader(8, first=100), loader(5))
    return callback


@pytest.mark.parametrize(
    ("version", "place"),
    [("a1b2", "project/a1b2"), (3, "project/version_3"), (None, "project")],
    ids=str,
)
def test_a_run_lies_beside_its_checkpoints(
    version: str | int | None, place: str, tmp_path: Path
) -> None:
    fit(Service(tmp_path / "all", version), tmp_path)
    assert len(Run(tmp_path / "all" / place / "vlmeval").evaluations) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["all"]


def test_a_second_run_leaves_the_first_alone(tmp_path: Path) -> None:
    for version in ("first", "second"):
        fit(Service(tmp_path, version), tmp_path)
    stored = sorted(path.parent.parent.name for path in tmp_path.rglob("run.json"))
    assert stored == ["first", "second"]


def test_a_service_without_a_folder_has_the_trainers(tmp_path: Path) -> None:
    logger = Service(None, "a1b2")
    callback = fit(logger, tmp_path)
    assert len(Run(tmp_path / "project" / "a1b2" / "vlmeval").evaluations) == 3
    logged = [logger.logged[step][F1] for step in (0, 3, 7)]
    assert logged == [entry["values"][F1] for entry in callback.history]


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="W&B is not installed")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(project="mine", save_dir=tmp_path, offline=True)
    callback = fit(logger, tmp_path)
    summary = dict(logger.experiment.summary)
    wandb.finish()
    assert summary[F1] == callback.history[-1]["values"][F1]
    assert summary["overfitting/flag"] == 0
    assert {"train/loss", "val/loss"} <= set(summary)
    assert len(Run(tmp_path / "mine" / str(logger.version) / "vlmeval").evaluations) == 3


def test_mlflow_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    stores = [MLFlowLogger("mine", tracking_uri=f"file:{tmp_path}/mlruns") for _ in range(2)]
    for logger in stores:
        callback = fit(logger, tmp_path)
        client, run_id = logger.experiment, logger.run_id
        values = [(one.step, one.value) for one in client.get_metric_history(run_id, F1)]
        known = [entry["values"][F1] for entry in callback.history]
        assert values == list(zip((0, 3, 7), known, strict=True))
        assert len(Run(Path(logger.save_dir, logger.name, run_id, "vlmeval")).evaluations) == 3
    assert {one.name for one in client.search_experiments()} == {"mine", "Default"}
