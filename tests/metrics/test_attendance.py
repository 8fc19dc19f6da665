"""Those that wait in vain at a gather learn which ranks did not come, and why."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist

from lightning_vlmeval.errors import RankError
from lightning_vlmeval.metrics import attendance, gathering
from lightning_vlmeval.metrics.attendance import attend, leave, missing
from lightning_vlmeval.metrics.gathering import gather_bytes
from tests.processes import spawn

EVERYONE = "one of them was lost when all had come, or waits for this one no longer"


def sentences(rank: int, world: int) -> list[str]:
    """What each rank is told after each step; the barriers keep the ranks in step."""
    pair = dist.new_group([1, 2])
    gather_bytes(b"")
    steps = [
        lambda: None,
        lambda: attend() if rank != 1 else None,
        lambda: leave("ValueError: no " + "memory" * 200) if rank == 1 else None,
        lambda: attend() if rank == 0 else None,
        lambda: (attend(), attend()) if rank == 1 else None,  # its error was caught
        lambda: attend(pair) if rank == 1 else None,
    ]
    told = []
    for number, step in enumerate(steps, 1):
        step()
        dist.barrier()
        in_pair = number == len(steps) and rank > 0
        told.append(missing(pair if in_pair else None))
        dist.barrier()
    return told


@pytest.mark.skipif(
    not hasattr(dist.ProcessGroup, "get_group_store"), reason="this torch tells no rank's name"
)
def test_the_rank_that_is_missing_is_named(tmp_path: Path) -> None:
    told = list(zip(*spawn(sentences, 3, tmp_path), strict=True))
    first_words = [[one.partition(":")[0] for one in step] for step in told]
    one, two = "rank 1 did not come", "rank 2 did not come"
    assert first_words[0] == [EVERYONE] * 3
    assert first_words[1] == [one, EVERYONE, one]
    assert "was killed, or hangs" in told[1][0]
    assert (
        told[2][0] == told[2][2] == "rank 1 stopped: " + ("ValueError: no " + "memory" * 200)[:600]
    )
    assert told[3][0] == told[2][0] + "; rank 2 had not come"
    assert first_words[4] == [two, two, EVERYONE]
    assert first_words[5] == [two, two, EVERYONE]


class Hanging:
    """The store of a process that hangs: it takes what it is told, and never answers."""

    def __init__(self) -> None:
        self.freed, self.asked = threading.Event(), 0

    def set(self, key: str, value: str) -> None:
        if self.asked:
            raise AssertionError("torch's store would wait here, behind the question")

    def check(self, keys: list[str]) -> bool:
        self.asked += 1
        self.freed.wait(60)
        return False


class Group:
    """A process group of two, and its store."""

    def __init__(self, store: Any) -> None:
        self.get_group_store = lambda: store


class Older:
    """A process group of a torch that does not tell its store."""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    two = SimpleNamespace(
        get_rank=lambda group=None: 1,
        get_world_size=lambda group=None: 2,
        get_process_group_ranks=lambda group: [0, 1],
        is_available=lambda: True,
        is_initialized=lambda: True,
        ProcessGroup=dist.ProcessGroup,
    )

    def lost(data: bytes, group: Any) -> list[bytes]:
        raise RuntimeError("Timed out waiting 10000ms")

    for module in (attendance, gathering):
        monkeypatch.setattr(module, "dist", two)
    monkeypatch.setattr(gathering, "_gathered", lost)
    monkeypatch.setattr(attendance, "_SECONDS", 0.05)


@pytest.mark.usefixtures("alone")
def test_a_store_that_hangs_is_not_waited_for() -> None:
    store = Hanging()
    group: Any = Group(store)
    for _ in range(2):  # the second time it is not even told
        with pytest.raises(
            RankError,
            match=r"Rank 1 waited .*, and one of them did not come, rank 0 perhaps, .* does not "
            r"answer: it was killed, .* or smaller batches\. \(Timed out waiting 10000ms\)",
        ):
            gather_bytes(b"", group)
    store.freed.set()
    assert store.asked == 1


@pytest.mark.usefixtures("alone")
def test_where_no_store_can_be_asked_nobody_is_named() -> None:
    group: Any = Older()
    with pytest.raises(RankError, match=r"Rank 1 waited .*, and one of them did not come: it was"):
        gather_bytes(b"", group)


def test_ranks_are_few_enough_to_read() -> None:
    assert attendance._named(range(64)).endswith("14, 15 and 48 more")
