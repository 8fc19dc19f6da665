"""PaliGemma learns to find shapes, and writes their boxes in location tokens.

    python examples/paligemma.py [EPOCHS]

A tiny model of random weights learns 8 pictures by heart, on a CPU and without a network.
"""

import sys
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_vlmeval import Generator, VLMEvalCallback
from lightning_vlmeval.demo.architecture import build_model, build_processor
from lightning_vlmeval.demo.data import SceneDataset
from lightning_vlmeval.demo.scenes import Example, Mix
from lightning_vlmeval.parsing import box_format

FORMAT = box_format("paligemma")


def load() -> tuple[Any, Any]:
    """A processor and a model. Replace them by the real ones, of `transformers`:

    AutoProcessor.from_pretrained("google/paligemma2-3b-pt-224")
    PaliGemmaForConditionalGeneration.from_pretrained("google/paligemma2-3b-pt-224")
    """
    processor = build_processor()
    return processor, build_model(processor)


def collate(processor: Any, examples: list[Example]) -> dict[str, Any]:
    """The model's inputs, its labels, and what the callback scores its answers by."""
    images = [example.scene.image for example in examples]
    prompts = [f"detect {example.boxes[0].label}" for example in examples]
    encoded = processor(
        images=[[image] for image in images],
        text=[f"<image>{prompt}" for prompt in prompts],
        # Makes the labels, without the prompts and the padding.
        suffix=[FORMAT.render(example.boxes, example.scene.image.size) for example in examples],
        padding="longest",
        padding_side="right",
        return_tensors="pt",
    )
    return {
        **encoded,
        "size": [image.size for image in images],  # width and height
        "target": [example.boxes for example in examples],  # in pixels of the images
        "id": [example.id for example in examples],
        "prompt": prompts,  # prompts and images are only to be looked at
        "image": images,
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
        return torch.optim.AdamW(self.parameters(), lr=1e-3)  # for the real one 1e-5


if __name__ == "__main__":
    pl.seed_everything(0, verbose=False)
    processor, model = load()
    batches = partial(DataLoader, batch_size=4, collate_fn=partial(collate, processor))
    mix = Mix(("colour and shape",), questions=0.0, figures=1)
    callback = VLMEvalCallback(
        box_format=FORMAT,
        generate=Generator(processor),
        generate_samples=4,  # of the validation set; the loss is of all
        generate_whole_every=2,  # and every other time all of it
        training_samples=8,  # to compare with: far better on these is learned by heart
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=int((sys.argv[1:] or [48])[0]),
        check_val_every_n_epoch=12,
        callbacks=[callback],
        **dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False),
    )
    training = batches(SceneDataset(seed=0, count=8, mix=mix), shuffle=True)
    trainer.fit(FineTuning(model), training, batches(SceneDataset(seed=1, count=8, mix=mix)))
    print(callback.history_table(["val/grounding/f1", "train/grounding/f1"]))
