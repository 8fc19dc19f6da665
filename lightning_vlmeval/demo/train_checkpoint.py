"""Makes the demo's checkpoint: `python -m lightning_vlmeval.demo.train_checkpoint [FOLDER]`.

A tiny model learns from nothing to find "red circle" or "circle", and to answer questions in a
word. From answers alone it soon learns to outline a shape, but not which shape was named. So while
it is trained it is also told, for every image token, what is shown there and whether the prompt
names it; the two linear layers that read this off are thrown away afterwards.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from lightning_vlmeval.callback import VLMEvalCallback
from lightning_vlmeval.demo.architecture import GRID, PATCH, build_model, build_processor
from lightning_vlmeval.demo.data import Collator, SceneDataset
from lightning_vlmeval.demo.model import CHECKPOINT, TinyVLM, run_model
from lightning_vlmeval.demo.scenes import COLOURS, SHAPES, Example, Mix
from lightning_vlmeval.session.generation import Generator

SKILLS = Mix(("colour and shape", "shape"), questions=0.2)
"""What the model learns."""

_FAMILIES = {"paligemma": 0.6, "qwen3-vl": 0.2, "internvl": 0.2}
"""How often it learns to write boxes as each model family does."""

STEPS = 2600
BATCH = 32
_MORE_SHAPES = (50, 150)  # steps from which on pictures have one shape more than before
_WARM_UP = 50
_DECAY = 0.7  # share of the steps, the last ones, in which the learning rate falls to 0


class Probes(nn.Module):
    """Read off, at every image token, what it shows and whether the prompt names it.

    Args:
        channels: The model's.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.colour = nn.Linear(channels, 1 + len(COLOURS))
        self.shape = nn.Linear(channels, 1 + len(SHAPES))
        self.named = nn.Linear(channels, 1)

    def loss(self, output: Any, examples: Sequence[Example]) -> Tensor:
        """How wrong the readings are.

        Args:
            output: The model's, with hidden states.
            examples: What it was given; questions name nothing.
        """
        tokens = output.image_hidden_states
        seen = tokens.reshape(len(examples), GRID * GRID, -1) * tokens.shape[-1] ** 0.5
        colours, shapes = (torch.stack(part) for part in zip(*map(_shown, examples), strict=True))
        loss = F.cross_entropy(self.colour(seen).flatten(0, 1), colours.flatten())
        loss = loss + F.cross_entropy(self.shape(seen).flatten(0, 1), shapes.flatten())
        asked = [i for i, example in enumerate(examples) if example.task == "phrase_grounding"]
        if not asked:
            return loss
        # Before the last layer, so that the last one can fetch the answer from where it is.
        states = output.hidden_states[-2][asked, : GRID * GRID]
        boxes = torch.stack([_covered([box.xyxy for box in examples[i].boxes]) for i in asked])
        return loss + F.binary_cross_entropy_with_logits(self.named(states).squeeze(-1), boxes)


def _covered(boxes: Sequence[Sequence[float]]) -> Tensor:
    """The share of each image token that the boxes cover, shape (tokens,)."""
    edges = torch.arange(GRID + 1) * float(PATCH)
    share = torch.zeros(GRID, GRID)
    for left, top, right, bottom in boxes:
        width = edges[1:].clamp(max=right) - edges[:-1].clamp(min=left)
        height = edges[1:].clamp(max=bottom) - edges[:-1].clamp(min=top)
        share += height.clamp(min=0)[:, None] * width.clamp(min=0) / PATCH**2
    return share.flatten()


def _shown(example: Example) -> tuple[Tensor, Tensor]:
    """The number of the colour and of the shape at each image token; 0 for the background."""
    colours, shapes = (torch.zeros(GRID * GRID, dtype=torch.long) for _ in range(2))
    for figure in example.scene.figures:
        inside = _covered([figure.box]) >= 0.5
        colours[inside] = 1 + list(COLOURS).index(figure.colour)
        shapes[inside] = 1 + SHAPES.index(figure.shape)
    return colours, shapes


def _batches(seed: int) -> Iterator[list[Example]]:
    """Fresh examples for each step; pictures begin with one shape."""
    rng = random.Random(seed)
    for step in range(STEPS):
        shapes = 1 + sum(step >= start for start in _MORE_SHAPES)
        batch = []
        for i in range(BATCH):
            (family,) = rng.choices(list(_FAMILIES), list(_FAMILIES.values()))
            mix = replace(SKILLS, figures=shapes, box_format=family)
            batch.append(SceneDataset(seed, STEPS * BATCH, mix)[step * BATCH + i])
        yield batch


def _optimizers(model: nn.Module, probes: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, which learn much faster with it, and AdamW for the rest."""
    flat, matrices = list(probes.parameters()), list[nn.Parameter]()
    for name, weight in model.named_parameters():
        (matrices if weight.ndim == 2 and "embed" not in name else flat).append(weight)
    return [
        torch.optim.AdamW(flat, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01),
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.0),
    ]


def _rate(step: int) -> float:
    """The share of the learning rate at a step."""
    return min(1.0, (step + 1) / _WARM_UP, (STEPS - step) / (_DECAY * STEPS))


def train(seed: int = 0) -> tuple[PaliGemmaProcessor, PaliGemmaForConditionalGeneration]:
    """A model trained from nothing, with its processor.

    Args:
        seed: Decides the first weights and the examples.
    """
    torch.manual_seed(seed)
    processor = build_processor()
    model = build_model(processor)
    probes = Probes(model.config.text_config.hidden_size)
    collate = Collator(processor)
    optimizers = _optimizers(model, probes)
    schedules = [torch.optim.lr_scheduler.LambdaLR(one, _rate) for one in optimizers]
    bar = tqdm(_batches(seed), total=STEPS, unit="step")
    for examples in bar:
        output, losses, tokens = run_model(model, collate(examples), output_hidden_states=True)
        loss = (losses * tokens).sum() / tokens.sum()
        torch.autograd.backward(loss + probes.loss(output, examples))
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        bar.set_postfix(loss=f"{float(loss):.3f}")
    return processor, model.eval()


def main() -> None:
    """Train, save, and print how well the saved model answers on 500 other scenes."""
    parser = argparse.ArgumentParser(description="Train the demo's checkpoint from nothing.")
    parser.add_argument("folder", nargs="?", type=Path, default=CHECKPOINT)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the model is too small to share
    processor, model = train(options.seed)
    model.half().save_pretrained(options.folder)
    processor.save_pretrained(options.folder)

    scenes = SceneDataset(options.seed + 1, 500, SKILLS)
    loader = DataLoader(scenes, batch_size=50, collate_fn=Collator(processor))
    callback = VLMEvalCallback(
        ["phrase_grounding", "vqa"], box_format="paligemma", generate=Generator(processor)
    )
    trainer = pl.Trainer(accelerator="cpu", logger=False, callbacks=[callback])
    trainer.validate(TinyVLM(0.0, path=options.folder), loader, verbose=False)


if __name__ == "__main__":
    main()
