"""Which ranks come to a gather: each says so to all, and those that wait in vain learn who did not."""

import contextlib
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import torch.distributed as dist

_SECONDS = 5.0  # how long the store may take to say who came
_LONGEST = 600  # characters of what a rank says when it stops
_MOST = 16  # ranks that are named

_ADVICE = (
    "it was killed, or hangs, or is slower than the others by more than the time limit of the "
    "process group (`timeout` of the strategy), or has no validation batch, where Lightning runs no "
    "hook: look at its own output, use fewer devices or smaller batches"
)


class _Register:
    """Who came to the gathers of a process group, in the store over which its processes met.

    Each rank has one entry: how many gathers it came to, and why it stopped, if it did.
    """

    def __init__(self, members: Any) -> None:
        self._store: Any = members.get_group_store()  # older releases of torch have no such method
        self._ranks = dist.get_process_group_ranks(members)
        self._number = 0

    def come(self) -> None:
        """Count this rank's next gather."""
        self._number += 1
        self.say("")

    def say(self, why: str) -> None:
        """Write this rank's entry: a message without an answer, so that it waits for nobody."""
        if self._store is not None:
            self._store.set(_key(dist.get_rank()), f"{self._number} {why[:_LONGEST]}")

    def absent(self) -> dict[int, str] | None:
        """The ranks that came to fewer gathers than this one, with what they said; None: unknown."""
        found: list[dict[int, str]] = []

        def look(store: Any) -> None:
            with contextlib.suppress(Exception):  # its process may be gone
                entries = {rank: _entry(store, rank) for rank in self._ranks}
                came = self._number
                found.append({rank: why for rank, (n, why) in entries.items() if n < came})

        # Where the store's process hangs, torch waits for it without end, whatever the time limit.
        looking = threading.Thread(target=look, args=[self._store], daemon=True)
        looking.start()
        looking.join(_SECONDS)
        if looking.is_alive():
            self._store = None  # whoever asks it after that waits too
        return found[0] if found else None


_registers: weakref.WeakKeyDictionary[Any, _Register] = weakref.WeakKeyDictionary()


def attend(group: dist.ProcessGroup | None = None) -> None:
    """Say that this rank comes to its next gather; it costs some microseconds.

    Args:
        group: The process group; None for all ranks.
    """
    with contextlib.suppress(Exception):  # the gather itself will tell what is wrong
        _register(group).come()


def leave(why: str) -> None:
    """Say why this rank stops, to those that will wait for it.

    Args:
        why: What happened.
    """
    if dist.is_available() and dist.is_initialized():
        with contextlib.suppress(Exception):  # what happened will be raised, and not this
            _register(None).say(why)


def missing(group: dist.ProcessGroup | None = None) -> str:
    """Which ranks did not come to the gather that this rank came to, and why, in a sentence.

    Args:
        group: The process group; None for all ranks.
    """
    try:
        absent = _register(group).absent()
    except Exception:  # noqa: BLE001  a group without a store, or a release of torch that hides it
        return f"one of them did not come: {_ADVICE}"
    if absent is None:
        return (
            f"one of them did not come, rank 0 perhaps, for its process (or torchrun's on its "
            f"machine), which keeps the list of those that came, does not answer: {_ADVICE}"
        )
    stopped = [f"rank {rank} stopped: {why}" for rank, why in absent.items() if why]
    silent = [rank for rank, why in absent.items() if not why]
    if stopped:
        late = [f"{_named(silent)} had not come"] if silent else []
        return "; ".join([*stopped[:_MOST], *late])
    if silent:
        return f"{_named(silent)} did not come: {_ADVICE}"
    return "one of them was lost when all had come, or waits for this one no longer"


def _register(group: dist.ProcessGroup | None) -> _Register:
    members = dist.group.WORLD if group is None else group
    if members not in _registers:
        _registers[members] = _Register(members)
    return _registers[members]


def _entry(store: Any, rank: int) -> tuple[int, str]:
    """What a rank has written; nothing yet where it never came."""
    said = store.get(_key(rank)).decode() if store.check([_key(rank)]) else "0 "
    number, _, why = said.partition(" ")
    return int(number), why


def _key(rank: int) -> str:
    return f"vlmeval/{rank}"


def _named(ranks: Sequence[int]) -> str:
    """Ranks, for people to read.

    Example:
        >>> _named([3]), _named(range(20))
        ('rank 3', 'ranks 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 and 4 more')
    """
    more = f" and {len(ranks) - _MOST} more" if len(ranks) > _MOST else ""
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks[:_MOST]))}{more}"
