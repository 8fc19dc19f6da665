"""What a run leaves on disk is what was evaluated, on one process or several."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from lightning_vlmeval import Run, VLMEvalCallback
from tests.callback.modules import QUIET, Finder, loader
from tests.processes import spawn


class WithPictures(Finder):
    """Says what it was asked, and of which picture."""

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        pictures = [np.full((6, 8, 3), i, dtype=np.uint8) for i in batch["index"].tolist()]
        prompts = [f"find the boxes of {i}" for i in batch["index"].tolist()]
        return {
            **super().validation_step(batch, batch_idx),
            "image": pictures,
            "prompt": prompts,
            "annotator": batch["index"] % 2,
        }


def fit(store: bool | str, size: int = 5, epochs: int = 2, **options: Any) -> VLMEvalCallback:
    callback = VLMEvalCallback(store=store, print_results=False, **options.pop("callback", {}))
    options = {**QUIET, "max_epochs": epochs, **options}
    callbacks = [callback, *options.pop("callbacks", [])]
    ckpt_path = options.pop("ckpt_path", None)
    trainer = pl.Trainer(**options, callbacks=callbacks)
    trainer.fit(WithPictures(), loader(4), loader(size), ckpt_path=ckpt_path)
    return callback


def test_a_stored_run_is_the_run(tmp_path: Path) -> None:
    callback = fit(str(tmp_path))
    run = Run(tmp_path)
    assert [one["index"] for one in run.evaluations] == [0, 1, 2]
    assert run.record["model"] == {
        "class": "WithPictures",
        "parameters": 5,
        "trained_parameters": 5,
    }
    for stored, entry in zip(run.evaluations, callback.history, strict=True):
        known = {key: value for key, value in entry["values"].items() if not np.isnan(value)}
        assert {k: v for k, v in stored["values"].items() if v is not None} == known
        assert stored["val_loss"] == entry["val_loss"]
    table = run.table(-1, "grounding")
    expected = callback.evaluations[None].tables["grounding"]
    assert table.ids == expected.ids
    assert table.rows.tobytes() == expected.rows.tobytes()

    sample = run.samples(-1)[1]
    assert sample["id"] == "scene1"
    assert sample["prompt"] == "find the boxes of 1"
    assert sample["target"] == {"boxes": [[0, 0, 8, 8], [10, 0, 18, 8]]}
    assert sample["annotator"] == "1"
    assert sample["size"] == [8, 6]
    assert len(sample["boxes"]) == 2
    f1 = callback.evaluations[None].scorers["grounding"].sample_scores(expected)["f1"][1]
    assert sample["scores"]["grounding/f1"] == f1
    assert sample["scores"]["grounding/macro_f1"] == f1
    assert len(sample["matches"]) == round(2 * f1)
    assert all(iou >= 0.5 for _, _, iou in sample["matches"])
    assert len(list(tmp_path.glob("vlmeval/images/*.jpg"))) == 5


def test_where_it_lies(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path / "logs", name="run")
    fit(True, logger=logger, callback={"name": "mine"})
    assert len(Run(Path(logger.log_dir) / "vlmeval-mine").evaluations) == 3


@pytest.mark.parametrize("options", [{}, {"fast_dev_run": True, "epochs": 1}])
def test_nothing_is_written_without_a_place(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fit(True, **options)
    assert list(tmp_path.rglob("*.jsonl.gz")) == []


def test_pictures_are_left_out_where_they_are_not_wanted(tmp_path: Path) -> None:
    for images in ("none", "reference"):
        fit(str(tmp_path / images), callback={"images": images})
        assert not list((tmp_path / images).rglob("*.jpg"))
        assert all("image" not in sample for sample in Run(tmp_path / images).samples(0))
    fit(str(tmp_path / "two"), callback={"max_images": 2})
    assert len(list((tmp_path / "two").rglob("*.jpg"))) <= 2


class Saved(pl.Callback):
    """Saves a checkpoint when the fit ends."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.path)


def test_a_resumed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "first.ckpt"
    fit(str(tmp_path), epochs=1, callbacks=[Saved(path)])
    first = Run(tmp_path).evaluations
    fit(str(tmp_path), epochs=3, ckpt_path=str(path))
    run = Run(tmp_path)
    assert [one["index"] for one in run.evaluations] == [0, 1, 2, 3]
    assert run.evaluations[:2] == first
    assert [len(run.samples(i)) for i in range(4)] == [5, 5, 5, 5]


def test_a_place_that_cannot_be_written_does_not_stop_the_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.warns(UserWarning, match="could not be stored in") as seen:
        callback = fit(str(tmp_path / "file"))
    assert sum("could not be stored" in str(one.message) for one in seen) == 3
    assert len(callback.history) == 3


def on_ranks(rank: int, world: int, folder: str) -> None:
    torch.manual_seed(0)
    options = {"devices": world, "strategy": "ddp"} if world > 1 else {}
    fit(folder, size=7, epochs=1, **options)


def test_several_ranks_leave_what_one_leaves(tmp_path: Path) -> None:
    on_ranks(0, 1, str(tmp_path / "one"))
    spawn(on_ranks, 2, tmp_path, str(tmp_path / "two"))
    one, two = Run(tmp_path / "one"), Run(tmp_path / "two")
    assert one.samples(0) == two.samples(0)  # evaluation 0: the same weights, the same answers
    assert one.evaluations[0]["fingerprint"] == two.evaluations[0]["fingerprint"]
    assert [sample["id"] for sample in two.samples(1)] == [f"scene{i}" for i in range(7)]
