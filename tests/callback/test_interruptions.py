"""A run that is interrupted, or cannot write, loses the evaluation in progress and no other."""

import csv
import errno
import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger

from lightning_vlmeval import Run, VLMEvalCallback
from lightning_vlmeval.runs import store as store_module
from tests.callback.modules import QUIET, Finder, loader
from tests.callback.test_store import WithPictures


class Stops(Finder):
    """Raises in the second batch of a validation, or of the one before training."""

    def __init__(self, error: BaseException, untrained: bool) -> None:
        super().__init__()
        self.error: BaseException | None = error
        self.untrained = untrained

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        if self.error and batch_idx and self.trainer.sanity_checking == self.untrained:
            raise self.error
        return super().validation_step(batch, batch_idx)


def trainer_of(callback: VLMEvalCallback, **options: Any) -> pl.Trainer:
    return pl.Trainer(**{**QUIET, "max_epochs": 2, **options}, callbacks=[callback])


@pytest.mark.parametrize("untrained", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no more memory")])
@pytest.mark.filterwarnings("ignore:Found . module")
def test_the_callback_of_an_interrupted_fit_fits_again(
    tmp_path: Path, error: BaseException, untrained: bool
) -> None:
    callback = VLMEvalCallback(print_results=False, store=str(tmp_path), report=False)
    module, first = Stops(error, untrained), trainer_of(callback, num_sanity_val_steps=1)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises((SystemExit, RuntimeError)):
            first.fit(module, loader(8), loader(5, first=50))
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored
    assert first.num_sanity_val_steps == 1, "as the user set it"
    module.error = None
    fresh = VLMEvalCallback(print_results=False, store=False)
    module.layer.load_state_dict(Finder().layer.state_dict())
    trainer_of(callback).fit(module, loader(8), loader(5, first=50))
    trainer_of(fresh).fit(Finder(), loader(8), loader(5, first=50))
    assert [repr(one) for one in callback.history] == [repr(one) for one in fresh.history]
    assert [one["step"] for one in Run(tmp_path).evaluations] == [0, 4, 8]


def test_a_second_trainer_is_a_second_run(tmp_path: Path) -> None:
    callback = VLMEvalCallback(print_results=False, report=False)
    loggers = [CSVLogger(tmp_path, name=name) for name in ("one", "two")]
    for logger in loggers:
        trainer_of(callback, logger=logger).fit(WithPictures(), loader(8), loader(5, first=50))
    for logger in loggers:
        run = Run(Path(logger.log_dir))
        assert [(one["index"], one["step"]) for one in run.evaluations] == [(0, 0), (1, 4), (2, 8)]
        assert all("image" in sample for sample in run.samples())
    assert callback.verdict is not None
    assert callback.verdict.num_evaluations == 2


@pytest.mark.parametrize("failing", range(1, 6))
def test_a_disk_that_is_full_for_once_loses_one_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    write, calls = store_module.write_whole, []

    def full(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(store_module, "write_whole", full)  # the record, the samples, ...
    callback = VLMEvalCallback(print_results=False, store=str(tmp_path))
    with pytest.warns(UserWarning, match="could not be stored in .*No space left") as seen:
        trainer_of(callback).fit(WithPictures(), loader(8), loader(4, first=50))
    assert sum("could not be stored" in str(one.message) for one in seen) == 1
    lost = 0 if failing < 5 else 1
    run = Run(tmp_path)
    assert [one["index"] for one in run.evaluations] == [i for i in range(3) if i != lost]
    assert all({"target", "image", "prompt"} <= sample.keys() for sample in run.samples(0))
    assert (run.path / "report.html").exists()


class Growing(WithPictures):
    """Answers 2, 4, 4 and 6 samples in its four evaluations."""

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        evaluation = 0 if self.trainer.sanity_checking else self.current_epoch + 1
        found = super().validation_step(batch, batch_idx)
        if batch_idx < (1, 2, 2, 3)[evaluation]:
            return found
        return {**{key: one[:0] for key, one in found.items() if key != "loss"}, "id": []}


class Spoils(pl.Callback):
    """Lets no file be made in a folder during the second evaluation and the third."""

    def __init__(self, how: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.how, self.folder, self.patch = how, folder, monkeypatch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 0:
            self.spoil()
        elif trainer.current_epoch == 2:
            self.mend()

    def spoil(self) -> None:
        if self.how == "a file in its place":
            self.folder.rename(self.folder.with_name("aside"))
            self.folder.write_text("no folder")
            return
        code, folder, opened = getattr(errno, self.how), self.folder, Path.open

        def fail(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if path.parent == folder:
                raise OSError(code, os.strerror(code))
            return opened(path, mode, *args, **kwargs)

        self.patch.setattr(Path, "open", fail)

    def mend(self) -> None:
        self.patch.undo()
        if self.how == "a file in its place":
            self.folder.unlink()
            self.folder.with_name("aside").rename(self.folder)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("a file in its place", "File exists"),
        ("ENOSPC", "No space left on device"),
        ("EACCES", "Permission denied"),
    ],
)
@pytest.mark.filterwarnings("ignore:. samples of the validation set did not come")
def test_pictures_that_cannot_be_stored_for_a_while_are_stored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, why: str
) -> None:
    logger = CSVLogger(tmp_path / "logs")
    spoils = Spoils(how, tmp_path / "vlmeval" / "images", monkeypatch)
    callback = VLMEvalCallback(print_results=False, store=str(tmp_path))
    trainer = pl.Trainer(**{**QUIET, "logger": logger}, max_epochs=3, callbacks=[callback, spoils])
    with pytest.warns(UserWarning, match="could not be stored") as seen:
        trainer.fit(Growing(), loader(8), loader(6))
    (told,) = (str(one.message) for one in seen if "could not be stored" in str(one.message))
    assert re.fullmatch(
        rf"2 pictures could not be stored\. The first: sample 'scene2': .*{why}.*\. What cannot be "
        "written is tried again at each evaluation",
        told,
    )
    run = Run(tmp_path)
    assert [len(run.samples(index)) for index in range(4)] == [2, 4, 4, 6]
    assert [len(run.image(sample["image"])) > 0 for sample in run.samples(3)] == [True] * 6
    assert len(list(spoils.folder.iterdir())) == 6, "and nothing half-written"
    logged = Path(logger.log_dir, "metrics.csv").read_text()
    assert sum(bool(row["val/grounding/f1"]) for row in csv.DictReader(logged.splitlines())) == 4
    assert len(callback.history) == 4


KILLED = """
import os, signal, sys
import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from lightning_vlmeval import VLMEvalCallback
from tests.callback.modules import QUIET, Finder, loader

class Killed(Finder):
    def validation_step(self, batch, batch_idx):
        if self.trainer.current_epoch == 2 and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().validation_step(batch, batch_idx)

folder = sys.argv[1]
saved = ModelCheckpoint(folder, filename="{step}", save_top_k=-1, save_on_train_epoch_end=False)
callback = VLMEvalCallback(print_results=False, store=folder)
options = {**QUIET, "enable_checkpointing": True, "max_epochs": 4}
pl.Trainer(**options, callbacks=[callback, saved]).fit(Killed(), loader(8, first=100), loader(5))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system with SIGKILL")
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_killed_run_has_all_evaluations_but_the_one_in_progress(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, timeout=240, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert [one["step"] for one in Run(tmp_path).evaluations] == [0, 4, 8]
    resumed = VLMEvalCallback(print_results=False, store=str(tmp_path))
    trainer_of(resumed, max_epochs=4).fit(
        Finder(), loader(8, first=100), loader(5), ckpt_path=str(tmp_path / "step=8.ckpt")
    )  # without a warning: nothing is lost that was finished
    assert [one["step"] for one in Run(tmp_path).evaluations] == [0, 4, 8, 12, 16]
    earlier = VLMEvalCallback(print_results=False, store=str(tmp_path))
    with pytest.warns(UserWarning, match="evaluations 2, 3, 4 are removed: the run was resumed"):
        trainer_of(earlier, max_epochs=2).fit(
            Finder(), loader(8, first=100), loader(5), ckpt_path=str(tmp_path / "step=4.ckpt")
        )
    assert [one["step"] for one in Run(tmp_path).evaluations] == [0, 4, 8]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    callback = VLMEvalCallback(print_results=False, store=str(tmp_path))
    with pytest.warns(UserWarning, match=r"could not be stored in .*Permission denied"):
        trainer_of(callback).fit(Finder(), loader(8), loader(4, first=50))
    assert len(callback.history) == 3


@pytest.mark.filterwarnings("ignore:Total length of `DataLoader`")
def test_an_empty_validation_set_is_told() -> None:
    callback = VLMEvalCallback(print_results=False, store=False)
    with pytest.warns(UserWarning, match="never run: .* no validation dataloader or an empty one"):
        trainer_of(callback).fit(Finder(), loader(8), loader(0))
    assert callback.history == []


def test_a_terminal_without_a_sign_for_an_id_ends_no_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Named(Finder):
        def answers(self, batch: dict[str, Any]) -> dict[str, Any]:
            ids = [f"d\u00e9j\u00e0 \ud800 {index}" for index in batch["index"].tolist()]
            found = {**super().answers(batch), "id": ids}
            if 2 in batch["index"].tolist():
                found["preds"][0] = None  # so that its id is printed
            return found

    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    trainer_of(VLMEvalCallback(store=False)).fit(Named(), loader(8), loader(4))
    sys.stdout.flush()
    assert rb"d\xe9j\xe0 \ud800 2" in written.getvalue()
