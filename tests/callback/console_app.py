"""A short fit with a progress bar, `tqdm` or `rich`, for a terminal."""

import importlib
import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar, TQDMProgressBar

from lightning_vlmeval import VLMEvalCallback
from tests.callback.modules import QUIET, Finder, loader


class Slow(Finder):
    """So slow that every batch moves the bar."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        time.sleep(0.12)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        time.sleep(0.12)
        return super().validation_step(batch, batch_idx)


def main() -> None:
    bar = {"tqdm": TQDMProgressBar, "rich": RichProgressBar}[sys.argv[1]]()
    importlib.import_module("warnings").simplefilter("ignore")
    callback = VLMEvalCallback(store=False, diagnose=False)
    options = {**QUIET, "enable_progress_bar": True}
    trainer = pl.Trainer(**options, max_epochs=3, val_check_interval=0.5, callbacks=[bar, callback])
    trainer.fit(Slow(), loader(8), loader(4, first=100))


if __name__ == "__main__":
    main()
