"""The scores of fields, of all together and of each: the counts of a sample's fields as bytes."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from lightning_vlmeval.functional.fields import FIELD_COUNTS
from lightning_vlmeval.functional.scorer import Scores, ratio
from lightning_vlmeval.functional.violations import KINDS
from lightning_vlmeval.table import Floats, Table

FIELD_COLUMNS = (*FIELD_COUNTS, *(f"schema_{kind}" for kind in KINDS))
"""What is counted of a field of a sample."""

OTHER_FIELDS = "..."
"""Stands for all fields beyond the first 100 of a sample that its target does not have."""

_MAX_SURPLUS = 100
_DIGEST = 8
_UNREAD = bytes(_DIGEST)

Counts = Mapping[str, list[int]]


def pack_fields(structure: str | None, counts: Counts) -> bytes:
    """What is kept beside the row of a sample: the hash of its structure, and its fields' counts.

    Args:
        structure: The structure of the answer; None for one that is not read.
        counts: For each field's path its counts, as `FIELD_COLUMNS` names them.
    """
    digest = _UNREAD if structure is None else digest_of(structure)
    return digest + json.dumps(_bounded(counts), separators=(",", ":")).encode()


def digest_of(text: str) -> bytes:
    """Eight bytes that tell texts apart.

    Args:
        text: Any.
    """
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _bounded(counts: Counts) -> dict[str, list[int]]:
    """The counts without zeros at their ends, and of an answer full of made-up fields just some."""
    expected = FIELD_COLUMNS.index("expected")
    kept: dict[str, list[int]] = {}
    others = [0] * len(FIELD_COLUMNS)
    surplus = 0
    for path, row in counts.items():
        surplus += not row[expected]
        if row[expected] or surplus <= _MAX_SURPLUS:
            kept[path] = row
        else:
            others = [a + b for a, b in zip(others, row, strict=True)]
    if any(others):
        kept[OTHER_FIELDS] = others
    return {path: row[: _length(row)] for path, row in kept.items()}


def _length(row: list[int]) -> int:
    """How long the row is without the zeros at its end."""
    return next((n for n in range(len(row), 0, -1) if row[n - 1]), 0)


def structure_of(payload: bytes) -> bytes:
    """The hash of a sample's structure; b"" for an answer that is not read.

    Args:
        payload: What `pack_fields` gave, or b"".
    """
    digest = payload[:_DIGEST]
    return b"" if digest == _UNREAD else digest


def field_rows(table: Table) -> tuple[list[tuple[str, str]], Floats]:
    """A row of counts for each field of each sample: the finer grain of a table.

    Args:
        table: Rows with the payloads that `pack_fields` made.

    Returns:
        For each row the sample's id and the field's path; and the rows, float64 of shape (m, 10), as
        `FIELD_COLUMNS` names them.
    """
    keys: list[tuple[str, str]] = []
    rows: list[list[int]] = []
    for sample, payload in zip(table.ids, table.payloads, strict=True):
        counts = json.loads(payload[_DIGEST:] or b"{}")
        keys += [(sample, path) for path in counts]
        rows += [[*row, *[0] * (len(FIELD_COLUMNS) - len(row))] for row in counts.values()]
    return keys, np.array(rows, float).reshape(len(rows), len(FIELD_COLUMNS))


def field_scores(table: Table) -> dict[str, dict[str, float]]:
    """The scores of each field over all samples, by its path.

    `expected` and `produced` are how often it should be there, and how often it is; the rates are as
    `field_rates` has them; `schema_...` is the share of samples in which it breaks the schema so.

    Args:
        table: Rows with the payloads that `pack_fields` made; each id once.
    """
    sums: dict[str, Floats] = {}
    for (_, path), row in zip(*field_rows(table), strict=True):
        sums[path] = sums.get(path, np.zeros(len(FIELD_COLUMNS))) + row
    found = {}
    for path in sorted(sums):
        counts = dict(zip(FIELD_COLUMNS, sums[path].tolist(), strict=True))
        rates = field_rates(sums[path][: len(FIELD_COUNTS)])
        found[path] = {
            "expected": counts["expected"],
            "produced": counts["produced"],
            **{key: float(value) for key, value in rates.items()},
            **{key: counts[key] / len(table) for key in FIELD_COLUMNS[len(FIELD_COUNTS) :]},
        }
    return found


def field_rates(counts: Floats) -> Scores:
    """Precision, recall and F1 of fields, and the rates of what is wrong with them.

    Args:
        counts: Shape (..., 6), as `FIELD_COUNTS` names them.

    Returns:
        Each key, shape (...); NaN where nothing is expected or produced that it counts of, but a
        precision of 0 where nothing is produced and something expected.

    Example:
        >>> rates = field_rates(np.array([2.0, 4, 3, 1, 0, 0]))
        >>> float(rates["recall"]), float(rates["missing_rate"]), float(rates["swapped_rate"])
        (0.5, 0.5, 0.0)
    """
    right, expected, produced, hallucinated, swapped, wrong_unit = np.moveaxis(counts, -1, 0)
    precision = ratio(right, produced)
    precision[(produced == 0) & (expected > 0)] = 0.0
    return {
        "precision": precision,
        "recall": ratio(right, expected),
        "f1": ratio(2 * right, expected + produced),
        # What is produced and not hallucinated stands for a field that is expected.
        "missing_rate": ratio(expected - (produced - hallucinated), expected),
        "hallucinated_rate": ratio(hallucinated, produced),
        "swapped_rate": ratio(swapped, produced),
        "wrong_unit_rate": ratio(wrong_unit, produced),
    }
