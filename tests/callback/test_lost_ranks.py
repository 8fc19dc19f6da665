"""A rank that hangs, is killed or fails ends the others with an error that names it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch.distributed as dist

from lightning_vlmeval import Run, VLMEvalCallback
from tests.callback.modules import QUIET, loader
from tests.callback.test_store import WithPictures

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 90  # for everything; the process groups' own time limit is 10

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs a system of POSIX"),
    pytest.mark.skipif(
        not hasattr(dist.ProcessGroup, "get_group_store"), reason="this torch tells no rank's name"
    ),
]


class Ranks:
    """The processes of a fit, and what they print."""

    def __init__(self, folder: Path, processes: list[subprocess.Popen[bytes]]) -> None:
        self.folder, self.processes = folder, processes
        self._end = time.monotonic() + SECONDS

    def code(self, rank: int) -> int:
        """The exit code of a rank, waited for."""
        return self.processes[rank].wait(max(0.1, self._end - time.monotonic()))

    def said(self, rank: int) -> str:
        """What it printed last."""
        lines = (self.folder / f"rank{rank}.txt").read_text("utf-8").splitlines()
        return lines[-1] if lines else ""


@contextmanager
def started(folder: Path, ranks: int, lost: int, how: str) -> Iterator[Ranks]:
    """The ranks of a fit, of which one is lost; none is left at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "tests.callback.lost_rank"]
    processes = []
    try:
        for rank in range(ranks):
            # What Lightning takes for processes that were started for it, so that it starts none.
            of_rank = {
                "TORCHELASTIC_RUN_ID": "tests",
                **dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)),
                **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(ranks)),
                "GROUP_RANK": "0",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
            }
            with (folder / f"rank{rank}.txt").open("wb") as output:
                one = subprocess.Popen(
                    [*command, str(folder), str(lost), how],
                    cwd=ROOT,
                    env={**os.environ, **of_rank},
                    stdout=output,
                    stderr=subprocess.DEVNULL,
                )
            processes.append(one)
        yield Ranks(folder, processes)
    finally:
        for one in processes:
            one.kill()  # also one that is stopped
            one.wait()


def test_a_rank_that_hangs_is_named_and_ends_when_it_goes_on(tmp_path: Path) -> None:
    with started(tmp_path, 3, 1, "SIGSTOP") as ranks:
        for rank in (0, 2):
            assert ranks.code(rank) == 3
            said = ranks.said(rank)
            assert said.startswith(
                f"RankError: Rank {rank} waited for what the other ranks have evaluated, and rank 1 "
                f"did not come: it was killed, or hangs, or is slower than the others by more than"
            )
            assert "look at its own output" in said
        assert ranks.processes[1].poll() is None
        ranks.processes[1].send_signal(signal.SIGCONT)
        assert ranks.code(1) == 3
        assert ranks.said(1).startswith("RankError: Rank 1 waited")


def test_the_rank_that_keeps_the_list_may_hang_itself(tmp_path: Path) -> None:
    with started(tmp_path, 2, 0, "SIGSTOP") as ranks:
        assert ranks.code(1) == 3
        assert "one of them did not come, rank 0 perhaps, for its process" in ranks.said(1)
        ranks.processes[0].send_signal(signal.SIGCONT)
        assert ranks.code(0) == 3
        assert ranks.said(0).startswith("RankError: Rank 0 waited")


@pytest.mark.parametrize(
    ("how", "count", "why"),
    [
        ("refused", 3, "ConfigurationError: Expected the validation step to return a dict with"),
        ("fails", 2, "MemoryError: no memory for \u27e8U+001B\u27e9[31mthis"),
    ],
)
def test_what_one_rank_raises_the_others_tell(
    tmp_path: Path, how: str, count: int, why: str
) -> None:
    with started(tmp_path, count, 1, how) as ranks:
        assert ranks.code(1) == 3
        for rank in {*range(count)} - {1}:
            assert ranks.code(rank) == 3
            assert ranks.said(rank).startswith(f"RankError: Rank {rank} waited for ")
            assert f", and rank 1 stopped: {why}" in ranks.said(rank)


def resume(folder: Path, step: int) -> None:
    """Go on from a checkpoint, with one process that takes as many samples a step as the two did."""
    callback = VLMEvalCallback(store=str(folder), print_results=False, report=False)
    trainer = pl.Trainer(**QUIET, max_epochs=3, callbacks=[callback])
    checkpoint = str(folder / f"step={step}.ckpt")
    training = loader(8, batch_size=4, first=100)
    trainer.fit(WithPictures(), training, loader(12), ckpt_path=checkpoint)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_killed_rank_costs_the_evaluation_in_progress(tmp_path: Path) -> None:
    with started(tmp_path, 2, 1, "SIGKILL") as ranks:
        assert ranks.code(1) == -signal.SIGKILL
        assert ranks.code(0) == 3
        assert (
            "RankError: Rank 0 waited for what the other ranks have evaluated, and rank 1 did "
            in (ranks.said(0))
        )
    run = Run(tmp_path)
    assert [one["step"] for one in run.evaluations] == [0, 2]
    assert [one["id"] for one in run.unfinished][:3] == ["scene0", "scene1", "scene10"]
    assert len(run.unfinished) == 8, "six of rank 0, and the first batch of rank 1"
    resume(tmp_path, 2)  # without a warning: nothing is lost that was finished
    assert [one["step"] for one in Run(tmp_path).evaluations] == [0, 2, 4, 6]
    assert not (tmp_path / "vlmeval.unfinished").exists()
    with pytest.warns(UserWarning, match="evaluations 2, 3 are removed: the run was resumed"):
        resume(tmp_path, 2)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_rank_killed_between_its_writes_costs_that_evaluation(tmp_path: Path) -> None:
    with started(tmp_path, 2, 0, "writing") as ranks:
        assert ranks.code(0) == -signal.SIGKILL
        assert ranks.code(1) == 3
    run = Run(tmp_path)
    assert (run.path / "evals" / "000000002.summary.json").exists()
    assert run.indices == [0, 1]
    assert [len(run.samples(index)) for index in run.indices] == [12, 12]
    resume(tmp_path, 2)
    run = Run(tmp_path)
    assert run.indices == [0, 1, 2, 3]
    assert [len(run.samples(index)) for index in run.indices] == [12] * 4
