"""Tree edit accuracy and field F1 of structured answers, as Donut's `JSONParseEvaluator` has them."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from lightning_vlmeval.functional.tree_distance import (
    Node,
    forest_cost,
    forest_distance,
    make_node,
)

_MAX_PATH = 500


def normalized(data: Any) -> Any:
    """A structured value in Donut's normal form: keys by length and name, values as stripped texts.

    A value stands in a list of its own. Null, false, 0 and empty values vanish. Of a list that is not
    all mappings, just the texts and numbers stay.

    Args:
        data: Of JSON's types.

    Example:
        >>> normalized({"total": 12, "id": " a ", "tax": None, "items": [{"n": 2}, {"n": 0}]})
        {'id': ['a'], 'items': [{'n': ['2']}], 'total': ['12']}
    """
    if not data:
        return {}
    if isinstance(data, dict):
        pairs = ((key, normalized(data[key])) for key in sorted(data, key=lambda k: (len(k), k)))
        return {key: one if isinstance(one, list) else [one] for key, one in pairs if one}
    if isinstance(data, list):
        if all(isinstance(one, dict) for one in data):
            return [item for item in map(normalized, data) if item]
        texts = (str(one).strip() for one in data if type(one) in (str, int, float))
        return [text for text in texts if text]
    return [str(data).strip()]


def flat_fields(data: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The path and the text of each value in a normal form; items of a list share their list's path.

    Args:
        data: What `normalized` gave.
        path: Of the whole.

    Example:
        >>> list(flat_fields({"items": [{"n": ["2"]}, {"n": ["3"]}]}))
        [('items.n', '2'), ('items.n', '3')]
    """
    if isinstance(data, dict):
        for key, one in data.items():
            below = f"{path}.{key}" if path else key
            if len(below) > _MAX_PATH:  # long keys would be written out for each value under them
                below = hashlib.sha256(below.encode("utf-8", "surrogatepass")).hexdigest()
            yield from flat_fields(one, below)
    elif isinstance(data, list):
        for one in data:
            yield from flat_fields(one, path)
    else:
        yield path, data


class TreeScores(NamedTuple):
    """An answer as Donut scores it.

    Args:
        right: Fields that stand on both sides, with the same text.
        wrong: Fields of either side without an equal on the other.
        accuracy: The tree edit accuracy.
    """

    right: int
    wrong: int
    accuracy: float


def tree_scores(pred: Any, target: Any) -> TreeScores:
    """Donut's counts of fields, and its tree edit accuracy.

    As `cal_f1` and `cal_acc` of Donut's `JSONParseEvaluator` (Kim et al., 2022, OCR-free Document
    Understanding Transformer), both sides in normal form. F1 is right / (right + wrong / 2), of the
    sums over all samples. Accuracy is 1 - distance / size of the target's tree, at least 0: a key
    costs 1 to insert, remove or rename, a value as many edits as its text takes (Levenshtein), a
    value for a key or the reverse 1 more than its length. Lists are compared in order.

    Where the target is empty, accuracy is 1 if the answer is empty too, else 0: Donut's own evaluator
    divides by 0 there.

    Args:
        pred: The answer's value, of JSON's types; None for one that could not be read.
        target: The target's value.

    Example:
        >>> tree_scores({"menu": "cake"}, {"menu": "cakes"})  # 1 of 6: the key, 5 letters
        TreeScores(right=0, wrong=2, accuracy=0.8333333333333334)
    """
    ours, theirs = normalized(pred), normalized(target)
    first, second = Counter(flat_fields(ours)), Counter(flat_fields(theirs))
    right = (first & second).total()
    return TreeScores(right, first.total() + second.total() - 2 * right, _accuracy(ours, theirs))


def _accuracy(pred: Any, target: Any) -> float:
    """The tree edit accuracy of two normal forms."""
    if pred == target:
        return 1.0
    ours, theirs = tree_of(pred), tree_of(target)
    if not theirs.children:
        return float(not ours.children)
    size = forest_cost(theirs.children)
    if forest_cost(ours.children) >= 2 * size:  # the distance is at least the difference in cost
        return 0.0
    return max(0.0, 1 - forest_distance(ours.children, theirs.children) / size)


def tree_of(data: Any, label: str = "<root>") -> Node:
    """The tree of a normal form: keys and list items inside, values as leaves.

    Args:
        data: What `normalized` gave.
        label: Of its root.

    Example:
        >>> tree_of({"a": ["1"]}).children[0].children[0].label
        '1'
    """
    if isinstance(data, dict):
        return make_node(label, [tree_of(one, key) for key, one in data.items()])
    if all(isinstance(one, dict) for one in data):
        return make_node(label, [tree_of(one, "<subtree>") for one in data])
    return make_node(label, [make_node(one, value=True) for one in data])
