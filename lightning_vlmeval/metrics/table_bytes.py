"""Tables as bytes and back, and the tables of all ranks as one."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_vlmeval.errors import InputError
from lightning_vlmeval.metrics.gathering import pack, pack_texts, unpack, unpack_texts
from lightning_vlmeval.table import Floats, Table


class Keys(NamedTuple):
    """What a table has beside its rows, one element a row in each."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    payloads: tuple[bytes, ...]


class Share(NamedTuple):
    """One rank's part of a table: whose it is, its columns, and its rows and keys as bytes."""

    signature: str
    columns: tuple[str, ...]
    rows: bytes
    keys: bytes


def pack_keys(table: Table) -> bytes:
    """Ids, groups and payloads of a piece of a table.

    Args:
        table: The piece.
    """
    groups = pack_texts(table.groups) if any(table.groups) else b""
    payloads = pack(table.payloads) if any(table.payloads) else b""
    return pack([pack_texts(table.ids), groups, payloads])


def unpack_keys(pieces: Iterable[memoryview]) -> Keys:
    """Ids, groups and payloads of all pieces.

    Args:
        pieces: What `pack_keys` gave.
    """
    ids: list[str] = []
    groups: list[str] = []
    payloads: list[bytes] = []
    for piece in pieces:
        one, two, three = unpack(piece)
        names = unpack_texts(one)
        ids += names
        groups += unpack_texts(two) if two else [""] * len(names)
        payloads += map(bytes, unpack(three)) if three else [b""] * len(names)
    return Keys(tuple(ids), tuple(groups), tuple(payloads))


def first_of_each(tables: Sequence[Table]) -> Table:
    """Tables under one another, without rows whose id came before.

    Args:
        tables: Of the same columns; at least one.
    """
    keys = _joined([Keys(table.ids, table.groups, table.payloads) for table in tables])
    rows = np.concatenate([table.rows for table in tables])
    whole = Table(tables[0].columns, keys.ids, rows, keys.groups, keys.payloads)
    first = _first_positions(keys.ids)
    return whole if len(first) == len(whole) else whole.take(sorted(first.values()))


def gather_shares(
    shares: Sequence[Share],
    header: bytes,
    gather: Callable[..., list[bytes]],
    group: Any,
) -> tuple[list[bytes], list[Table]]:
    """The header of every rank, and each table over all ranks: one gather.

    A collective. The keys that tables share, as those of the metrics of one validation set do,
    travel once, and are sorted once.

    Args:
        shares: This rank's part of each table; the same tables in the same order on every rank.
        header: Whatever else the ranks have to tell each other.
        gather: How bytes go round.
        group: The process group; None for all ranks.

    Raises:
        InputError: The ranks' tables differ; raised on every rank.
    """
    distinct = {keys: i for i, keys in enumerate(dict.fromkeys(share.keys for share in shares))}
    parts = [
        pack([share.signature.encode(), share.rows, str(distinct[share.keys]).encode()])
        for share in shares
    ]
    buffers = gather(pack([header, pack([*distinct]), *parts]), group)
    ranks = [list(unpack(memoryview(buffer))) for buffer in buffers]  # parts without copies
    for rank, received in enumerate(ranks):
        if len(received) != 2 + len(shares):
            raise InputError(
                f"Expected every rank to hold the same metrics in the same order, but got "
                f"{len(shares)} metrics here and {len(received) - 2} on rank {rank}"
            )
    keys = [[unpack_keys(unpack(one)) for one in unpack(received[1])] for received in ranks]
    merged: dict[tuple[int, ...], tuple[Keys, NDArray[np.intp]]] = {}
    tables = []
    for i, share in enumerate(shares, start=2):
        read = [_read(share, received[i], rank) for rank, received in enumerate(ranks)]
        chosen = tuple(index for _, index in read)
        if chosen not in merged:
            merged[chosen] = _merge([keys[rank][index] for rank, index in enumerate(chosen)])
        mine, order = merged[chosen]
        rows = np.concatenate([rows for rows, _ in read])[order]
        tables.append(Table(share.columns, mine.ids, rows, mine.groups, mine.payloads))
    return [bytes(received[0]) for received in ranks], tables


def _read(share: Share, buffer: memoryview, rank: int) -> tuple[Floats, int]:
    """A rank's rows of a table, and which of its keys they have."""
    signature, rows, index = unpack(buffer)
    theirs = bytes(signature).decode()
    if theirs != share.signature:
        raise InputError(
            f"Expected every rank to hold the same metrics in the same order, but got "
            f"{share.signature} here and {theirs} on rank {rank}"
        )
    return np.frombuffer(rows, np.float64).reshape(-1, len(share.columns)), int(bytes(index))


def _merge(ranks: Sequence[Keys]) -> tuple[Keys, NDArray[np.intp]]:
    """The keys of all ranks, each id once and sorted by id, and where each was; the first counts."""
    joined = _joined(ranks)
    first = _first_positions(joined.ids)
    order = [first[name] for name in sorted(first)]
    ids, groups = (tuple([side[i] for i in order]) for side in (joined.ids, joined.groups))
    payloads = tuple([joined.payloads[i] for i in order])
    return Keys(ids, groups, payloads), np.array(order, dtype=np.intp)


def _joined(keys: Sequence[Keys]) -> Keys:
    return Keys(*(tuple(itertools.chain.from_iterable(side)) for side in zip(*keys, strict=True)))


def _first_positions(ids: Sequence[str]) -> dict[str, int]:
    """Where each id comes first."""
    return dict(zip(reversed(ids), reversed(range(len(ids))), strict=True))
