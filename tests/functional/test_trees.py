import functools
import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from lightning_vlmeval.functional import tree_distance
from lightning_vlmeval.functional.tree_distance import Node, forest_cost, forest_distance, make_node
from lightning_vlmeval.functional.trees import flat_fields, normalized, tree_of, tree_scores

PINNED = json.loads((Path(__file__).parent / "data" / "donut_evaluator.json").read_text())


def test_by_hand() -> None:
    """The target's tree is menu(subtree(name(cake), count(2))): 4 nodes and 5 letters, so size 9.

    The answer has "cakes" (1 edit), no count (the key and one letter: 2 edits), and total(7) (2
    edits). The distance is 5: total(7) cannot be had cheaper as count(2), as one is under menu.
    """
    target = {"menu": {"name": "cake", "count": 2}}
    pred = {"menu": {"name": "cakes"}, "total": 7}
    scores = tree_scores(pred, target)
    assert scores.accuracy == pytest.approx(1 - 5 / 9)
    assert (scores.right, scores.wrong) == (0, 4)


@pytest.mark.parametrize("pair", PINNED["pairs"])
def test_equal_to_donuts_evaluator(pair: dict[str, object]) -> None:
    scores = tree_scores(pair["pred"], pair["target"])
    assert scores.accuracy == pair["accuracy"]
    assert scores.right / (scores.right + scores.wrong / 2) == pair["f1"]


def test_f1_of_all_is_micro_averaged_as_donuts() -> None:
    scores = [tree_scores(pair["pred"], pair["target"]) for pair in PINNED["pairs"]]
    right, wrong = sum(one.right for one in scores), sum(one.wrong for one in scores)
    assert right / (right + wrong / 2) == PINNED["f1_of_all"]


@pytest.mark.parametrize(
    ("pred", "target", "scores"),
    [
        (None, {"a": "b"}, (0, 1, 0.0)),
        ({}, {"a": "b"}, (0, 1, 0.0)),
        ([], [], (0, 0, 1.0)),
        ({}, {"a": None}, (0, 0, 1.0)),  # null, 0, false and "" vanish
        ({"a": False}, {"b": 0}, (0, 0, 1.0)),
        ({"a": "b"}, {}, (0, 1, 0.0)),
        ({"a": 1.0}, {"a": "1.0"}, (1, 0, 1.0)),
        ({"a": ["x", None, True, ["y"]]}, {"a": "x"}, (1, 0, 1.0)),  # just texts and numbers
        ({"b": "1", "a": " 2 "}, {"a": 2, "b": 1}, (2, 0, 1.0)),  # order of keys, space
        ({"a": "b" * 100}, {"a": "b"}, (0, 2, 0.0)),  # never below 0
    ],
)
def test_odd_input(pred: object, target: object, scores: tuple[int, int, float]) -> None:
    assert tree_scores(pred, target) == scores


def test_normal_form() -> None:
    data = {"bb": [{"x": 1}, {}], "a": " v ", "c": {"d": []}}
    assert list(normalized(data).items()) == [("a", ["v"]), ("bb", [{"x": ["1"]}])]
    assert list(flat_fields(normalized(data))) == [("a", "v"), ("bb.x", "1")]
    assert [child.label for child in tree_of(normalized([{"a": 1}, {"b": 2}])).children] == [
        "<subtree>",
        "<subtree>",
    ]


# ----------------------------------------------------------------------------------- the distance

LEAVES = st.builds(
    lambda text, value: make_node(text, value=value),
    st.sampled_from(["", "a", "b", "ab", "abc"]),
    st.booleans(),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(make_node, st.sampled_from("ab"), st.lists(inner, max_size=3)),
    max_leaves=5,
)
FORESTS = st.lists(TREES, max_size=3)


@functools.cache
def by_definition(first: tuple[Node, ...], second: tuple[Node, ...]) -> int:
    """The distance by trying every edit at the right end of both forests."""
    if not first or not second:
        return forest_cost(first) + forest_cost(second)
    ours, theirs = first[-1], second[-1]
    own = ours.cost - forest_cost(ours.children)
    other = theirs.cost - forest_cost(theirs.children)
    return min(
        by_definition(first[:-1] + ours.children, second) + own,
        by_definition(first, second[:-1] + theirs.children) + other,
        by_definition(first[:-1], second[:-1])
        + by_definition(ours.children, theirs.children)
        + label_cost(ours, theirs),
    )


def label_cost(first: Node, second: Node) -> int:
    if first.leaf and second.leaf:
        return edits(first.label, second.label)
    if first.leaf or second.leaf:
        return 1 + len(first.label if first.leaf else second.label)
    return int(first.label != second.label)


@functools.cache
def edits(first: str, second: str) -> int:
    if not first or not second:
        return len(first) + len(second)
    return min(
        edits(first[1:], second) + 1,
        edits(first, second[1:]) + 1,
        edits(first[1:], second[1:]) + (first[0] != second[0]),
    )


@given(FORESTS, FORESTS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_equal_to_the_definition(first: list[Node], second: list[Node], alike: bool) -> None:
    if alike:  # so that equal trees stand at the ends and under one another
        second = [*first[:1], *second, *first[1:], make_node("a", first)]
    want = by_definition(tuple(first), tuple(second))
    assert forest_distance(first, second) == want
    assert forest_distance(second, first) == want


@given(FORESTS, FORESTS)
@settings(max_examples=100, deadline=None)
def test_large_forests_get_an_upper_bound(first: list[Node], second: list[Node]) -> None:
    exact = forest_distance(first, second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_distance, "_MAX_CELLS", 0)
        top_down = forest_distance(first, second)
        patch.setattr(tree_distance, "_MAX_PAIRS", 0)
        by_position = forest_distance(first, second)
    assert exact <= top_down <= by_position <= forest_cost(first) + forest_cost(second) + 10


def test_a_table_with_a_wrong_cell_in_each_row() -> None:
    rows = [{"name": f"part {i}", "count": i + 1} for i in range(300)]
    wrong = [{**row, "count": f"{row['count']}0"} for row in rows]
    size = sum(3 + len(row["name"]) + len(str(row["count"])) for row in rows)
    assert tree_scores(wrong, rows).accuracy == pytest.approx(1 - 300 / size)
