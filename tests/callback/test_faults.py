"""What goes wrong in one sample, one metric or one rank ends no training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from lightning_vlmeval import Run, VLMEvalCallback
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.metrics.table_metric import TableMetric
from tests.callback.modules import QUIET, Finder, loader
from tests.processes import spawn


class Odd(Finder):
    """Its last batch is changed by `change`, a function of what it returns."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.change = change

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        found = super().validation_step(batch, batch_idx)
        found = {**found, "losses": self.loss(batch), "id": list(batch["id"])}
        return self.change(found) if batch_idx else found


def fit(module: Any, tmp_path: Path, **options: Any) -> VLMEvalCallback:
    callback = VLMEvalCallback(print_results=False, store=str(tmp_path), **options)
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    trainer.fit(module, loader(4), loader(4, first=100))
    return callback


def test_labels_that_do_not_fit_their_boxes_are_counted(tmp_path: Path) -> None:
    def change(found: dict[str, Any]) -> dict[str, Any]:
        sides = {
            side: [{"boxes": boxes, "labels": ["a"] * len(boxes)} for boxes in found[side]]
            for side in ("preds", "target")
        }
        sides["preds"][0]["labels"] = ["a"] * 9
        return {**found, **sides}

    callback = fit(Odd(change), tmp_path)
    assert "1 unscored" in callback.history[-1]["accounting"][""]
    assert len(Run(tmp_path).samples(-1)) == 4


@pytest.mark.filterwarnings("ignore:1 samples of the validation set did not come")
def test_an_id_that_comes_twice_counts_once(tmp_path: Path) -> None:
    callback = fit(Odd(lambda found: {**found, "id": ["same", "same"]}), tmp_path)
    assert "3 of 4 samples" in callback.history[-1]["accounting"][""]


def test_a_loss_that_is_no_number_is_not_taken_for_nought(tmp_path: Path) -> None:
    nan = torch.tensor([float("nan"), 1.0])
    callback = fit(Odd(lambda found: {**found, "losses": nan}), tmp_path)
    assert set(callback.evaluations[None].sample_losses) == {"scene100", "scene101", "scene103"}


class Broken(GroundingScorer):
    """Fails when it is to give its scores."""

    name = "broken"

    def from_sums(self, sums: Any) -> Any:
        raise RuntimeError("my metric broke")


@pytest.mark.filterwarnings("ignore:The metric 'broken' failed", "ignore:The evaluation could not")
def test_a_metric_that_fails_does_not_keep_the_others_from_the_store(tmp_path: Path) -> None:
    metrics = {"grounding": TableMetric(GroundingScorer()), "broken": TableMetric(Broken())}
    callback = fit(Finder(), tmp_path, metrics=metrics, report=False)
    assert len(callback.history) == 2
    run = Run(tmp_path)
    assert "grounding" in run.samples(-1)[0]["rows"]
    assert "broken" not in run.samples(-1)[0]["rows"]


def test_a_question_needs_no_size_of_its_image(tmp_path: Path) -> None:
    class Mixed(Finder):
        def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
            text = '[{"bbox_2d": [0, 0, 500, 500], "label": "a"}]'
            return {
                "loss": self.loss(batch).mean(),
                "preds": [text, "two"],
                "target": [text, "two"],
                "task": ["phrase_grounding", "vqa"],
                "size": [(100, 100), None],
            }

    options = {"task": ["phrase_grounding", "vqa"], "box_format": "qwen3-vl"}
    callback = fit(Mixed(), tmp_path, metrics=["grounding", "answers"], **options)
    values = callback.history[-1]["values"]
    assert values["val/grounding/f1"] == values["val/answers/exact_match"] == 1


def test_validating_a_checkpoint_leaves_the_stored_run_where_it_is(tmp_path: Path) -> None:
    first = VLMEvalCallback(print_results=False, store=str(tmp_path / "run"))
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[first])
    trainer.fit(Finder(), loader(4), loader(4, first=100))
    trainer.save_checkpoint(tmp_path / "it.ckpt")
    later = VLMEvalCallback(print_results=False, store=str(tmp_path / "run"))
    other = pl.Trainer(**QUIET, callbacks=[later])
    other.validate(Finder(), loader(4, first=100), ckpt_path=tmp_path / "it.ckpt", verbose=False)
    assert later.history == []
    assert len(Run(tmp_path / "run").evaluations) == 2
    assert not (tmp_path / "run" / "vlmeval-1").exists()


class Disagreeing(Finder):
    """Logs a validation loss that rises on rank zero only."""

    def __init__(self) -> None:
        super().__init__(return_loss=False)
        self.curve = [1.0, 0.8, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4]

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        epoch = self.trainer.current_epoch
        loss = self.curve[epoch] if self.global_rank == 0 else 1.0 / (epoch + 1)
        self.log("val_loss", torch.tensor(loss))
        return super().validation_step(batch, batch_idx)


def stop_together(rank: int, world: int) -> int:
    callback = VLMEvalCallback(
        print_results=False, stop_on_overfitting=True, evaluate_untrained=False, store=False
    )
    options = {**QUIET, "devices": world, "strategy": "ddp", "num_sanity_val_steps": 0}
    trainer = pl.Trainer(**options, max_epochs=10, callbacks=[callback])
    trainer.fit(Disagreeing(), loader(8), loader(4, first=100))
    return len(callback.history)


@pytest.mark.filterwarnings("ignore:.*sync_dist", "ignore:Overfitting since")
def test_ranks_that_see_unlike_losses_stop_together(tmp_path: Path) -> None:
    counts = spawn(stop_together, 2, tmp_path)
    assert counts[0] == counts[1] < 10


def test_an_answer_that_is_nothing_at_all_is_counted(tmp_path: Path) -> None:
    callback = fit(Odd(lambda found: {**found, "preds": [None, np.zeros((0, 4))]}), tmp_path)
    assert "1 unscored" in callback.history[-1]["accounting"][""]
    assert len(Run(tmp_path).samples(-1)) == 4


def test_a_second_fit_has_the_sanity_steps_that_were_asked_for(tmp_path: Path) -> None:
    callback = VLMEvalCallback(print_results=False, store=False)
    trainer = pl.Trainer(**QUIET, max_epochs=1, num_sanity_val_steps=1, callbacks=[callback])
    trainer.fit(Finder(), loader(4), loader(4, first=100))
    assert trainer.num_sanity_val_steps == 1
    assert [entry["step"] for entry in callback.history] == [0, 2]


def test_accumulated_batches_log_their_loss_once(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    callback = VLMEvalCallback(print_results=False, store=False)
    options = {**QUIET, "logger": logger, "log_every_n_steps": 1}
    trainer = pl.Trainer(**options, max_epochs=1, accumulate_grad_batches=4, callbacks=[callback])
    calls: list[int] = []
    write = logger.log_metrics
    logger.log_metrics = lambda metrics, step=None: (  # type: ignore[method-assign]
        calls.append(step) if "train/loss" in metrics else None,
        write(metrics, step),
    )[1]
    trainer.fit(Finder(), loader(16), loader(4, first=100))
    assert calls == [0, 1]


class Moded(Finder):
    """Remembers in which mode it was asked, and whether its hook saw the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bool, bool]] = []

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return {**batch, "hooked": True}

    def vlmeval_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> dict[str, Any]:
        self.seen.append((self.training, "hooked" in batch))
        return self.answers(batch)


def test_training_samples_are_answered_like_validation_samples(tmp_path: Path) -> None:
    module = Moded()
    fit(module, tmp_path, training_samples=4)
    assert set(module.seen) == {(False, True)}
    assert len(module.seen) == 8  # two batches of each set, at two evaluations
    assert module.training
