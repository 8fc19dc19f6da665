"""The table behind every metric: one row of float64 statistics per sample, under the sample's id."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Whole numbers below this add without rounding in float64, in any order.
_EXACT = 2.0**53


def exact_sums(rows: Floats) -> Floats:
    """The correctly rounded sum of each column: the same bits whatever the order of the rows.

    Columns of whole numbers are added by numpy, which is exact for them; the others by `math.fsum`.

    Args:
        rows: Shape (n, K).

    Returns:
        Shape (K,); zeros where n is 0.

    Example:
        >>> exact_sums(np.array([[1.0, 1e16], [2.0, 1.0], [3.0, -1e16]]))
        array([6., 1.])
    """
    sums: Floats = rows.sum(axis=0)
    whole = (rows == np.rint(rows)).all(axis=0) & (np.abs(rows).sum(axis=0) < _EXACT)
    for column in np.flatnonzero(~whole):
        sums[column] = _fsum(rows[:, column])
    return sums


def _fsum(values: Floats) -> float:
    """`math.fsum`, but with infinities and NaN added as floats are: fsum raises on inf - inf."""
    return math.fsum(values) if np.isfinite(values).all() else float(values.sum())


@dataclass(frozen=True)
class Table:
    """The statistics of a set of samples: what a score, its interval and its evidence are made from.

    Args:
        columns: The name of each of the K statistics.
        ids: The id of each of the n samples.
        rows: The statistics, float64 of shape (n, K).
        groups: What correlated samples share (the image of several questions), one a sample; "" for
            a sample that shares nothing.
        payloads: Bytes beside a row, for the few scores that no sum can give; b"" where there are
            none.

    Example:
        >>> table = Table(("right", "asked"), ("b", "a", "b"), np.array([[1.0, 1], [0, 1], [1, 1]]))
        >>> table.canonical().ids
        ('a', 'b')
        >>> table.canonical().sums()
        array([1., 2.])
    """

    columns: tuple[str, ...]
    ids: tuple[str, ...]
    rows: Floats
    groups: tuple[str, ...] = ()
    payloads: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.rows.shape != (n, len(self.columns)):
            raise ValueError(
                f"Expected `rows` of shape ({n}, {len(self.columns)}), but got {self.rows.shape}"
            )
        object.__setattr__(self, "groups", tuple(self.groups) or ("",) * n)
        object.__setattr__(self, "payloads", tuple(self.payloads) or (b"",) * n)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, positions: Sequence[int]) -> "Table":
        """The samples at these positions, in this order.

        Args:
            positions: Indices into the table.
        """
        return Table(
            self.columns,
            tuple(self.ids[i] for i in positions),
            self.rows[np.asarray(positions, dtype=np.intp)],
            tuple(self.groups[i] for i in positions),
            tuple(self.payloads[i] for i in positions),
        )

    def canonical(self) -> "Table":
        """Each id once, its first row kept, sorted by id: equal for any order and any split."""
        first: dict[str, int] = {}
        for position, sample_id in enumerate(self.ids):
            first.setdefault(sample_id, position)
        return self.take([first[sample_id] for sample_id in sorted(first)])

    def sums(self) -> Floats:
        """The exact sum of each column, shape (K,)."""
        return exact_sums(self.rows)
