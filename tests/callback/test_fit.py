"""The callback in a Trainer: what it logs, where, and in what order."""

import math
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.metrics import GroundingScore
from tests.callback.modules import QUIET, Finder, loader, target_boxes


def make(**kwargs: Any) -> VLMEvalCallback:
    return VLMEvalCallback(**{"print_results": False, **kwargs})


def fit(callback: VLMEvalCallback, module: Any = None, **kwargs: Any) -> pl.Trainer:
    options = {**QUIET, "max_epochs": 2, "callbacks": [callback], **kwargs}
    trainer = pl.Trainer(**options)
    trainer.fit(module or Finder(), loader(8, first=100), loader(5))
    return trainer


def test_values_are_the_metric_over_the_whole_validation_set() -> None:
    callback = make()
    module = Finder()
    trainer = fit(callback, module)
    metric = GroundingScore()
    for batch in loader(5):
        with torch.no_grad():
            answers = module.answers(batch)
        metric.update(answers["preds"], answers["target"], batch["id"])
    for key, value in metric.compute().items():
        logged = trainer.callback_metrics.get(f"val/grounding/{key}")
        assert (logged is None and torch.isnan(value)) or logged == value, key
    assert [entry["index"] for entry in callback.history] == [0, 1, 2]
    assert [entry["step"] for entry in callback.history] == [0, 4, 8]
    f1 = [entry["values"]["val/grounding/f1"] for entry in callback.history]
    assert f1[-1] >= f1[0]
    (evaluation,) = callback.evaluations.values()
    assert str(evaluation.accounting) == "5 of 5 samples, 0 duplicates dropped, 0 missing"
    assert evaluation.tables["grounding"].ids == tuple(f"scene{i}" for i in range(5))


def test_an_encoder_that_cannot_be_loaded_is_told_before_the_training(tmp_path: Path) -> None:
    module = Finder()
    callback = make(task="vqa", metrics=["bertscore"], encoder=str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"cannot be loaded"):
        fit(callback, module, num_sanity_val_steps=0)
    assert module.trainer.global_step == 0
    assert not module.trainer.fit_loop.epoch_loop.batch_progress.total.ready


ONE_PACKAGE = """
import sys
import lightning.pytorch as pl
import torch
from lightning_vlmeval import VLMEvalCallback

assert "pytorch_lightning" not in sys.modules or issubclass(VLMEvalCallback, pl.Callback)

class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
    def training_step(self, batch, batch_idx):
        return self.layer(batch).mean()
    def validation_step(self, batch, batch_idx):
        boxes = [[[0.0, 0.0, 1.0, 1.0]]] * len(batch)
        return {"loss": self.layer(batch).mean(), "preds": boxes, "target": boxes}
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

loader = torch.utils.data.DataLoader(torch.rand(3, 1), 2)
callback = VLMEvalCallback()
assert isinstance(callback, pl.Callback)
options = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
trainer = pl.Trainer(accelerator="cpu", max_epochs=1, callbacks=callback, **options)
trainer.fit(Module(), loader, loader)
print(len(callback.history), float(trainer.callback_metrics["val/grounding/f1"]))
"""


def test_the_other_package() -> None:
    command = [sys.executable, "-c", ONE_PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1:] == ["2 1.0"], done.stderr


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("interval", [1.0, 0.5])
def test_checkpoints_and_early_stopping_see_the_values_of_the_same_validation(
    tmp_path: Path, first: bool, interval: float
) -> None:
    callback = make()
    checkpoint = ModelCheckpoint(tmp_path, monitor="val/grounding/mean_iou", mode="max")
    stopping = EarlyStopping("val/grounding/mean_iou", mode="max", patience=5)
    order = [callback, stopping, checkpoint] if first else [stopping, checkpoint, callback]
    trainer = fit(callback, callbacks=order, enable_checkpointing=True, val_check_interval=interval)
    seen = [entry["values"]["val/grounding/mean_iou"] for entry in callback.history[1:]]
    assert len(seen) == 2 / interval
    assert float(checkpoint.best_model_score) == max(seen)
    assert float(stopping.best_score) == max(seen)
    assert trainer.callback_metrics["val/grounding/mean_iou"].dtype == torch.float64


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def test_tensorboard_shows_losses_and_values_from_the_untrained_model_on(tmp_path: Path) -> None:
    callback = make()
    logger = TensorBoardLogger(tmp_path, name="", version="run")
    fit(callback, logger=logger, log_every_n_steps=2)
    scalars = read_scalars(tmp_path / "run")
    assert [step for step, _ in scalars["val/grounding/f1"]] == [0, 3, 7]
    assert [step for step, _ in scalars["val/loss"]] == [0, 3, 7]
    assert [step for step, _ in scalars["train/loss"]] == [1, 3, 5, 7]
    for (_, logged), entry in zip(scalars["val/grounding/f1"], callback.history, strict=True):
        assert logged == pytest.approx(entry["values"]["val/grounding/f1"], rel=1e-6)
    for (_, logged), entry in zip(scalars["val/loss"], callback.history, strict=True):
        assert logged == pytest.approx(entry["val_loss"], rel=1e-6)
    assert [step for step, _ in scalars["overfitting/flag"]] == [3, 7]
    layout = _layout(tmp_path / "run")
    assert "^train/loss$" in layout
    assert "^val/loss$" in layout
    assert "^val/grounding/precision$" in layout
    assert "val_loss" not in layout, "only what exists"


def _layout(folder: Path) -> str:
    events = EventAccumulator(str(folder)).Reload()
    (event,) = events.Tensors("custom_scalars__config__")
    return event.tensor_proto.string_val[0].decode("utf-8", "replace")


def test_a_logger_prefix_is_part_of_the_layouts_tags(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="run", prefix="mine")
    fit(make(), logger=logger, log_every_n_steps=1)
    assert "mine-val/grounding/f1" in read_scalars(tmp_path / "run")
    assert r"^mine\-val/grounding/f1$" in _layout(tmp_path / "run")


def test_values_reach_a_csv_file_unrounded_and_two_loggers_at_once(tmp_path: Path) -> None:
    callback = make()
    loggers = [
        CSVLogger(tmp_path, name="", version="csv"),
        TensorBoardLogger(tmp_path, name="", version="tb"),
    ]
    fit(callback, logger=loggers, log_every_n_steps=1)
    header, *lines = (tmp_path / "csv" / "metrics.csv").read_text().splitlines()
    place = header.split(",").index("val/grounding/mean_iou")
    written = [line.split(",")[place] for line in lines if line.split(",")[place]]
    want = [entry["values"]["val/grounding/mean_iou"] for entry in callback.history]
    assert [float(value) for value in written] == want
    assert "val/grounding/mean_iou" in read_scalars(tmp_path / "tb")


def test_undefined_values_are_not_logged() -> None:
    class Blind(Finder):
        def answers(self, batch: dict[str, Any]) -> dict[str, Any]:
            found = super().answers(batch)
            return {**found, "preds": [[] for _ in found["preds"]]}

    callback = make()
    trainer = fit(callback, Blind())
    assert math.isnan(callback.history[-1]["values"]["val/grounding/iou"])
    assert "val/grounding/iou" not in trainer.callback_metrics
    assert trainer.callback_metrics["val/grounding/f1"] == 0


@pytest.mark.parametrize("steps", [0, 2])
def test_a_partial_sanity_check_leaves_no_trace(steps: int) -> None:
    callback = make(evaluate_untrained=False)
    fit(callback, num_sanity_val_steps=steps)
    assert [entry["index"] for entry in callback.history] == [0, 1]
    assert [entry["step"] for entry in callback.history] == [4, 8]
    assert callback.verdict.num_evaluations == 2


def test_no_sanity_checks_no_evaluation_of_the_untrained_model() -> None:
    callback = make()
    fit(callback, num_sanity_val_steps=0)
    assert [entry["step"] for entry in callback.history] == [4, 8]


def test_validate_before_fit_is_evaluation_zero_and_not_for_the_rule() -> None:
    callback = make()
    trainer = pl.Trainer(**QUIET, max_epochs=2, callbacks=[callback])
    module = Finder()
    (values,) = trainer.validate(module, loader(5), verbose=False)
    trainer.fit(module, loader(8, first=100), loader(5))
    assert [entry["step"] for entry in callback.history] == [0, 4, 8]
    assert callback.history[0]["values"]["val/grounding/f1"] == values["val/grounding/f1"]
    assert callback.history[0]["state"] is None
    assert callback.verdict.num_evaluations == 2
    trainer.validate(module, loader(3), verbose=False)
    assert len(callback.history) == 3, "a validate after the fit is not part of the run"
    (evaluation,) = callback.evaluations.values()
    assert evaluation.accounting.seen == evaluation.accounting.expected == 3
    (tested,) = trainer.test(module, loader(4), verbose=False)
    assert "test/grounding/f1" in tested


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"val_check_interval": 0.5}, [0, 2, 4, 6, 8]),
        ({"check_val_every_n_epoch": 2}, [0, 8]),
        ({"check_val_every_n_epoch": None, "val_check_interval": 3}, [0, 3, 6]),
        ({"accumulate_grad_batches": 2}, [0, 2, 4]),
        ({"limit_val_batches": 2}, [0, 4, 8]),
        ({"max_steps": 6, "max_epochs": -1}, [0, 4]),
        ({"overfit_batches": 2}, [0, 2, 4]),
    ],
    ids=str,
)
def test_every_way_to_time_validations(options: dict[str, Any], steps: list[int]) -> None:
    callback = make()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*overfit_batches.*|.*sampler has shuffling.*")
        fit(callback, **options)
    assert [entry["step"] for entry in callback.history] == steps
    if "limit_val_batches" in options:
        (evaluation,) = callback.evaluations.values()
        assert evaluation.accounting.expected == evaluation.accounting.seen == 4


@pytest.mark.parametrize("accumulate", [1, 4])
def test_the_training_loss_is_the_mean_since_the_last_evaluation(accumulate: int) -> None:
    seen: list[float] = []

    class Noting(Finder):
        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            seen.append(float(loss.detach()))
            return loss

    callback = make()
    fit(callback, Noting(), accumulate_grad_batches=accumulate)
    means = [entry["train_loss"] for entry in callback.history[1:]]
    assert means == pytest.approx([sum(seen[:4]) / 4, sum(seen[4:]) / 4], rel=1e-6)
    assert math.isnan(callback.history[0]["train_loss"])


def test_manual_optimisation_is_not_rescaled() -> None:
    seen: list[float] = []

    class Manual(Finder):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            seen.append(float(loss.detach()))
            return loss

    callback = make()
    fit(callback, Manual())
    assert callback.history[1]["train_loss"] == pytest.approx(sum(seen[:4]) / 4, rel=1e-6)


def test_non_finite_training_losses_are_counted_and_left_out() -> None:
    class Broken(Finder):
        def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
            return torch.zeros((), requires_grad=True) + (1.0 if batch_idx else float("inf"))

    callback = make()
    fit(callback, Broken(), max_epochs=1)
    assert callback.history[1]["nonfinite_train_batches"] == 1
    assert callback.history[1]["train_loss"] == 1.0


def test_a_loss_that_the_module_logs_is_read_fresh() -> None:
    class Late(Finder):
        counted = 0

        def on_validation_epoch_end(self) -> None:
            if not self.trainer.sanity_checking:
                type(self).counted += 1
                self.log("val_loss", float(self.counted))

    callback = make()
    trainer = fit(callback, Late(return_loss=False), max_epochs=3)
    assert [entry["val_loss"] for entry in callback.history] == [None, 1.0, 2.0, 3.0]
    assert callback.verdict.num_evaluations == 3
    assert "val/loss" not in trainer.callback_metrics, "it is logged already, by the module"


def test_without_a_validation_loss_there_is_no_verdict() -> None:
    callback = make()
    fit(callback, Finder(return_loss=False))
    assert callback.verdict is None
    assert [entry["state"] for entry in callback.history] == [None, None, None]


@pytest.mark.parametrize("kind", [list, dict])
def test_several_dataloaders_have_names(kind: type) -> None:
    loaders: Any = {"shelf": loader(5), "street": loader(3, first=50)}
    loaders = loaders if kind is dict else list(loaders.values())
    names = ["shelf", "street"] if kind is dict else ["0", "1"]
    callback = make()
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    trainer.fit(Finder(), loader(8, first=100), loaders)
    assert list(callback.evaluations) == names
    seen = [evaluation.accounting.seen for evaluation in callback.evaluations.values()]
    assert seen == [5, 3]
    for name in names:
        assert f"val/{name}/grounding/f1" in trainer.callback_metrics


def test_ids_follow_the_order_of_the_set_where_the_batch_has_none() -> None:
    callback = make()
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    trainer.fit(Finder(), loader(8, first=100), loader(5, ids=False))
    (evaluation,) = callback.evaluations.values()
    assert evaluation.tables["grounding"].ids == ("0", "1", "2", "3", "4")


def test_results_without_a_logger_barebones_and_in_a_fast_run() -> None:
    callback = make()
    fit(callback, fast_dev_run=True)
    assert len(callback.history) == 1
    callback = make()
    trainer = pl.Trainer(barebones=True, accelerator="cpu", max_epochs=1, callbacks=[callback])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*barebones.*")
        trainer.fit(Finder(), loader(8, first=100), loader(5))
    assert [entry["step"] for entry in callback.history] == [4]


class TestWrongConfigurations:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"task": "detection"}, "Expected `task` to be one of phrase_grounding, vqa, freeform"),
            ({"task": []}, "at least one task"),
            ({"metrics": ["f1"]}, "but got 'f1'"),
            ({"metrics": ["bleu", "bleu"]}, "Expected each of `metrics` once"),
            ({"metrics": {"a": "bleu"}}, "torchmetrics `Metric`, but got 'bleu'"),
            ({"iou_threshold": 1.5}, "1.5"),
            ({"box_coordinates": "yxyx"}, "yxyx"),
            ({"patience": 0}, "0"),
        ],
    )
    def test_options(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            make(**options)

    def test_outputs_without_what_is_needed(self) -> None:
        class Wrong(Finder):
            def validation_step(self, batch: Any, batch_idx: int) -> Any:
                return {"loss": self.loss(batch).mean(), "answers": [1, 2]}

        with pytest.raises(ConfigurationError) as caught:
            fit(make(), Wrong())
        assert "'preds' and 'target'" in str(caught.value)
        assert "['answers', 'loss']" in str(caught.value)

    def test_the_keys_can_have_other_names(self) -> None:
        class Other(Finder):
            def validation_step(self, batch: Any, batch_idx: int) -> Any:
                found = self.answers(batch)
                return {"boxes": found["preds"], "annotations": found["target"]}

        callback = make(output_keys={"preds": "boxes", "target": "annotations"})
        fit(callback, Other())
        assert len(callback.history) == 3

    def test_a_sample_of_the_first_batch_that_cannot_be_scored(self) -> None:
        class Wrong(Finder):
            def answers(self, batch: Any) -> Any:
                found = super().answers(batch)
                return {**found, "preds": [*found["preds"][:-1], [[1.0, 2.0, 3.0]]]}

        with pytest.raises(InputError, match="sample 'scene1'"):
            fit(make(), Wrong())

    def test_a_later_one_is_counted_and_the_run_goes_on(self) -> None:
        class Wrong(Finder):
            def answers(self, batch: Any) -> Any:
                found = super().answers(batch)
                if 3 in batch["index"].tolist():
                    found["preds"][-1] = None
                return found

        callback = make()
        fit(callback, Wrong())
        (evaluation,) = callback.evaluations.values()
        assert evaluation.accounting.seen == 5
        assert evaluation.accounting.unscored == 1
        assert list(evaluation.accounting.errors) == ["scene3"]
        assert evaluation.tables["grounding"].ids == tuple(f"scene{i}" for i in (0, 1, 2, 4))

    def test_two_callbacks_need_two_names(self) -> None:
        with pytest.raises(RuntimeError, match="more than one stateful callback"):
            pl.Trainer(**QUIET, callbacks=[make(), make(iou_threshold=0.75)])

    def test_no_validation_is_told(self) -> None:
        trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[make()], limit_val_batches=0)
        with pytest.warns(UserWarning, match="VLMEvalCallback will never run"):
            trainer.fit(Finder(), loader(8), loader(5))

    def test_metrics_that_hang_on_several_ranks_are_refused(self) -> None:
        from torchmetrics.text import ROUGEScore as Theirs  # noqa: PLC0415  the one at fault

        with pytest.raises(ConfigurationError, match=r"keeps the list .* without a reduction"):
            make(task="vqa", metrics=[Theirs(rouge_keys="rouge1")])


def test_a_metric_that_fails_is_reported_and_the_others_go_on() -> None:
    class Faulty(GroundingScore):
        armed = False

        def update(self, *args: Any, **kwargs: Any) -> None:
            if self.armed:
                raise RuntimeError("out of ideas")
            super().update(*args, **kwargs)

    faulty = Faulty()
    callback = make(metrics={"grounding": GroundingScore(), "faulty": faulty})
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    trainer.validate(Finder(), loader(5), verbose=False)
    Faulty.armed = True
    with pytest.warns(UserWarning, match="The metric 'faulty' failed: RuntimeError: out of ideas"):
        trainer.fit(Finder(), loader(8), loader(5))
    assert "val/grounding/f1" in trainer.callback_metrics
    assert "val/faulty/f1" not in trainer.callback_metrics


def test_training_is_the_same_with_and_without_the_callback() -> None:
    class Drops(Finder):
        def __init__(self) -> None:
            super().__init__()
            self.drop = torch.nn.Dropout(0.5)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return (self.layer(self.drop(batch["x"])) ** 2).mean()

        def vlmeval_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
            torch.rand(3)  # an answer that is sampled
            return self.answers(batch)

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            return self.loss(batch).mean()

    weights = []
    for callbacks in ([], [make()]):
        pl.seed_everything(1, verbose=False)
        module = Drops()
        trainer = pl.Trainer(**QUIET, max_epochs=2, callbacks=callbacks)
        trainer.fit(module, loader(8, first=100), loader(5))
        weights.append(module.layer.weight.detach().clone())
    assert torch.equal(*weights)


def test_an_exception_in_validation_leaves_the_callback_usable() -> None:
    class Breaks(Finder):
        broken = True

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 1 and self.broken:
                raise RuntimeError("no more memory")
            return super().validation_step(batch, batch_idx)

    callback, module = make(), Breaks()
    with pytest.raises(RuntimeError, match="no more memory"):
        fit(callback, module)
    Breaks.broken = False
    fit(callback, module.train())
    (evaluation,) = callback.evaluations.values()
    assert evaluation.accounting.seen == 5


def test_the_callback_pickles() -> None:
    callback = make()
    fit(callback)
    assert repr(pickle.loads(pickle.dumps(callback)).history) == repr(callback.history)


def test_two_callbacks_log_under_their_names() -> None:
    loose, strict = make(name="loose"), make(iou_threshold=0.9, name="strict")
    trainer = fit(loose, callbacks=[loose, strict])
    values = [trainer.callback_metrics[f"{name}/val/grounding/f1"] for name in ("loose", "strict")]
    assert values[0] > values[1]


def test_names_never_clash_with_what_lightning_overwrites() -> None:
    assert "log" not in vars(VLMEvalCallback)
    assert "log_dict" not in vars(VLMEvalCallback)


def test_target_boxes_are_what_the_tests_think() -> None:
    assert target_boxes(1) == [[0, 0, 8, 8], [10, 0, 18, 8]]


def test_too_few_planned_evaluations_are_told_at_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit(make(), max_epochs=3)
    assert "This run plans 3 evaluations" in capsys.readouterr().out
    fit(make(), max_epochs=2, val_check_interval=0.5)
    assert "plans" not in capsys.readouterr().out
