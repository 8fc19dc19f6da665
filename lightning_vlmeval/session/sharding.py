"""Models whose parameters are spread over processes, so that none waits for another for ever."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from torch import nn

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.session.trainer import class_names

# Strategies of Lightning by what they do to parameters; those of another class are not known.
_SHARDED = {"FSDPStrategy", "ModelParallelStrategy"}
_WHOLE = {"SingleDeviceStrategy", "DDPStrategy", "DeepSpeedStrategy"}  # ZeRO-3 marks parameters
_ADVICE = (
    "generate in the validation step and return 'preds', or say whether every process must take "
    "part in each step with generate_kwargs={'synced_gpus': True} (or False)"
)


def is_sharded(model: nn.Module, trainer: Any) -> bool:
    """Whether each step of the model is an exchange between processes.

    Then all processes must make the same number of steps, whose answers end when they may.

    Args:
        model: The model.
        trainer: The trainer, or None.

    Raises:
        ConfigurationError: It cannot be known.
    """
    if _world_size(trainer) == 1:
        return False
    strategy = class_names(getattr(trainer, "strategy", None)) - {"NoneType"}
    if strategy & _SHARDED or any(map(_is_shard, model.parameters())):
        return True
    if strategy - {"object"} and not strategy & _WHOLE:
        raise ConfigurationError(
            f"Expected a strategy of {', '.join(sorted(_SHARDED | _WHOLE))}, but got "
            f"{type(trainer.strategy).__name__}, of which it is not known how it spreads "
            f"parameters over {_world_size(trainer)} processes: {_ADVICE}"
        )
    for name, parameter in model.named_parameters():
        if parameter.is_meta or parameter.numel() == 0:
            raise ConfigurationError(
                f"Expected whole parameters, or such as FSDP or DeepSpeed spread, but {name!r} "
                f"has no values on this process: {_ADVICE}"
            )
    return False


@contextmanager
def gathered(model: nn.Module, trainer: Any) -> Iterator[None]:
    """With the parameters that only a step of the whole model, or of the module, would gather.

    Units of FSDP gather their parameters when they are run. `generate` runs the vision encoder, or
    all of the model, by themselves, so the parameters of what is around the inner units, mostly
    embeddings and projections, are gathered before and spread again afterwards. For FSDP of the
    first kind, which wraps the LightningModule, this follows the documentation of
    `summon_full_params`; that part was never run on several GPUs.

    Args:
        model: The model.
        trainer: The trainer, or None.
    """
    wholes = [getattr(getattr(trainer, "strategy", None), "model", None), model]
    root = next((one for one in wholes if "FullyShardedDataParallel" in class_names(one)), None)
    if root is not None:
        fsdp = importlib.import_module("torch.distributed.fsdp")  # slow to import, seldom needed
        summon = fsdp.FullyShardedDataParallel.summon_full_params
        with summon(root, recurse=False, writeback=False):
            yield
        return
    outer: list[Any] = [
        part for part in model.modules() if _is_unit(part) and (part is model or _has_units(part))
    ]
    try:
        for unit in outer:
            unit.unshard()
        yield
    finally:
        for unit in outer:
            unit.reshard()


def _is_unit(module: nn.Module) -> bool:
    """Whether it is a unit of FSDP of the second kind."""
    return "FSDPModule" in class_names(module)


def _has_units(unit: nn.Module) -> bool:
    return any(_is_unit(part) for part in unit.modules() if part is not unit)


def _world_size(trainer: Any) -> int:
    size = getattr(trainer, "world_size", None)
    if size is None:
        size = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    return int(size)


def _is_shard(parameter: nn.Parameter) -> bool:
    """Whether DeepSpeed's ZeRO-3, FSDP of the first kind or of the second made it a part."""
    return hasattr(parameter, "ds_id") or bool(
        class_names(parameter) & {"FlatParameter", "DTensor"}
    )
