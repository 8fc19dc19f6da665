"""Bytes from every rank to every rank: two collectives, whatever each rank holds."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist

from lightning_vlmeval.errors import RankError
from lightning_vlmeval.metrics.attendance import attend, missing

Buffer = TypeVar("Buffer", bytes, memoryview)


def pack(items: Sequence[bytes]) -> bytes:
    """One buffer that says where each of its parts ends, so that it can be cut again.

    Args:
        items: The parts; any may be empty.

    Example:
        >>> list(unpack(pack([b"a", b"", b"cd"])))
        [b'a', b'', b'cd']
    """
    lengths = np.array([len(items), *map(len, items)], dtype=np.int64)
    return lengths.tobytes() + b"".join(items)


def unpack(buffer: Buffer) -> Iterable[Buffer]:
    """The parts of a packed buffer; those of a memoryview are no copies.

    Args:
        buffer: What `pack` made.
    """
    return (buffer[start:end] for start, end in _bounds(buffer))


def pack_texts(texts: Sequence[str]) -> bytes:
    """`pack` for texts of any characters.

    Args:
        texts: The texts.

    Example:
        >>> unpack_texts(pack_texts(["a", "", "ü"]))
        ['a', '', 'ü']
    """
    return pack([text.encode("utf-8", "surrogatepass") for text in texts])


def unpack_texts(buffer: bytes | memoryview) -> list[str]:
    """The texts of a packed buffer.

    Args:
        buffer: What `pack_texts` made.
    """
    bounds = list(_bounds(buffer))
    first = bounds[0][0] if bounds else len(buffer)
    data = bytes(buffer[first:])
    if data.isascii():  # then a byte is a character
        text = data.decode("ascii")
        return [text[start - first : end - first] for start, end in bounds]
    return [data[s - first : e - first].decode("utf-8", "surrogatepass") for s, e in bounds]


def _bounds(buffer: bytes | memoryview) -> Iterable[tuple[int, int]]:
    """Where each part of a packed buffer begins and ends."""
    count = int(np.frombuffer(buffer, np.int64, count=1)[0])
    ends = 8 * (count + 1) + np.cumsum(np.frombuffer(buffer, np.int64, count=count + 1)[1:])
    starts = [8 * (count + 1), *ends[:-1].tolist()] if count else []
    return zip(starts, ends.tolist(), strict=True)


def gather_bytes(data: bytes, group: dist.ProcessGroup | None = None) -> list[bytes]:
    """What every rank holds, in rank order, on every rank.

    A collective: all ranks of the group must call it, also those that hold nothing (`b""`). Sizes
    go first, then the data padded to the largest.

    Args:
        data: This rank's bytes.
        group: The process group; None for all ranks.

    Raises:
        RankError: Another rank stopped, or did not come within the group's own time limit; the
            message names it. (With NCCL it is NCCL's watchdog that ends the process.)

    Example:
        >>> gather_bytes(b"alone")  # no process group: one process is all there is
        [b'alone']
    """
    if not (dist.is_available() and dist.is_initialized()):
        return [data]
    attend(group)
    try:
        return _gathered(data, group)
    except RuntimeError as error:
        raise RankError(
            f"Rank {dist.get_rank()} waited for what the other ranks have evaluated, and "
            f"{missing(group)}. ({error})"
        ) from error


def _gathered(data: bytes, group: dist.ProcessGroup | None) -> list[bytes]:
    """What `gather_bytes` gives, of several processes."""
    device = _device(group)
    size = torch.tensor([len(data)], dtype=torch.int64, device=device)
    sizes = [torch.zeros_like(size) for _ in range(dist.get_world_size(group))]
    dist.all_gather(sizes, size, group=group)
    counts = [int(one) for one in sizes]
    padded = np.zeros(max(1, *counts), dtype=np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    mine = torch.from_numpy(padded).to(device)
    parts = [torch.empty_like(mine) for _ in counts]
    dist.all_gather(parts, mine, group=group)
    return [part[:count].cpu().numpy().tobytes() for part, count in zip(parts, counts, strict=True)]


def _device(group: dist.ProcessGroup | None) -> torch.device:
    """Where the group's backend can gather: a CPU backend where it has one, else its accelerator."""
    if "gloo" in str(dist.get_backend(group)) or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())
