"""Which samples a rank draws, by position in the set."""

import math
from typing import Any

import pytest
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from lightning_vlmeval.session.positions import Positions


def drawn(size: int, world: int, batch_size: int, **kwargs: Any) -> list[tuple[list[Any], int]]:
    """What `Positions` says of each rank, and the samples that really came."""
    found = []
    for rank in range(world):
        sampler = DistributedSampler(range(size), num_replicas=world, rank=rank, **kwargs)
        loader = DataLoader(range(size), sampler=sampler, batch_size=batch_size)
        positions = Positions(loader, math.inf, rank)
        names = []
        for batch_idx, batch in enumerate(loader):
            names += positions.names(batch_idx, len(batch)) or ["?"]
        found.append((list(zip(names, list(sampler), strict=True)), positions.expected))
    return found


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_each_sample_is_named_once_and_padding_never(size: int, world: int) -> None:
    ranks = drawn(size, world, batch_size=2, shuffle=False)
    named = [(name, index) for pairs, _ in ranks for name, index in pairs if name is not None]
    assert sorted(index for _, index in named) == list(range(size))
    assert all(name == str(index) for name, index in named), "a position is the sample's index"
    assert sum(expected for _, expected in ranks) == size


@pytest.mark.parametrize("size", [5, 7])
def test_with_shuffling_padding_is_still_known(size: int) -> None:
    ranks = drawn(size, 2, batch_size=2, shuffle=True)
    indices = [index for pairs, _ in ranks for name, index in pairs if name is not None]
    assert sorted(indices) == list(range(size))


def test_a_sampler_that_drops_the_last_has_no_padding() -> None:
    ranks = drawn(5, 2, batch_size=2, shuffle=False, drop_last=True)
    assert [[name for name, _ in pairs] for pairs, _ in ranks] == [["0", "2"], ["1", "3"]]
    assert [expected for _, expected in ranks] == [2, 2]


class Endless(IterableDataset):
    def __iter__(self) -> Any:
        return iter(range(3))


@pytest.mark.parametrize(
    ("loader", "stable", "expected"),
    [
        (DataLoader(range(5), batch_size=2), True, 5),
        (DataLoader(range(5), batch_size=2, shuffle=True), False, 5),
        (DataLoader(range(5), batch_size=2, sampler=RandomSampler(range(5))), False, 5),
        (
            DataLoader(range(5), batch_sampler=BatchSampler(SequentialSampler(range(5)), 2, False)),
            True,
            5,
        ),
        (DataLoader(Endless(), batch_size=2), False, None),
        ([[1, 2], [3]], False, None),
        (None, False, None),
    ],
    ids=["in order", "shuffled", "random", "batches", "stream", "a list", "mixed"],
)
def test_what_can_be_known(loader: Any, stable: bool, expected: int | None) -> None:
    positions = Positions(loader, math.inf)
    assert positions.stable == stable
    assert positions.expected == expected


class Neighbours(DistributedSampler):
    """Shares the set out in a way of its own."""

    def __iter__(self) -> Any:
        start = self.rank * self.num_samples
        return iter(range(start, min(start + self.num_samples, 5)))


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(range(5), batch_size=2, sampler=Neighbours(range(5), 2, 1)),
        DataLoader(range(5), batch_size=2, sampler=SequentialSampler(range(3))),
        DataLoader(range(5), batch_sampler=[[0, 1], [4]]),
    ],
    ids=["a sampler of its own", "a part", "batches of its own"],
)
def test_a_share_of_the_users_own_has_no_positions(loader: Any) -> None:
    positions = Positions(loader, math.inf, rank=1, world=2)
    assert positions.names(0, 2) is None
    assert positions.expected is None


class Unreadable(SequentialSampler):
    """Has a length only where its list of files is."""

    def __len__(self) -> int:
        raise OSError("no list of files on this disk")


class Batches(BatchSampler):
    """Knows its number of batches without asking the sampler."""

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize("world", [1, 2])
def test_a_sampler_that_cannot_be_asked_stops_no_rank(world: int) -> None:
    batches = Batches(Unreadable(range(5)), batch_size=2, drop_last=False)
    positions = Positions(DataLoader(range(5), batch_sampler=batches), 3, rank=1, world=world)
    assert positions.names(0, 2) is None
    assert (positions.expected, positions.size) == (None, None)
    assert positions.arrival(0, 1) == ["rank1/batch0/0"]


def test_all_samples_on_every_rank_have_positions() -> None:
    positions = Positions(DataLoader(range(5), batch_size=2), math.inf, rank=1, world=2)
    assert positions.names(0, 2) == ["0", "1"]
    assert (positions.expected, positions.share) == (5, 0)


def test_a_limit_of_batches_is_a_limit_of_samples() -> None:
    assert Positions(DataLoader(range(5), batch_size=2), 2).expected == 4
    assert Positions(DataLoader(range(5), batch_size=2), 3).expected == 5


def test_a_batch_of_another_size_has_no_positions() -> None:
    positions = Positions(DataLoader(range(5), batch_size=2), math.inf, rank=1)
    assert positions.names(0, 1) is None, "the collate function dropped a sample"
    assert positions.names(2, 1) == ["4"]
    assert positions.arrival(0, 1) == ["rank1/batch0/0"]
