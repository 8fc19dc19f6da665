import numpy as np
import pytest

from lightning_vlmeval.functional.field_breakdown import (
    FIELD_COLUMNS,
    OTHER_FIELDS,
    field_rates,
    field_rows,
    field_scores,
    pack_fields,
    structure_of,
)
from lightning_vlmeval.table import Table

NAN = float("nan")
RIGHT = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
MADE_UP = [0, 0, 1, 1, 0, 0, 0, 1, 0, 0]
MISSING = [0, 1, 0, 0, 0, 0, 1, 0, 0, 0]


def table(*payloads: bytes) -> Table:
    ids = tuple(f"s{i}" for i in range(len(payloads)))
    return Table((), ids, np.zeros((len(payloads), 0)), payloads=payloads)


def test_counts_are_read_back() -> None:
    counts = {"größe": RIGHT, "a.b[]": MADE_UP, "\ud800": MISSING, "": [0] * 10}
    keys, rows = field_rows(table(pack_fields("{}", counts), pack_fields(None, {}), b""))
    assert keys == [("s0", path) for path in counts]
    assert rows.tolist() == list(counts.values())
    assert field_rows(table())[1].shape == (0, len(FIELD_COLUMNS))


def test_structures() -> None:
    read = structure_of(pack_fields("{}", {"a": RIGHT}))
    assert len(read) == 8
    assert read == structure_of(pack_fields("{}", {}))
    assert read != structure_of(pack_fields("[]", {}))
    assert structure_of(pack_fields(None, {"a": MISSING})) == b""
    assert structure_of(b"") == b""


def test_scores_by_hand() -> None:
    """The size is right once and missing once; the colour is made up once in two answers."""
    scores = field_scores(
        table(
            pack_fields("A", {"size": RIGHT, "colour": MADE_UP}),
            pack_fields("B", {"size": MISSING}),
        )
    )
    assert list(scores) == ["colour", "size"]
    assert scores["size"] == pytest.approx(
        {
            "expected": 2,
            "produced": 1,
            "precision": 1,
            "recall": 1 / 2,
            "f1": 2 / 3,
            "missing_rate": 1 / 2,
            "hallucinated_rate": 0,
            "swapped_rate": 0,
            "wrong_unit_rate": 0,
            "schema_missing": 1 / 2,
            "schema_unexpected": 0,
            "schema_wrong_type": 0,
            "schema_out_of_range": 0,
        }
    )
    assert scores["colour"]["hallucinated_rate"] == 1
    assert scores["colour"]["schema_unexpected"] == 1 / 2
    assert np.isnan(scores["colour"]["recall"])
    assert field_scores(table()) == {}


def test_of_an_answer_full_of_made_up_fields_some_are_kept_by_name() -> None:
    counts = {f"t{i}": RIGHT for i in range(300)} | {f"k{i}": MADE_UP for i in range(5000)}
    payload = pack_fields("A", counts)
    assert len(payload) < 10_000
    scores = field_scores(table(payload))
    assert len(scores) == 100 + 1 + 300
    assert scores["k99"]["produced"] == 1
    assert scores["t299"]["recall"] == 1
    assert scores[OTHER_FIELDS]["produced"] == 4900
    assert scores[OTHER_FIELDS]["hallucinated_rate"] == 1


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "missing", "hallucinated"),
    [
        ([0, 0, 0, 0, 0, 0], NAN, NAN, NAN, NAN),
        ([0, 2, 0, 0, 0, 0], 0, 0, 1, NAN),  # nothing produced, something expected
        ([0, 0, 2, 2, 0, 0], 0, NAN, NAN, 1),
        ([1, 2, 2, 1, 0, 0], 0.5, 0.5, 0.5, 0.5),
    ],
)
def test_rates(
    counts: list[float], precision: float, recall: float, missing: float, hallucinated: float
) -> None:
    rates = field_rates(np.array([counts, counts], float))
    want = {
        "precision": precision,
        "recall": recall,
        "missing_rate": missing,
        "hallucinated_rate": hallucinated,
    }
    for key, value in want.items():
        assert rates[key] == pytest.approx([value, value], nan_ok=True), key
