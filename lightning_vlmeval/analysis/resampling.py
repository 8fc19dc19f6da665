"""Resamples whose weights hang on the name of a sample alone, so that no process need ask another.

The 64-bit hash of a name, mixed with the seed and the number of the draw by the splitmix64
generator, gives 64 random bits: four slices of 16, one for each of four resamples. A slice is
looked up in a table of weights.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lightning_vlmeval.table import Floats

Words = NDArray[np.uint64]

_SLICES = 2**16
_LEVELS = (np.arange(_SLICES) + 0.5) / _SLICES

POISSON: Floats = np.searchsorted(special.pdtr(np.arange(12), 1.0), _LEVELS).astype(float)
"""How often a sample counts in a bootstrap resample: a Poisson variable of mean 1."""

COIN: Floats = (np.arange(_SLICES) % 2).astype(float)
"""0 or 1, each with probability one half."""

# Weights made at a time: 4 MB of them, which a processor's cache holds.
_BLOCK = 2**19

# The odd constants of splitmix64.
_STEP = 0x9E3779B97F4A7C15
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK = 2**64 - 1


def resampled_sums(
    rows: Floats, names: Sequence[str], weights: Floats, num_resamples: int, seed: int
) -> Floats:
    """The column sums of each resample, shape (num_resamples, K).

    Args:
        rows: Shape (n, K).
        names: The name of each row; rows of one name get the same weight.
        weights: The 65,536 equally likely weights, such as `POISSON`.
        num_resamples: How many.
        seed: Another seed gives other resamples.

    Example:
        >>> whole = np.array([[1.0], [2.0], [4.0]])
        >>> first = resampled_sums(whole[:2], ["a", "b"], POISSON, 3, seed=0)
        >>> last = resampled_sums(whole[2:], ["c"], POISSON, 3, seed=0)
        >>> bool((first + last == resampled_sums(whole, ["a", "b", "c"], POISSON, 3, 0)).all())
        True
    """
    words = _hashes(names)
    sums = np.zeros((num_resamples + 3, rows.shape[1]))
    for first, slices in _slices(words, num_resamples, seed):
        for i in range(4):
            block = weights[slices[:, :, i]] @ rows
            sums[first + i : first + i + 4 * len(block) : 4] = block
    return sums[:num_resamples]


def _slices(
    words: Words, num_resamples: int, seed: int
) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """Blocks of slices, shape (draws, n, 4), each with the number of its first resample."""
    draws = -(-num_resamples // 4)
    at_once = max(1, _BLOCK // (4 * max(1, len(words))))
    for start in range(0, draws, at_once):
        numbers = range(start, min(start + at_once, draws))
        keys = np.array([_key(seed, number) for number in numbers], dtype=np.uint64)
        mixed = _mixed(words[None, :] ^ keys[:, None]).astype("<u8", copy=False)
        yield 4 * start, mixed.view("<u2").reshape(len(keys), len(words), 4)


def _hashes(names: Sequence[str]) -> Words:
    """A 64-bit hash of each name, the same on every machine."""
    digests = (blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8) for name in names)
    return np.frombuffer(b"".join(d.digest() for d in digests), dtype="<u8").astype(np.uint64)


def _key(seed: int, number: int) -> int:
    """What tells one draw of one seed from another."""
    start = np.array([((seed + 1) * _STEP + number * _MIX[0]) & _MASK], dtype=np.uint64)
    return int(_mixed(start)[0])


def _mixed(words: Words) -> Words:
    """splitmix64: every bit of a word depends on every bit that came in."""
    words = words + np.uint64(_STEP)
    words ^= words >> np.uint64(30)
    words *= np.uint64(_MIX[0])
    words ^= words >> np.uint64(27)
    words *= np.uint64(_MIX[1])
    words ^= words >> np.uint64(31)
    return words
