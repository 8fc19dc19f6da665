"""Answers that the validation step does not give: generated, for all samples or for some."""

import re
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.errors import ConfigurationError
from tests.callback.modules import QUIET, Finder, loader
from tests.processes import spawn


class LossOnly(Finder):
    """Its validation step returns the loss, as most training code does."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[int]] = []

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        return self.loss(batch).mean()

    def predict(self, batch: dict[str, Any]) -> dict[str, Any]:
        assert not torch.is_grad_enabled()
        self.asked.append(batch["index"].tolist())
        return self.answers(batch)


def ask(pl_module: LossOnly, batch: dict[str, Any]) -> dict[str, Any]:
    return pl_module.predict(batch)


def fit(callback: VLMEvalCallback, module: Any = None, size: int = 8, **options: Any) -> Any:
    module = module or LossOnly()
    trainer = pl.Trainer(**{**QUIET, "max_epochs": 3, **options}, callbacks=[callback])
    trainer.fit(module, loader(8), loader(size, first=100))
    return module


def values(callback: VLMEvalCallback, key: str = "val/grounding/f1") -> list[float]:
    return [entry["values"][key] for entry in callback.history]


def test_a_callable_a_method_and_a_path_do_what_a_step_does() -> None:
    expected = VLMEvalCallback(print_results=False)
    fit(expected, Finder())
    assert len(set(values(expected, "val/grounding/mean_iou"))) == 4
    for generate in (ask, "predict", f"{__name__}.ask"):
        callback = VLMEvalCallback(generate=generate, print_results=False)
        fit(callback)
        assert repr(callback.history) == repr(expected.history)


def test_answers_alone_are_enough_where_the_batch_has_the_targets() -> None:
    def answers(pl_module: Any, batch: Any) -> list[Any]:
        return [[[0.0, 0.0, 8.0, 8.0]] for _ in batch["id"]]

    data = [{"x": torch.zeros(4), "id": str(i), "target": [[0.0, 0, 8, 8]]} for i in range(3)]
    collate = lambda rows: {  # noqa: E731
        "x": torch.stack([row["x"] for row in rows]),
        **{key: [row[key] for row in rows] for key in ("id", "target")},
    }
    batches = torch.utils.data.DataLoader(data, 2, collate_fn=collate)
    callback = VLMEvalCallback(generate=answers, print_results=False)
    pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback]).fit(LossOnly(), batches, batches)
    assert values(callback) == [1.0, 1.0]


def test_some_samples_are_the_same_ones_every_time_and_the_loss_is_of_all() -> None:
    whole = VLMEvalCallback(generate=ask, print_results=False)
    fit(whole)
    callback = VLMEvalCallback(
        generate=ask, generate_samples=4, generate_whole_every=3, print_results=False
    )
    module = fit(callback)
    losses = [[entry["val_loss"] for entry in one.history] for one in (callback, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    said = [entry["accounting"][""] for entry in callback.history]
    assert said == [f"{n} of {n} samples, 0 duplicates dropped, 0 missing" for n in (8, 4, 4, 8)]
    first, second = module.asked[4:6], module.asked[6:8]
    assert first == second
    assert module.asked[:4] == module.asked[8:] == [[100, 101], [102, 103], [104, 105], [106, 107]]


def test_samples_of_the_training_set_show_what_is_known_by_heart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    callback = VLMEvalCallback(generate=ask, training_samples=5)
    module = fit(callback, max_epochs=1)
    trained = [i for batch in module.asked for i in batch if i < 100]
    assert trained[:5] == trained[5:]
    assert len(set(trained)) == 5
    entry = callback.history[-1]["values"]
    assert 0 <= entry["train/grounding/mean_iou"] <= 1
    assert entry["train/grounding/mean_iou"] != entry["val/grounding/mean_iou"]
    said = capsys.readouterr().out
    assert "train/grounding" in said
    assert re.search(r"of which generation \d+\.\d s, metrics \d+\.\d\d s", said)


def test_a_later_validation_has_no_values_of_the_training_set() -> None:
    callback = VLMEvalCallback(generate=ask, training_samples=5, print_results=False)
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=[callback])
    trainer.fit(LossOnly(), loader(8), loader(4, first=100))
    (found,) = trainer.validate(LossOnly(), loader(4, first=100), verbose=False)
    assert "val/grounding/f1" in found
    assert not any(key.startswith("train/") for key in found)


def test_a_training_set_without_numbers_is_told(recwarn: pytest.WarningsRecorder) -> None:
    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(loader(4).dataset)  # type: ignore[arg-type]

    callback = VLMEvalCallback(generate=ask, training_samples=2, print_results=False)
    trainer = pl.Trainer(**QUIET, max_steps=2, limit_train_batches=2, callbacks=[callback])
    stream = torch.utils.data.DataLoader(Stream(), 2)
    with pytest.warns(UserWarning, match="No samples of the training set are evaluated") as seen:
        trainer.fit(LossOnly(), stream, loader(4))
    assert sum("No samples" in str(one.message) for one in seen) == 1
    assert "train/grounding/f1" not in callback.history[-1]["values"]


def on_ranks(rank: int, world: int) -> Any:
    callback = VLMEvalCallback(
        generate=ask, generate_samples=4, training_samples=3, print_results=False
    )
    options = {**QUIET, "devices": world, "strategy": "ddp" if world > 1 else "auto"}
    trainer = pl.Trainer(
        **options, max_epochs=1, use_distributed_sampler=True, callbacks=[callback]
    )
    trainer.fit(LossOnly(), loader(8), loader(9, first=100))
    first = callback.history[0]
    return first["values"], first["accounting"]


@pytest.mark.parametrize("world", [2, 3])
def test_training_samples_on_several_ranks_are_those_of_one(world: int, tmp_path: Any) -> None:
    one, _ = on_ranks(0, 1)
    many = spawn(on_ranks, world, tmp_path)
    keys = [key for key in one if key.startswith("train/")]
    assert len(keys) > 10
    for values_of_rank, accounting in many:
        assert repr([values_of_rank[key] for key in keys]) == repr([one[key] for key in keys])
        assert accounting == many[0][1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generate_samples": 4}, "Expected `generate` beside generate_samples=4"),
        ({"generate": ask, "generate_samples": 0}, "generate_samples to be at least 1, but got 0"),
        ({"generate_whole_every": 2}, "Expected `generate` beside generate_whole_every=2"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        VLMEvalCallback(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generate": "nothing.here"}, "the dotted path of a callable, but got 'nothing.here'"),
        ({"generate": "nothing"}, "the dotted path of a callable, but got 'nothing'"),
        ({"generate": lambda *_: 3}, "a dict with 'preds', but got int"),
        ({"training_samples": 2}, "Expected `generate`, or a method `vlmeval_step` of LossOnly"),
    ],
)
def test_what_cannot_work_is_told_before_training(options: dict[str, Any], message: str) -> None:
    module = LossOnly()
    before = [weight.clone() for weight in module.parameters()]
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        fit(VLMEvalCallback(**options), module)
    assert all(map(torch.equal, before, module.parameters()))
