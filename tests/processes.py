"""Real processes for the distributed tests: gloo, met through a file, with a bounded wait."""

import datetime
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

TIMEOUT = datetime.timedelta(seconds=120)


def _run(rank: int, function: Callable[..., Any], world: int, folder: str, args: tuple) -> None:
    torch.set_num_threads(1)
    # What Lightning takes for processes that were started for it, so that it starts none.
    os.environ.update(
        TORCHELASTIC_RUN_ID="tests",
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world),
        LOCAL_WORLD_SIZE=str(world),
        GROUP_RANK="0",
    )
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world, timeout=TIMEOUT
    )
    result = function(rank, world, *args)
    Path(folder, f"rank{rank}.pickle").write_bytes(pickle.dumps(result))
    dist.barrier()
    dist.destroy_process_group()


def spawn(function: Callable[..., Any], world: int, folder: Path, *args: Any) -> list[Any]:
    """`function(rank, world, *args)` in `world` processes; its results by rank.

    A process that fails or that waits too long fails the test.
    """
    mp.spawn(_run, (function, world, str(folder), args), nprocs=world)
    return [pickle.loads(Path(folder, f"rank{rank}.pickle").read_bytes()) for rank in range(world)]
