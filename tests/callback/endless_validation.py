"""Validates until it is killed: the second evaluation never comes to its end.

python -m tests.callback.endless_validation FOLDER
"""

import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.runs import unfinished
from tests.callback.modules import QUIET, loader
from tests.callback.test_store import Saved, WithPictures


class Endless(WithPictures):
    """Sleeps at the third batch of the second evaluation."""

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        if self.global_step and batch_idx == 2:
            print("asleep", flush=True)
            time.sleep(600)
        return super().validation_step(batch, batch_idx)


class SavedBefore(Saved):
    """Saves a checkpoint when training begins."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.path)


def main(folder: Path) -> None:
    unfinished.SECONDS = 0.0
    callbacks = [
        VLMEvalCallback(store=str(folder), print_results=False),
        SavedBefore(folder / "first.ckpt"),
    ]
    trainer = pl.Trainer(**QUIET, max_epochs=1, callbacks=callbacks)
    trainer.fit(Endless(), loader(4), loader(8))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
