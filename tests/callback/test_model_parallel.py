"""Generation with a model whose parameters are spread over processes, by Lightning's own strategy."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed.fsdp as fsdp
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.utils.data import DataLoader

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.session.generation import Generator
from tests.callback.modules import QUIET
from tests.processes import spawn
from tests.session.tiny_models import ARCHITECTURES, EXAMPLES, make, tokenizer

LLAVA = ARCHITECTURES["LLaVA"]
SIZE = 5


class Spread(pl.LightningModule):
    """A tiny vision-language model, in parts where there are several processes."""

    def configure_model(self) -> None:
        if hasattr(self, "model"):
            return
        self.model = make(LLAVA)
        if self.trainer.world_size > 1:
            mesh = self.device_mesh["data_parallel"]
            for layer in self.model.model.language_model.layers:
                fsdp.fully_shard(layer, mesh=mesh)
            fsdp.fully_shard(self.model, mesh=mesh)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        inputs = {key: value for key, value in batch.items() if key not in ("id", "references")}
        loss: torch.Tensor = self.model(**inputs).loss
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        return None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def collated(numbers: list[int]) -> dict[str, Any]:
    batch = LLAVA.training_batch([EXAMPLES[number % len(EXAMPLES)] for number in numbers])
    ids = [str(number) for number in numbers]
    return {**batch, "id": ids, "references": [f"w57 w{number}" for number in numbers]}


def evaluated(world: int, strategy: Any) -> tuple[str, dict[str, str], bytes]:
    """What was counted, the values, and the rows."""
    callback = VLMEvalCallback(
        task="vqa",
        metrics=["answers", "bleu"],
        generate=Generator(tokenizer(), max_new_tokens=12),
        print_results=False,
        store=False,
        diagnose=False,
    )
    options = {**QUIET, "devices": world, "max_epochs": 1, "limit_train_batches": 1}
    trainer = pl.Trainer(strategy=strategy, **options, callbacks=[callback])
    loader = DataLoader(range(SIZE), batch_size=1, collate_fn=collated)
    trainer.fit(Spread(), loader, loader)
    (evaluation,) = callback.evaluations.values()
    values = {key: value.hex() for key, value in evaluation.scores.items()}
    return str(evaluation.accounting), values, evaluation.tables["bleu"].rows.tobytes()


def evaluated_twice(rank: int, world: int) -> list[tuple[str, dict[str, str], bytes]]:
    """With the samples on all processes, and with all of them on each."""
    return [
        evaluated(
            world, ModelParallelStrategy(data_parallel_size=data, tensor_parallel_size=tensor)
        )
        for data, tensor in ((world, 1), (1, world))
    ]


@pytest.mark.filterwarnings("ignore")  # Lightning's and torch's, about what is experimental
@pytest.mark.skipif(
    not hasattr(fsdp, "fully_shard"), reason="before torch 2.6 it needs a GPU to spread a model"
)
def test_answers_of_a_spread_model_are_those_of_a_whole_one(tmp_path: Path) -> None:
    _, values, rows = evaluated(1, "auto")
    assert len(rows)
    for shared, replicated in spawn(evaluated_twice, 2, tmp_path):
        assert shared == (
            f"{SIZE} of {SIZE} samples, 1 duplicates dropped, 0 missing",
            values,
            rows,
        )
        dropped = f"{SIZE} of {SIZE} samples, {SIZE} duplicates dropped, 0 missing"
        assert replicated == (dropped, values, rows)
