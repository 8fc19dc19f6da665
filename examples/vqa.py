"""Questions about pictures, from a data set of the Hugging Face hub's kind: answers in sentences.

    pip install datasets
    python examples/vqa.py [STEPS]

The demo's model answers in a word ("red") and learns to answer in a sentence, on a CPU and without
a network, in about a minute.
"""

import sys
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from datasets import Dataset
from torch.utils.data import DataLoader

from lightning_vlmeval import Generator, VLMEvalCallback
from lightning_vlmeval.demo.data import SceneDataset
from lightning_vlmeval.demo.model import load_checkpoint
from lightning_vlmeval.demo.scenes import Mix

KEYS = ["val/answers/exact_match", "val/answers/token_f1", "val/text/rougeL_fmeasure"]


def load_questions(seed: int, count: int) -> Dataset:
    """Rows as VQA data sets have them. Replace it by a real one: `datasets.load_dataset(...)`."""
    mix = Mix(("colour and shape",), questions=1.0, sentences=True, figures=2)
    scenes = SceneDataset(seed, count, mix)
    rows = [
        {
            "question_id": example.id,
            "image": example.scene.image,
            "question": example.prompt,
            "answers": [example.answer],
        }
        for example in map(scenes.__getitem__, range(count))
    ]
    return Dataset.from_list(rows)


def collate(processor: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The model's inputs, its labels, and what the callback scores its answers by."""
    encoded = processor(
        images=[[row["image"]] for row in rows],
        text=[f"<image>{row['question']}" for row in rows],
        suffix=[row["answers"][0] for row in rows],  # what to learn
        padding="longest",
        padding_side="right",
        return_tensors="pt",
    )
    return {
        **encoded,
        "target": [row["answers"] for row in rows],  # any of these is right
        "id": [row["question_id"] for row in rows],
        "prompt": [row["question"] for row in rows],
        "image": [row["image"] for row in rows],
    }


class FineTuning(pl.LightningModule):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        tensors = {name: value for name, value in batch.items() if torch.is_tensor(value)}
        return self.model(**tensors).loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        return self.training_step(batch, batch_idx)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


if __name__ == "__main__":
    steps = int((sys.argv[1:] or [120])[0])
    pl.seed_everything(0, verbose=False)
    processor, model = load_checkpoint()
    batches = partial(DataLoader, batch_size=16, collate_fn=partial(collate, processor))
    callback = VLMEvalCallback(
        task="vqa",
        metrics=["answers", "rouge", "health"],  # without this, METEOR and BERTScore besides
        generate=Generator(processor),
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        val_check_interval=max(1, steps // 4),
        callbacks=[callback],
        **dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False),
    )
    training = batches(load_questions(seed=0, count=16 * steps))
    trainer.fit(FineTuning(model), training, batches(load_questions(seed=1, count=32)))
    print(callback.history_table(KEYS))
