import itertools
import random
import re

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional import fields
from lightning_vlmeval.functional.comparators import Exact, Number
from lightning_vlmeval.functional.fields import FIELD_COUNTS, FieldComparison, total_counts

NAMES = ("right", "expected", "produced", "hallucinated", "swapped", "wrong_unit")


def counts(pred: object, target: object, comparators: object = None, **options: str) -> list[int]:
    comparison = FieldComparison(comparators or {}, **options)
    return total_counts(comparison.counts(pred, target))


def test_by_hand() -> None:
    """A receipt of 7 fields. Two are right (shop, the cake's name) and one line is missing (2 fields).

    Of the others: the date has the value of the address (swapped), the price's unit is wrong, and
    the address is simply wrong. Besides, the answer has a tip, and a value where the target has null.
    """
    target = {
        "shop": "Ann's",
        "address": "Main St 1",
        "date": "2024-01-02",
        "phone": None,
        "lines": [{"name": "cake", "weight": "200 g"}, {"name": "tea", "weight": "30 g"}],
    }
    pred = {
        "shop": "Ann's",
        "address": "Main St",
        "date": "Main St 1",
        "phone": "555",
        "tip": 2,
        "lines": [{"name": "cake", "weight": "200 kg"}],
    }
    found = FieldComparison().counts(pred, target)
    assert FIELD_COUNTS == NAMES
    assert found == {
        "shop": [1, 1, 1, 0, 0, 0],
        "address": [0, 1, 1, 0, 0, 0],
        "date": [0, 1, 1, 0, 1, 0],
        "phone": [0, 0, 1, 1, 0, 0],
        "lines[].name": [1, 2, 1, 0, 0, 0],
        "lines[].weight": [0, 2, 1, 0, 0, 1],
        "tip": [0, 0, 1, 1, 0, 0],
    }
    assert total_counts(found) == [2, 7, 7, 2, 1, 1]


@pytest.mark.parametrize(
    ("pred", "target", "want"),
    [
        (None, {"a": 1, "b": [1, 2]}, [0, 3, 0, 0, 0, 0]),  # an answer that could not be read
        ({}, {"a": 1}, [0, 1, 0, 0, 0, 0]),
        ({"a": 1}, {}, [0, 0, 1, 1, 0, 0]),
        ({"a": 1}, None, [0, 0, 1, 1, 0, 0]),
        ({}, {}, [0] * 6),
        ([], [], [0] * 6),
        ({"a": None}, {"b": None}, [0] * 6),
        ({"a": 1}, {"a": 1.0}, [1, 1, 1, 0, 0, 0]),
        ({"a": True}, {"a": 1}, [0, 1, 1, 0, 0, 0]),
        ({"a": "1"}, {"a": 1}, [0, 1, 1, 0, 0, 0]),
        ({"a": float("nan")}, {"a": 1}, [0, 1, 1, 0, 0, 0]),
        ({"a": None}, {"a": 1}, [0, 1, 0, 0, 0, 0]),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, [0, 1, 1, 1, 0, 0]),
        ({"a": "x"}, {"a": {"b": 1, "c": 2}}, [0, 2, 1, 1, 0, 0]),  # another kind of value
        ({"a": [{"b": 1}]}, {"a": {"b": 1}}, [0, 1, 1, 1, 0, 0]),
        ([{"a": 1}], {"a": 1}, [0, 1, 1, 1, 0, 0]),
        ({"a": [1, 2, 2]}, {"a": [2, 1, 3]}, [2, 3, 3, 0, 0, 0]),  # order of a list is free
        ({"a": [[1, 2], [3]]}, {"a": [[3], [2, 1]]}, [3, 3, 3, 0, 0, 0]),
        ({"a": [1, 1]}, {"a": [1]}, [1, 1, 2, 1, 0, 0]),  # one too many
        ({"a": {}, "b": []}, {"a": 1, "b": {}}, [0, 1, 0, 0, 0, 0]),
    ],
)
def test_odd_input(pred: object, target: object, want: list[int]) -> None:
    assert counts(pred, target) == want


def test_nulls_as_values() -> None:
    assert counts({"a": None}, {"a": None}, nulls="value") == [1, 1, 1, 0, 0, 0]
    assert counts({}, {"a": None}, nulls="value") == [0, 1, 0, 0, 0, 0]
    assert counts({"a": 3}, {"a": None}, nulls="value") == [0, 1, 1, 1, 0, 0]
    assert counts({"a": None}, {"a": 3}, nulls="value") == [0, 1, 1, 0, 0, 0]
    assert counts({"a": None}, {}, nulls="value") == [0, 0, 1, 1, 0, 0]
    assert counts(None, {"a": None}, nulls="value") == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("pred", "target", "swapped"),
    [
        ({"front": "dent", "rear": "ok"}, {"front": "ok", "rear": "dent"}, 2),
        ({"x": 20, "y": 10}, {"x": 10, "y": 20}, 2),
        ({"x": "Dent "}, {"x": 1, "y": "dent"}, 1),  # as a reader would take it
        ({"x": "hole", "y": "dent"}, {"x": "scratch", "y": "dent"}, 0),
        ({"x": False, "y": True}, {"x": True, "y": False}, 0),  # truth values prove nothing
        ({"x": "", "y": ""}, {"x": "a", "y": ""}, 0),
        ({"x": "2"}, {"x": 2, "y": 2}, 0),  # its own value, as a text
        # The same field of another item is no other field.
        ({"i": [{"n": "b", "p": 1}]}, {"i": [{"n": "a", "p": 1}, {"n": "b", "p": 9}]}, 0),
        ({"i": [{"n": "c", "p": 1}]}, {"i": [{"n": "a", "p": 1}], "who": "c"}, 1),
    ],
)
def test_swapped(pred: object, target: object, swapped: int) -> None:
    assert counts(pred, target)[NAMES.index("swapped")] == swapped


def test_comparators_by_path() -> None:
    target = {
        "n": 100,
        "t": "Deep Scratch",
        "box": [1, 2, 3, 4],
        "tags": ["a", "b"],
        "l": [{"n": 5}],
    }
    pred = {"n": 101, "t": "deep scratch", "box": [4, 3, 2, 1], "tags": ["b", "A"], "l": [{"n": 6}]}
    assert counts(pred, target)[:3] == [5, 9, 9], "the box, in any order, and one tag"
    named = {"n": {"number": {"relative": 0.01}}, "t": "text", "box": "exact", "tags": "set"}
    assert counts(pred, target, named)[:3] == [3, 5, 5], "a list with a comparator is one field"
    near = {"box": {"number": {"absolute": 1}}}
    assert counts({"box": [1, 3, 3, 5]}, {"box": [1, 2, 3, 4]}, near)[:3] == [1, 1, 1]
    assert counts({"box": [2, 1, 3, 5]}, {"box": [1, 2, 3, 4]}, near)[:3] == [1, 1, 1]
    assert counts({"box": [3, 4, 1, 2]}, {"box": [1, 2, 3, 4]}, near)[:3] == [0, 1, 1]
    assert counts({"box": [1, 2]}, {"box": [1, 2, 3]}, near)[:3] == [0, 1, 1]
    assert counts(pred, target, {"*": "text"})[:3] == [7, 9, 9], "all but both numbers"
    assert counts(pred, target, {"l[].n": lambda ours, theirs: ours - theirs == 1})[:1] == [6]


def test_the_list_at_the_top_has_no_mark() -> None:
    found = FieldComparison({"n": Number(absolute=1)}).counts([{"n": 2}], [{"n": 1}])
    assert found == {"n": [1, 1, 1, 0, 0, 0]}
    assert FieldComparison().counts([1, 2], [2]) == {"": [1, 1, 2, 1, 0, 0]}


# --------------------------------------------------------------------------------- pairing of lists


def most_right(pred: list[dict[str, int]], target: list[dict[str, int]]) -> int:
    """The most right fields of any pairing, by trying all."""
    short, long = sorted((pred, target), key=len)
    return max(
        sum(one.get(key) == value for one, other in zip(short, order, strict=False)
            for key, value in other.items())
        for order in itertools.permutations(long, len(short))
    )  # fmt: skip


ITEMS = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), min_size=1), min_size=1, max_size=5
)


@given(ITEMS, ITEMS)
@settings(max_examples=300, deadline=None)
def test_pairing_is_optimal(pred: list[dict[str, int]], target: list[dict[str, int]]) -> None:
    want = most_right(pred, target)
    assert counts({"l": pred}, {"l": target})[0] == want
    assert counts({"l": pred[::-1]}, {"l": target})[0] == want, "whatever the order"


def test_pairs_keep_the_order_where_it_does_not_matter() -> None:
    target = {"l": [{"a": 1, "b": 1}, {"a": 2, "b": 2}]}
    swapped_unit = {"l": [{"a": "x", "b": "y"}, {"a": "z", "b": 2}]}
    found = FieldComparison().counts(swapped_unit, target)
    assert found == {"l[].a": [0, 2, 2, 0, 0, 0], "l[].b": [1, 2, 2, 0, 0, 0]}


def test_lists_too_long_to_pair_are_compared_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    target = [{"n": i, "m": i} for i in range(30)]
    pred = [{"n": i, "m": -1} for i in reversed(range(30))]
    assert counts(pred, target)[0] == 30
    monkeypatch.setattr(fields, "_MAX_COMPARISONS", 100)
    assert counts(pred, target)[0] == 0
    assert counts(pred[::-1], target)[0] == 30


# -------------------------------------------------------------------------------------- properties

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b", "3 mm", "3 cm"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=12,
)


@given(JSON, JSON, st.sampled_from(["absent", "value"]))
@settings(max_examples=300, deadline=None)
def test_counts_hold_together(pred: object, target: object, nulls: str) -> None:
    right, expected, produced, hallucinated, swapped, unit = counts(pred, target, nulls=nulls)
    assert min(right, expected, produced, hallucinated, swapped, unit) >= 0
    assert right + hallucinated + swapped + unit <= produced
    assert right + swapped + unit <= expected
    assert produced - hallucinated <= expected
    mirrored = counts(target, pred, nulls=nulls)
    assert mirrored[:3] == [right, produced, expected]
    same = counts(target, target, nulls=nulls)
    assert same == [expected, expected, expected, 0, 0, 0]


@given(JSON, JSON, st.randoms())
@settings(max_examples=150, deadline=None)
def test_order_does_not_matter(pred: object, target: object, chance: random.Random) -> None:
    assert counts(shuffled(pred, chance), target)[:3] == counts(pred, target)[:3]


def shuffled(value: object, chance: random.Random) -> object:
    if isinstance(value, dict):
        items = [(key, shuffled(one, chance)) for key, one in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        items = [shuffled(one, chance) for one in value]
        chance.shuffle(items)
        return items
    return value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nulls": "ignore"}, "Expected `nulls` to be 'absent' or 'value', but got 'ignore'"),
        ({"comparators": ["a"]}, "Expected `comparators` to be a mapping from paths"),
        ({"comparators": {"a": "fuzzy"}}, "one of exact, text, number, date, similarity, set"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        FieldComparison(**options)


def test_the_default_comparator_can_be_given() -> None:
    assert counts([{"a": "2"}], [{"a": 2}], {"*": Exact(typed=False)})[0] == 1
