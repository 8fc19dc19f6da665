"""The edit distance of ordered trees, with the costs of Donut's evaluator."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

# What one pair of answers may cost: cells of the distance tables, and pairs of nodes; about a second.
_MAX_CELLS = 1_000_000
_MAX_PAIRS = 1_000_000

_LEAF = "<leaf>"


class Node(NamedTuple):
    """A node of an ordered tree.

    Args:
        label: A key's name, or the text of a value.
        leaf: Whether the label is a value's.
        children: In order.
        cost: What it costs to remove it with all below.
    """

    label: str
    leaf: bool
    children: tuple["Node", ...]
    cost: int


def make_node(label: str, children: Sequence[Node] = (), *, value: bool = False) -> Node:
    """A node with its costs: 1 for a key, the length of its text for a value.

    Args:
        label: A key's name, or the text of a value.
        children: In order.
        value: Whether the label is a value's.

    Example:
        >>> make_node("menu", [make_node("cake", value=True)]).cost
        5
    """
    # Donut tells a value by this mark in its label, so a key that holds the mark counts as one.
    leaf = value or _LEAF in label
    text = label.replace(_LEAF, "") if leaf else label
    own = len(text) if leaf else 1
    return Node(text, leaf, tuple(children), own + forest_cost(children))


def forest_cost(forest: Sequence[Node]) -> int:
    """What it costs to remove all of some trees.

    Args:
        forest: The trees.
    """
    return sum(tree.cost for tree in forest)


def forest_distance(first: Sequence[Node], second: Sequence[Node]) -> int:
    """The edit distance of two ordered forests (Zhang and Shasha, 1989).

    Equal trees at either end are matched with each other, and a single pair of trees with equal
    labels by its children. Neither changes the distance: the costs are a metric (a renaming never
    costs more than a detour over other labels), so any mapping that takes such a tree elsewhere can
    be bent back at no cost; nothing to the left of the first tree can stand in the way. Where
    mapping children to children is as cheap as editing the mere sequence of nodes, that is the
    distance, and the rest of the work is saved.

    Where both forests are so large that the exact distance would take over a second, the cost of
    mapping children to children is given, or of pairing them by position: never less than it.

    Args:
        first: Trees, in order.
        second: Trees, in order.
    """
    while True:
        first, second = _without_equal_ends(first, second)
        if not (len(first) == len(second) == 1 and _label_distance(first[0], second[0]) == 0):
            break
        first, second = first[0].children, second[0].children
    if not first or not second:
        return forest_cost(first) + forest_cost(second)
    ours, theirs = _Numbered(first), _Numbered(second)
    if len(ours.nodes) * len(theirs.nodes) > _MAX_PAIRS:
        return _by_position(first, second)
    bound = _top_down(first, second)
    if not ours.cheaper_in_sequence(theirs, bound) or ours.cells * theirs.cells > _MAX_CELLS:
        return bound
    return _zhang_shasha(ours, theirs)


def _without_equal_ends(
    first: Sequence[Node], second: Sequence[Node]
) -> tuple[Sequence[Node], Sequence[Node]]:
    start, shorter = 0, min(len(first), len(second))
    while start < shorter and first[start] == second[start]:
        start += 1
    end = 0
    while end < shorter - start and first[-1 - end] == second[-1 - end]:
        end += 1
    return first[start : len(first) - end], second[start : len(second) - end]


def _label_distance(first: Node, second: Node) -> int:
    if first.leaf and second.leaf:
        return Levenshtein.distance(first.label, second.label)
    if first.leaf or second.leaf:
        return 1 + len(first.label if first.leaf else second.label)
    return int(first.label != second.label)


def _by_position(first: Sequence[Node], second: Sequence[Node]) -> int:
    """The cost of one mapping, child by child in order: never less than the distance."""
    cost = sum(
        _label_distance(ours, theirs) + _by_position(ours.children, theirs.children)
        for ours, theirs in zip(first, second, strict=False)
    )
    shorter = min(len(first), len(second))
    return cost + forest_cost(first[shorter:]) + forest_cost(second[shorter:])


def _top_down(first: Sequence[Node], second: Sequence[Node]) -> int:
    """The least cost of a mapping that takes children to children: Selkow's distance (1977).

    Never less than the distance, as fewer mappings are allowed; mostly equal to it.
    """
    first, second = _without_equal_ends(first, second)
    row = list(itertools.accumulate((theirs.cost for theirs in second), initial=0))
    for ours in first:
        above, best = row, row[0] + ours.cost
        row = [best]
        for k, theirs in enumerate(second):
            best = min(above[k + 1] + ours.cost, best + theirs.cost)
            if above[k] + abs(ours.cost - theirs.cost) < best:
                label = above[k] + _label_distance(ours, theirs)
                if label < best:
                    best = min(best, label + _top_down(ours.children, theirs.children))
            row.append(best)
    return row[-1]


class _Numbered:
    """A forest under a root of its own, its nodes numbered from the leaves up."""

    def __init__(self, forest: Sequence[Node]) -> None:
        self.nodes: list[Node] = []
        self.leftmost: list[int] = []
        self._number(make_node("", forest))
        last = {left: number for number, left in enumerate(self.leftmost)}
        self.key_roots = sorted(last.values())
        self.costs = [node.cost - forest_cost(node.children) for node in self.nodes]
        self.cells = sum(1 + root - self.leftmost[root] for root in self.key_roots)

    def _number(self, node: Node) -> int:
        """Number a tree; the number of its leftmost leaf."""
        lefts = [self._number(child) for child in node.children]
        self.nodes.append(node)
        self.leftmost.append(lefts[0] if lefts else len(self.nodes) - 1)
        return self.leftmost[-1]

    def cheaper_in_sequence(self, other: "_Numbered", bound: int) -> bool:
        """Whether the nodes as a sequence, in this order, can be edited for less than a bound.

        If they cannot, neither can the trees, as each mapping of trees keeps this order.
        """
        row: dict[int, int] = {0: 0}
        for k, cost in enumerate(other.costs):
            if row[k] + cost >= bound:
                break
            row[k + 1] = row[k] + cost
        for node, own in zip(self.nodes, self.costs, strict=True):
            row = other._next_row(row, node, own, bound)
        return len(other.nodes) in row

    def _next_row(self, above: dict[int, int], node: Node, own: int, bound: int) -> dict[int, int]:
        """The next row of the table of edits, without what costs as much as the bound."""
        row: dict[int, int] = {}
        last = next(reversed(above), -1)
        for k in range(next(iter(above), 0), len(self.nodes) + 1):
            best = above.get(k, bound) + own
            if k:
                best = min(best, row.get(k - 1, bound) + self.costs[k - 1])
                start = above.get(k - 1, bound)
                if start < best:
                    best = min(best, start + _label_distance(node, self.nodes[k - 1]))
            if best < bound:
                row[k] = best
            elif k > last:
                break
        return row


def _zhang_shasha(ours: _Numbered, theirs: _Numbered) -> int:
    """The edit distance of two numbered trees: each pair of key roots, smaller subtrees first."""
    trees = [[0] * len(theirs.nodes) for _ in ours.nodes]
    for i in ours.key_roots:
        for j in theirs.key_roots:
            _fill(ours, theirs, i, j, trees)
    return trees[-1][-1]


def _fill(
    ours: _Numbered,
    theirs: _Numbered,
    i: int,
    j: int,
    trees: list[list[int]],
) -> None:
    """The distances of all prefixes of two subtrees, and with them those of trees on their left edge."""
    left_i, left_j = ours.leftmost[i], theirs.leftmost[j]
    columns = range(left_j, j + 1)
    starts = [theirs.leftmost[y] - left_j for y in columns]
    costs = theirs.costs[left_j : j + 1]
    table = [list(itertools.accumulate(costs, initial=0))]
    for x in range(left_i, i + 1):
        above, base, own = table[-1], table[ours.leftmost[x] - left_i], ours.costs[x]
        edge = ours.leftmost[x] == left_i
        inner = trees[x]
        best = above[0] + own
        row = [best]
        for k, y in enumerate(columns):
            whole = edge and starts[k] == 0
            if whole:
                kept = above[k] + _label_distance(ours.nodes[x], theirs.nodes[y])
            else:
                kept = base[starts[k]] + inner[y]
            best = min(above[k + 1] + own, best + costs[k], kept)
            row.append(best)
            if whole:
                inner[y] = best
        table.append(row)
