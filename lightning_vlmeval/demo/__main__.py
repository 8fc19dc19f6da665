"""Fine-tunes the tiny model on something new, with the callback watching.

The checkpoint finds "red circle" or "circle" in bright pictures, and answers questions in a word.
Here it learns, in two or three minutes on a CPU, to find "red shape" in dark ones, to say "none",
and to answer in a sentence; or, with `--overfit`, learns 24 pictures by heart.
"""

import argparse
import logging
import shlex
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from lightning_vlmeval.callback import VLMEvalCallback
from lightning_vlmeval.demo.data import Collator, SceneDataset
from lightning_vlmeval.demo.model import TinyVLM
from lightning_vlmeval.demo.scenes import Mix
from lightning_vlmeval.session.generation import Generator

MIX = Mix(("colour",), absent=0.1, questions=0.25, sentences=True, night=True)
"""What is new to the checkpoint."""

VALIDATION_SCENES = 151
"""How many examples are held out; not a multiple of any number of processes."""

VALIDATION_SEED = 10_000  # no training seed


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        steps: Optimiser steps.
        evaluations: How many, after the untrained model's.
        learning_rate: The largest of the schedule.
        examples: How many there are to learn from; None for fresh ones in every batch.
        batch_size: Over all processes.
    """

    steps: int
    evaluations: int
    learning_rate: float
    examples: int | None = None
    batch_size: int = 32


HEALTHY = Recipe(steps=600, evaluations=10, learning_rate=1e-3)
OVERFIT = Recipe(steps=160, evaluations=16, learning_rate=2e-3, examples=24, batch_size=24)


def fit(
    recipe: Recipe,
    output: Path,
    seed: int = 0,
    devices: int = 1,
    box_format: str = MIX.box_format,
) -> tuple[pl.Trainer, VLMEvalCallback]:
    """Fine-tune; the Trainer afterwards, and the callback that watched.

    Args:
        recipe: How to train.
        output: The folder for TensorBoard's files.
        seed: Decides the training examples and their order.
        devices: How many processes.
        box_format: The model family in whose way the model learns to write boxes.
    """
    mix = replace(MIX, box_format=box_format)
    pl.seed_everything(seed, verbose=False)
    module = TinyVLM(recipe.learning_rate, constant=recipe.examples is not None)
    batch_size = max(1, recipe.batch_size // devices)
    training = SceneDataset(seed, recipe.examples or recipe.steps * recipe.batch_size, mix)
    validation = SceneDataset(VALIDATION_SEED, VALIDATION_SCENES, mix)
    callback = VLMEvalCallback(
        ["phrase_grounding", "vqa"],
        box_format=box_format,
        generate=Generator(module.processor),
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_steps=recipe.steps,
        max_epochs=-(-recipe.steps * recipe.batch_size // len(training)),  # for the bar to show
        val_check_interval=max(1, recipe.steps // recipe.evaluations),
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
        log_every_n_steps=5,
        logger=TensorBoardLogger(output, name=None),
        enable_checkpointing=False,
        enable_model_summary=False,
        callbacks=[callback],
    )
    trainer.fit(
        module,
        DataLoader(training, batch_size, shuffle=True, collate_fn=Collator(module.processor)),
        DataLoader(validation, 51, collate_fn=Collator(module.processor)),
    )
    return trainer, callback


def main() -> None:
    """Read the command line, fine-tune, and print what was seen."""
    parser = argparse.ArgumentParser(
        prog="python -m lightning_vlmeval.demo",
        description="Fine-tune a tiny vision-language model on a CPU, watched by the callback.",
    )
    parser.add_argument("--overfit", action="store_true", help="learn 24 pictures by heart")
    parser.add_argument("--steps", type=int, help="optimiser steps")
    parser.add_argument("--devices", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the training examples (default: 0)")
    parser.add_argument(
        "--box-format",
        default=MIX.box_format,
        choices=("paligemma", "qwen3-vl", "internvl"),
        help=f"the model family in whose way boxes are written (default: {MIX.box_format})",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("vlmeval_demo"), help="folder (default: vlmeval_demo)"
    )
    options = parser.parse_args()
    recipe = OVERFIT if options.overfit else HEALTHY
    if options.steps is not None:
        recipe = replace(recipe, steps=options.steps)
    torch.set_num_threads(1)  # more only wait for each other in so small a model

    # What Lightning says of hardware, of workers and of deprecations in itself is not the subject.
    for package in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(package).setLevel(logging.WARNING)
    for advice in (".*does not have many workers", "The number of training batches", ".*LeafSpec"):
        warnings.filterwarnings("ignore", advice)

    trainer, callback = fit(
        recipe, options.output, options.seed, options.devices, options.box_format
    )
    if trainer.is_global_zero:
        print(f"\n{callback.history_table()}\n")
        if callback.verdict is not None:
            print(f"{callback.verdict.state}: {callback.verdict.reason}")
        folder = trainer.loggers[0].log_dir or ""
        print(
            f"\nOpen {Path(folder) / 'vlmeval' / 'report.html'} in a browser, or see all of it with\n"
        )
        print(f"    tensorboard --logdir {shlex.quote(folder)}\n")


if __name__ == "__main__":
    main()
