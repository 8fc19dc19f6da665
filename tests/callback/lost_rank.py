"""A rank of a fit, one of whose ranks is lost in the evaluation after its second epoch.

python -m tests.callback.lost_rank FOLDER LOST HOW, in the environment of one of several processes
"""

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.strategies import DDPStrategy

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.runs import store, unfinished
from tests.callback.modules import QUIET, loader
from tests.callback.test_store import WithPictures

RANK, RANKS = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
LAST_FILE = "000000002.jsonl.gz"  # of the evaluation


class Lost(WithPictures):
    """Is stopped, killed, or fails, in the second batch of an evaluation."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        found = super().validation_step(batch, batch_idx)
        if self.current_epoch == 1 and batch_idx == 1:
            if self.how in ("SIGSTOP", "SIGKILL"):
                os.kill(os.getpid(), getattr(signal, self.how))
            if self.how == "fails":
                raise MemoryError("no memory for \x1b[31mthis")
        if self.how == "refused":
            del found["preds"]
        return found


def die_before_the_last_file() -> None:
    """Be killed between the files of an evaluation."""
    write = store.write_whole

    def write_or_die(path: Path, data: bytes) -> None:
        if path.name == LAST_FILE and path.parent.name == store.EVALUATIONS:
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, data)

    store.write_whole = write_or_die


def meet(folder: Path) -> None:
    """Wait until all processes have started, so that the time limit is for what is tested."""
    (folder / f"rank{RANK}.started").touch()
    end = time.monotonic() + 120
    while len(list(folder.glob("rank*.started"))) < RANKS and time.monotonic() < end:
        time.sleep(0.05)


def main(folder: Path, lost: int, how: str) -> None:
    unfinished.SECONDS = 0.0
    if how == "writing" and lost == RANK:
        die_before_the_last_file()
    saved = ModelCheckpoint(folder, "{step}", save_top_k=-1, save_on_train_epoch_end=False)
    callback = VLMEvalCallback(store=str(folder), print_results=False, report=False)
    options = {**QUIET, "devices": RANKS, "enable_checkpointing": True}
    trainer = pl.Trainer(
        **options,
        max_epochs=3,
        strategy=DDPStrategy(timeout=timedelta(seconds=10)),
        callbacks=[callback, saved],
    )
    meet(folder)
    try:
        trainer.fit(Lost(how if lost == RANK else ""), loader(8, first=100), loader(12))
    except Exception as error:  # noqa: BLE001  the test looks at what it is
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(3)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
