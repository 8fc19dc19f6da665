"""What the callback costs a run: a training batch, a validation batch, an evaluation, a sample.

    python examples/benchmarks/overhead.py

The share of an evaluation is the demo's: its model is so small that generation costs little, and
BERTScore's encoder is many times its size. A real model's share is smaller.
"""

import logging
import statistics
import sys
import tempfile
import time
import warnings
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
import samples
import torch
from torch.utils.data import DataLoader

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.demo.__main__ import MIX, VALIDATION_SCENES, VALIDATION_SEED
from lightning_vlmeval.demo.data import Collator, SceneDataset
from lightning_vlmeval.demo.model import TinyVLM
from lightning_vlmeval.errors import InputError
from lightning_vlmeval.session.evaluation import EvaluationSession
from lightning_vlmeval.session.generation import Generator
from lightning_vlmeval.session.outputs import Batch
from lightning_vlmeval.session.sample_log import SampleLog
from lightning_vlmeval.session.tasks import make_metrics

_OPTIONS = {
    "iou_threshold": 0.5,
    "box_coordinates": "xyxy",
    "box_format": None,
    "output_format": None,
    "schema": None,
    "required_fields": None,
    "encoder": None,
}


def training_batch(steps: int = 6400) -> float:
    """Microseconds of the callback's hook after a training batch, logging left out."""
    callback = VLMEvalCallback(metrics=["bleu"], store=False)
    trainer = SimpleNamespace(
        accumulate_grad_batches=1, log_every_n_steps=50, loggers=[], global_step=0
    )
    module = SimpleNamespace(automatic_optimization=True)
    outputs = {"loss": torch.tensor(1.5)}
    start = time.process_time()
    for i in range(steps):
        callback.on_train_batch_end(trainer, module, outputs, None, i)
    return (time.process_time() - start) / steps * 1e6


def _batch(task: str, count: int, start: int) -> Batch:
    ids = [f"sample-{i:07d}" for i in range(start, start + count)]
    if task == "phrase_grounding":
        preds, target = samples.scenes("small", count)
        return Batch(
            [torch.from_numpy(b) for b in preds], [torch.from_numpy(b) for b in target], ids
        )
    preds, target = samples.texts("answers", count)
    return Batch(preds, target, ids)


def session_costs(task: str, count: int = 2000, without: str = "bertscore") -> dict[str, float]:
    """Microseconds and bytes a sample of a task's default metrics but one; batches of 16."""
    metrics, _ = make_metrics([task], None, **_OPTIONS)
    metrics.pop(without, None)
    batch = _batch(task, count, 0)
    parts = [range(i, min(count, i + 16)) for i in range(0, count, 16)]
    batches = [batch.take(list(part)) for part in parts]
    session = EvaluationSession(metrics)
    times = []
    for _ in range(3):
        session.reset()
        start = time.process_time()
        for part in batches:
            session.update(part, part.id or [])
        middle = time.process_time()
        session.compute()
        times.append((middle - start, time.process_time() - middle))
    log = SampleLog(0.5, "xyxy", 0)
    log.begin()
    start = time.process_time()
    for part in batches:
        log.add(part, [str(name) for name in part.id or []], "", count)
    logged = time.process_time() - start
    kept = sum(x.nbytes for m in metrics.values() for x in [*m.rows, *m.keys])
    known = sum(sys.getsizeof(m._known) for m in metrics.values())
    ids = sum(map(sys.getsizeof, batch.id or []))
    return {
        f"{task}: update, us a sample": round(min(t[0] for t in times) * 1e6 / count, 1),
        f"{task}: compute, us a sample": round(min(t[1] for t in times) * 1e6 / count, 1),
        f"{task}: samples to look at, us a sample": round(logged * 1e6 / count, 1),
        f"{task}: {len(metrics)} metrics, bytes a sample": round((kept + known + ids) / count, 1),
    }


def _timed(name: str) -> Any:
    """A hook that adds up what it takes."""

    def hook(self: Any, *args: Any, **kwargs: Any) -> None:
        start = time.perf_counter()
        getattr(VLMEvalCallback, name)(self, *args, **kwargs)
        self.seconds += time.perf_counter() - start

    return hook


class _Watched(VLMEvalCallback):
    """Remembers of each evaluation which shares of its time the metrics took, and the callback."""

    on_validation_batch_end = _timed("on_validation_batch_end")
    on_validation_epoch_end = _timed("on_validation_epoch_end")
    _end = _timed("on_validation_end")
    _end_untrained = _timed("on_sanity_check_end")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shares: list[tuple[float, float]] = []
        self.seconds, self._began = 0.0, 0.0

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.seconds, self._began = 0.0, time.perf_counter()
        super().on_validation_start(trainer, pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._end(trainer, pl_module)
        if not trainer.sanity_checking:
            self._measure()

    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
        self._end_untrained(trainer, pl_module)
        self._measure()

    def _measure(self) -> None:
        whole = time.perf_counter() - self._began
        metrics = sum(one.seconds for one in self.evaluations.values())
        generating = self._run.sessions.predictions.seconds
        self.shares.append((metrics / whole, (self.seconds - generating) / whole))


def demo_shares(metrics: list[str] | None) -> list[tuple[float, float]]:
    """Of each evaluation of the demo, the metrics' share of its time, and that of the callback.

    The callback's is all that it does beside generation: the metrics, the samples to look at, the
    intervals, the diagnosis, Lightning's logging, the files.
    """
    pl.seed_everything(0, verbose=False)
    module = TinyVLM(1e-3)
    collate = Collator(module.processor)
    with tempfile.TemporaryDirectory() as folder:
        callback = _Watched(
            ["phrase_grounding", "vqa"],
            metrics=metrics,
            box_format="paligemma",
            generate=Generator(module.processor),
            print_results=False,
            report=False,
        )
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=24,
            val_check_interval=6,
            check_val_every_n_epoch=None,
            logger=pl.loggers.CSVLogger(folder),
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=[callback],
        )
        trainer.fit(
            module,
            DataLoader(SceneDataset(0, 24 * 32, MIX), 32, collate_fn=collate),
            DataLoader(
                SceneDataset(VALIDATION_SEED, VALIDATION_SCENES, MIX), 51, collate_fn=collate
            ),
        )
    return callback.shares


def measure() -> dict[str, Any]:
    """All of it."""
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    found: dict[str, Any] = {
        "training batch, us": [round(training_batch(), 1) for _ in range(3)],
    }
    for task in ("phrase_grounding", "vqa"):
        try:
            found |= session_costs(task)
        except InputError as error:
            found[task] = str(error)
    names = ["grounding", "error_budget", "box_answers", "bleu", "rouge", "answers", "health"]
    for title, metrics in (("default metrics", None), ("without BERTScore, METEOR", names)):
        shares = zip(*demo_shares(metrics), strict=True)
        for what, (first, *later) in zip(("metrics", "all but generation"), shares, strict=True):
            name = f"share of the demo's evaluations, {title}: {what}"
            found[f"{name}, first"] = round(first, 3)
            found[f"{name}, later"] = round(statistics.median(later), 3)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, value in measure().items():
        print(f"{name:<66}{value}")
