"""Where in the validation set this rank's samples come from: ids without ids, and no padding."""

import math
from collections.abc import Iterable
from typing import Any

_INTERLEAVED = {
    "DistributedSampler",
    "DistributedSamplerWrapper",
    "UnrepeatedDistributedSampler",
    "UnrepeatedDistributedSamplerWrapper",
}


class Positions:
    """The position in the validation set of each sample that one rank draws from one dataloader.

    The k-th sample that rank r of W draws through a `DistributedSampler` stands at position
    ``k * W + r`` of the sampler's order; beyond the end of the set, the sampler repeats samples so
    that every rank has as many. Those repeats are padding and must not count. A sampler of the user's
    own, which shares the set out in a way of its own, gives no positions.

    Args:
        loader: The dataloader, as Lightning prepared it; None where batches mix several.
        num_batches: How many of its batches are evaluated; infinite where it has no length.
        rank: This process.
        world: How many processes there are.

    Attributes:
        num_batches: How many batches are evaluated.
        size: How many samples the set has; None where nobody can know.
        batch_size: How many samples each has; None where nobody knows.
        ranks: Over how many ranks the sampler spreads the samples.
        expected: How many samples of the set this rank should see; None where nobody can know.
        share: Which share of the set this rank draws: ranks of one share draw the same samples.
        stable: Whether a position means the same sample in every evaluation.

    Example:
        >>> from torch.utils.data import DataLoader, DistributedSampler
        >>> sampler = DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False)
        >>> positions = Positions(DataLoader(range(5), sampler=sampler, batch_size=3), math.inf)
        >>> positions.names(batch_idx=0, count=3), positions.expected
        (['1', '3', None], 2)
    """

    def __init__(self, loader: Any, num_batches: float, rank: int = 0, world: int = 1) -> None:
        sampler = _sampler(loader)
        self._rank = rank
        self.num_batches = num_batches
        self.size = _size(sampler)
        self.ranks = int(getattr(sampler, "num_replicas", 1))
        self.share = int(getattr(sampler, "rank", 0))
        self._drawn = None  # on this rank, padding included
        if world == 1 or _interleaved(sampler) or _whole(loader, sampler):
            self._drawn = _length(sampler)
        self.batch_size = _batch_size(loader)
        self.stable = self.size is not None and _in_order(sampler)
        self.expected = self._expected(num_batches)

    def expected_in(self, batches: Iterable[int]) -> int | None:
        """How many samples of the set some batches hold; None where nobody can know.

        Args:
            batches: Their numbers on this rank.
        """
        if self.expected is None:
            return None
        ends = [(self._expected(number), self._expected(number + 1)) for number in batches]
        return sum(end - start for start, end in ends if start is not None and end is not None)

    def names(self, batch_idx: int, count: int) -> list[str | None] | None:
        """The positions of a batch's samples as ids, None for padding.

        Args:
            batch_idx: The batch's number on this rank.
            count: How many samples it gave.

        Returns:
            None where positions cannot be told: the data set has no order, the sampler is not known,
            or the batch has another number of samples than the sampler drew.
        """
        if self.size is None or self._drawn is None or self.batch_size is None:
            return None
        start = batch_idx * self.batch_size
        if count != min(self.batch_size, self._drawn - start):
            return None
        places = (k * self.ranks + self.share for k in range(start, start + count))
        return [str(place) if place < self.size else None for place in places]

    def arrival(self, batch_idx: int, count: int) -> list[str]:
        """Ids by arrival, for samples whose position cannot be told: unique in one evaluation.

        Args:
            batch_idx: The batch's number on this rank.
            count: How many samples it gave.
        """
        return [f"rank{self._rank}/batch{batch_idx}/{i}" for i in range(count)]

    def _expected(self, num_batches: float) -> int | None:
        if self.size is None or self._drawn is None:
            return None
        limit: float = self._drawn
        if math.isfinite(num_batches):
            if self.batch_size is None:
                return None
            limit = min(limit, num_batches * self.batch_size)
        inside = max(0, math.ceil((self.size - self.share) / self.ranks))
        return int(min(limit, inside))


def _sampler(loader: Any) -> Any:
    """What orders the loader's samples; None for an iterable data set or an unknown loader."""
    sampler = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    if sampler is None:
        sampler = getattr(loader, "sampler", None)
    # torch's stand-in for the sampler of an iterable data set
    return None if type(sampler).__name__ == "_InfiniteConstantSampler" else sampler


def _interleaved(sampler: Any) -> bool:
    """Whether the ranks take turns, as torch's and Lightning's distributed samplers let them."""
    order = next((cls for cls in type(sampler).__mro__ if "__iter__" in vars(cls)), None)
    return hasattr(sampler, "num_replicas") and order is not None and order.__name__ in _INTERLEAVED


def _whole(loader: Any, sampler: Any) -> bool:
    """Whether this rank draws the whole set: no distributed sampler, and as many as there are."""
    batches = getattr(loader, "batch_sampler", None)
    of_its_own = batches is not None and not hasattr(batches, "sampler")
    if hasattr(sampler, "num_replicas") or of_its_own:
        return False
    return _length(sampler) == _length(getattr(loader, "dataset", None))


def _length(sized: Any) -> int | None:
    try:
        return len(sized)
    except Exception:  # noqa: BLE001  whatever a sampler of the user's raises, it has no length to us
        return None


def _size(sampler: Any) -> int | None:
    """How many samples there are to draw, on all ranks together, without repeats."""
    if not hasattr(sampler, "num_replicas"):
        return _length(sampler)
    size = _length(getattr(sampler, "dataset", None))
    if size is not None and getattr(sampler, "drop_last", False):
        size -= size % int(sampler.num_replicas)
    return size


def _batch_size(loader: Any) -> int | None:
    size = getattr(loader, "batch_size", None)
    if size is None:
        size = getattr(getattr(loader, "batch_sampler", None), "batch_size", None)
    return size if isinstance(size, int) else None


def _in_order(sampler: Any) -> bool:
    """Whether a position means the same sample in every evaluation."""
    if hasattr(sampler, "num_replicas"):
        inner = getattr(getattr(sampler, "dataset", None), "_sampler", None)  # Lightning's wrapper
        return not getattr(sampler, "shuffle", False) and (inner is None or _in_order(inner))
    return isinstance(sampler, (list, tuple, range)) or (
        type(sampler).__name__ == "SequentialSampler"
    )
