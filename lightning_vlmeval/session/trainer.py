"""What a Lightning Trainer says of itself, read without importing Lightning."""

import importlib
import io
import math
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.metrics.gathering import gather_bytes
from lightning_vlmeval.reporting.layout import custom_scalars
from lightning_vlmeval.reporting.markup import visible


def class_names(thing: object) -> set[str]:
    """The names of an object's classes: both Lightning packages have a class of each name.

    Args:
        thing: A logger, a strategy, a progress bar or None.
    """
    return {cls.__name__ for cls in type(thing).__mro__}


def log_step(trainer: Any) -> int:
    """The x value at which Lightning itself logs the metrics of a validation epoch.

    Args:
        trainer: The trainer.
    """
    loop = getattr(getattr(trainer, "fit_loop", None), "epoch_loop", None)
    return int(getattr(loop, "_batches_that_stepped", trainer.global_step))


def evaluation_loaders(trainer: Any, stage: str) -> tuple[Any, Sequence[float], bool]:
    """The dataloaders of the evaluation that runs, their batches, and whether batches mix them.

    Args:
        trainer: The trainer.
        stage: ``val`` or ``test``.
    """
    if stage == "test":
        loop, loaders = trainer.test_loop, trainer.test_dataloaders
        batches = trainer.num_test_batches
    else:
        # `trainer.val_dataloaders` names those of the last fit, also in a later `validate`
        fitting = trainer.state.fn == "fit"
        loop = trainer.fit_loop.epoch_loop.val_loop if fitting else trainer.validate_loop
        combined = getattr(loop, "_combined_loader", None)
        loaders = trainer.val_dataloaders if combined is None else combined.iterables
        batches = trainer.num_val_batches
    if trainer.sanity_checking:
        batches = trainer.num_sanity_val_batches
    mode = getattr(getattr(loop, "_combined_loader", None), "_mode", "sequential")
    return loaders, batches, mode != "sequential"


def planned_evaluations(trainer: Any) -> float:
    """How many evaluations the rest of the fit will make; infinite where nothing ends it.

    Args:
        trainer: The trainer, its training data set up.
    """
    if trainer.val_check_batch is None:  # by the clock
        return math.inf
    batches, every = float(trainer.num_training_batches), float(trainer.val_check_batch)
    if not batches or not math.isfinite(batches + every):
        return math.inf
    limit: float | None = trainer.max_epochs
    epochs = math.inf if limit in (None, -1) else float(limit or 0)
    if trainer.max_steps not in (None, -1):
        epochs = min(epochs, trainer.max_steps * trainer.accumulate_grad_batches / batches)
    every_n_epochs: int | None = trainer.check_val_every_n_epoch
    if every_n_epochs is None or not math.isfinite(epochs):
        return epochs * batches // every
    whole = int(epochs)
    last = (epochs - whole) * batches // every if (whole + 1) % every_n_epochs == 0 else 0.0
    return batches // every * (whole // every_n_epochs) + last


def check_every_rank(trainer: Any) -> None:
    """Raise on every rank where one has no batch: Lightning runs no hook there, the others wait.

    A collective.

    Args:
        trainer: The trainer.
    """
    if trainer.world_size == 1:
        return
    counts = [float(part) for part in gather_bytes(str(sum(trainer.num_val_batches)).encode())]
    if min(counts) == 0 < max(counts):
        raise ConfigurationError(
            f"Expected every rank to have a validation batch, but rank {counts.index(0)} has none: "
            f"use fewer devices, smaller batches or more validation samples"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Plain tensors, no gradients, and random numbers as if nothing had been drawn.

    `trainer.validate` runs in inference mode, whose tensors a later fit cannot use.
    """
    cuda = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(cuda), torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """With every submodule in evaluation mode, and then as it was.

    Only the flags are changed: `eval` and `train` may do more, as adapters that merge weights.

    Args:
        model: The model.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def log_values(pl_module: Any, values: Mapping[str, float]) -> None:
    """Log through the module, so that other callbacks can monitor the values.

    They are global already: the same on every rank, in the same order. Undefined ones are left
    out, since `EarlyStopping` ends a run at NaN.

    Args:
        pl_module: The module.
        values: What to log.
    """
    precise = torch.float32 if pl_module.device.type == "mps" else torch.float64
    defined = {key: value for key, value in sorted(values.items()) if not math.isnan(value)}
    # Lightning cannot know that they are global, and would advise to reduce them.
    keys = "|".join(map(re.escape, defined))
    warnings.filterwarnings("ignore", message=rf".*`self\.log\('(?:{keys})', .*sync_dist=True")
    pl_module.log_dict(
        {
            key: torch.tensor(value, dtype=precise, device=pl_module.device)
            for key, value in defined.items()
        },
        on_step=False,
        on_epoch=True,
        sync_dist=False,
        add_dataloader_idx=False,
        batch_size=1,
    )


def log_layout(trainer: Any, tags: Sequence[str], monitor: str) -> None:
    """Write the custom-scalars layout to every TensorBoard logger.

    Args:
        trainer: The trainer.
        tags: The tags that were logged, without a logger's own prefix.
        monitor: The validation loss that the module logs itself.
    """
    for logger in trainer.loggers:
        if "TensorBoardLogger" not in class_names(logger):
            continue
        prefix = getattr(logger, "_prefix", "")
        joined = [f"{prefix}{logger.LOGGER_JOIN_CHAR}{tag}" if prefix else tag for tag in tags]
        layout = custom_scalars(joined, monitor)
        if layout:
            logger.experiment.add_custom_scalars(layout)


def log_directly(trainer: Any, values: Mapping[str, float], step: int) -> None:
    """Write values to the loggers where Lightning's own logging is not allowed.

    Args:
        trainer: The trainer.
        values: What to log; NaN is left out.
        step: The x value.
    """
    finite = {key: value for key, value in values.items() if not math.isnan(value)}
    for logger in trainer.loggers:
        if finite:
            logger.log_metrics(finite, step=step)


def emit(trainer: Any, text: str) -> None:
    """Print on rank zero without tearing a progress bar, and nothing that steers a terminal.

    What the terminal has no sign for is escaped.

    Args:
        trainer: The trainer.
        text: Lines; phrases and reasons in them may be a model's words.
    """
    if not trainer.is_global_zero:
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    text = visible(text).encode(encoding, "backslashreplace").decode(encoding)
    bars = class_names(trainer.progress_bar_callback)
    if "RichProgressBar" in bars:  # the bar's own console must print, or the bar garbles the lines
        console = importlib.import_module("rich").get_console()
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    elif "TQDMProgressBar" in bars and isinstance(sys.stdout, io.TextIOBase):
        importlib.import_module("tqdm").tqdm.write(text, file=sys.stdout)
    else:
        print(text, flush=True)
