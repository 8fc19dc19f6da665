"""Field accuracy: a structured answer against its target, field by field, and what is wrong."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.comparator_specs import ComparatorSpec, comparator
from lightning_vlmeval.functional.comparators import Comparator, Exact
from lightning_vlmeval.functional.paths import below, items
from lightning_vlmeval.functional.values import folded, frozen

FIELD_COUNTS = ("right", "expected", "produced", "hallucinated", "swapped", "wrong_unit")
"""What is counted of a field, in the order of the arrays of counts."""

_RIGHT, _EXPECTED, _PRODUCED, _HALLUCINATED, _SWAPPED, _WRONG_UNIT = range(6)

# Comparisons of leaves that one sample may spend on pairing its lists: about a second.
_MAX_COMPARISONS = 300_000

Counts = dict[str, list[int]]
"""For each field's path its counts, as `FIELD_COUNTS` names them."""


@dataclass(frozen=True)
class FieldComparison:
    """How two structured values are compared, field by field.

    A *field* is a value without parts (text, number, boolean, null), or a list or mapping for which
    a comparator is named. Its path joins the keys by dots; the items of a list stand under `[]`, as
    in ``items[].price``. For a list at the top, such as the rows of a CSV, the mark is left out.

    The items of a list are paired so that most fields are right, whatever their order: equal items
    first, the rest by an optimal assignment (Hungarian), of those the one that keeps the order best;
    pairs are made down to the shorter list. Where order matters, as in a box, name a comparator for
    the list itself (``{"bbox": "exact"}`` or ``{"bbox": {"number": {"absolute": 2}}}``).

    What is counted of each field:

    - *expected*: the target has it; *produced*: the answer has it; *right*: both, and equal.
    - *hallucinated*: the answer has it and the target does not, or has null there; also the fields
      of an item too many, and a value of another kind (a text where the target has a mapping).
    - *swapped*: wrong, and the value of another field of the same target. Truth values do not count.
    - *wrong unit*: wrong, but the right number with another unit, as the comparator says.

    Args:
        comparators: For a path, how its values are compared: see `comparator`; "*" is the default of
            all others, at first `exact`.
        nulls: `absent`: a null is the same as no field, on both sides. `value`: a null is a value
            like others, which the answer must give.

    Raises:
        ConfigurationError: An option cannot work.

    Example:
        >>> comparison = FieldComparison({"size": "number"})
        >>> target = {"type": "dent", "area": "door", "size": "12 mm"}
        >>> comparison.counts({"type": "door", "size": "12 cm", "age": 3}, target)["size"]
        [0, 1, 1, 0, 0, 1]
    """

    comparators: Mapping[str, ComparatorSpec] = field(default_factory=dict)
    nulls: Literal["absent", "value"] = "absent"

    def __post_init__(self) -> None:
        if self.nulls not in ("absent", "value"):
            raise ConfigurationError(
                f"Expected `nulls` to be 'absent' or 'value', but got {self.nulls!r}"
            )
        if not isinstance(self.comparators, Mapping):
            raise ConfigurationError(
                "Expected `comparators` to be a mapping from paths to comparators, "
                f"but got {self.comparators!r}"
            )
        found = {path: comparator(spec) for path, spec in self.comparators.items()}
        object.__setattr__(self, "comparators", found)

    def counts(self, pred: Any, target: Any) -> Counts:
        """The counts of each field of an answer and its target.

        Args:
            pred: The answer's value, of JSON's types; None for an answer that could not be read.
            target: The target's value, of JSON's types.
        """
        return _Comparer(self, target).run(pred)


def total_counts(counts: Counts) -> list[int]:
    """The counts of all fields together.

    Args:
        counts: The counts of each.

    Example:
        >>> total_counts({"a": [1, 1, 1, 0, 0, 0], "b": [0, 1, 1, 0, 1, 0]})
        [1, 2, 2, 0, 1, 0]
    """
    return [sum(column) for column in zip(*counts.values(), strict=True)] or [0] * 6


class _Comparer:
    """The comparison of one answer with one target."""

    def __init__(self, options: FieldComparison, target: Any) -> None:
        self.named: dict[str, Any] = dict(options.comparators)
        self.default: Comparator = self.named.get("*", Exact())
        self.keep_nulls = options.nulls == "value"
        self.target = target
        self.found: Counts = {}
        self.budget = _MAX_COMPARISONS
        self._owners: dict[Any, set[str]] | None = None

    def run(self, pred: Any) -> Counts:
        # At the top, null is not a value: nothing was read, or nothing is expected.
        ours, theirs = (_ABSENT if one is None else one for one in (pred, self.target))
        self._compare(ours, theirs, "")
        return self.found

    def _add(self, path: str, *columns: int) -> None:
        counts = self.found.setdefault(path, [0] * 6)
        for column in columns:
            counts[column] += 1

    def _compare(self, pred: Any, target: Any, path: str) -> None:
        if self._nothing(target):
            self._surplus(pred, path)
        elif self._nothing(pred):
            self._lacking(target, path)
        elif path in self.named:
            self._leaf(pred, target, path)
        elif isinstance(target, dict) and isinstance(pred, dict):
            for key in target:
                self._compare(pred.get(key, _ABSENT), target[key], below(path, key))
            for key in pred:
                if key not in target:
                    self._surplus(pred[key], below(path, key))
        elif isinstance(target, list) and isinstance(pred, list):
            self._lists(pred, target, items(path))
        elif _has_parts(target) or _has_parts(pred):
            self._lacking(target, path)
            self._surplus(pred, path)
        else:
            self._leaf(pred, target, path)

    def _nothing(self, value: Any) -> bool:
        return value is _ABSENT or (value is None and not self.keep_nulls)

    def _lists(self, pred: list[Any], target: list[Any], path: str) -> None:
        pairs, left_pred, left_target = self._pairs(pred, target, path)
        for ours, theirs in pairs:
            self._compare(ours, theirs, path)
        for value in left_pred:
            self._surplus(value, path)
        for value in left_target:
            self._lacking(value, path)

    def _surplus(self, value: Any, path: str) -> None:
        for leaf in self._leaves(value, path):
            self._add(leaf, _PRODUCED, _HALLUCINATED)

    def _lacking(self, value: Any, path: str) -> None:
        for leaf in self._leaves(value, path):
            self._add(leaf, _EXPECTED)

    def _leaves(self, value: Any, path: str) -> Iterator[str]:
        """The path of each field in a value."""
        if self._nothing(value):
            return
        if path in self.named or not _has_parts(value):
            yield path
        elif isinstance(value, dict):
            for key, one in value.items():
                yield from self._leaves(one, below(path, key))
        else:
            for one in value:
                yield from self._leaves(one, items(path))

    def _leaf(self, pred: Any, target: Any, path: str) -> None:
        rule = self.named.get(path, self.default)
        self._add(path, _EXPECTED, _PRODUCED)
        if rule.equal(pred, target):
            self._add(path, _RIGHT)
        elif target is None:
            self._add(path, _HALLUCINATED)
        elif rule.wrong_unit(pred, target):
            self._add(path, _WRONG_UNIT)
        elif _identity(pred) != _identity(target) and self._is_anothers(pred, path):
            self._add(path, _SWAPPED)

    def _is_anothers(self, pred: Any, path: str) -> bool:
        """Whether a value is the one of another field of the target."""
        if self._owners is None:
            self._owners = {}
            for owner, value in self._values(self.target, ""):
                self._owners.setdefault(_identity(value), set()).add(owner)
        identity = _identity(pred)
        return identity is not None and bool(self._owners.get(identity, set()) - {path})

    def _values(self, value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, one in value.items():
                yield from self._values(one, below(path, key))
        elif isinstance(value, list):
            for one in value:
                yield from self._values(one, items(path))
        else:
            yield path, value

    def _pairs(
        self, pred: list[Any], target: list[Any], path: str
    ) -> tuple[list[tuple[Any, Any]], list[Any], list[Any]]:
        """Which items are compared with each other, and the items left on either side."""
        pairs, pred, target = _equal_pairs(pred, target)
        if not pred or not target:
            return pairs, pred, target
        first, second = self._assignment(pred, target, path)
        pairs += [(pred[i], target[j]) for i, j in zip(first, second, strict=True)]
        return pairs, _without(pred, first), _without(target, second)

    def _assignment(
        self, pred: list[Any], target: list[Any], path: str
    ) -> tuple[Sequence[int], Sequence[int]]:
        """The positions of the pairs with most right fields; in order where that costs too much."""
        shorter = min(len(pred), len(target))
        cost = len(pred) * sum(1 + len(list(self._leaves(one, path))) for one in target)
        if shorter * max(len(pred), len(target)) == 1 or cost > self.budget:
            return range(shorter), range(shorter)
        self.budget -= cost
        agreement = np.array(
            [[self._agreement(ours, theirs, path) for theirs in target] for ours in pred], float
        )
        shift = np.abs(np.subtract.outer(np.arange(len(pred)), np.arange(len(target))))
        # Together the shifts stay below one field, so that they only decide between equals.
        agreement -= shift / (2.0 * shorter * max(len(pred), len(target)))
        rows, columns = linear_sum_assignment(agreement, maximize=True)
        return rows.tolist(), columns.tolist()

    def _agreement(self, pred: Any, target: Any, path: str) -> int:
        """How many fields of two values are right."""
        if self._nothing(pred) or self._nothing(target):
            return 0
        if path in self.named:
            return int(self.named[path].equal(pred, target))
        if isinstance(target, dict) and isinstance(pred, dict):
            return sum(
                self._agreement(pred[key], value, below(path, key))
                for key, value in target.items()
                if key in pred
            )
        if isinstance(target, list) and isinstance(pred, list):
            pairs, _, _ = self._pairs(pred, target, items(path))
            return sum(self._agreement(ours, theirs, items(path)) for ours, theirs in pairs)
        if _has_parts(target) or _has_parts(pred):
            return 0
        return int(self.default.equal(pred, target))


_ABSENT: Any = object()


def _has_parts(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _identity(value: Any) -> Any:
    """What two values share that a reader would take for the same; None for truth values and null."""
    if value is None or isinstance(value, bool) or _has_parts(value):
        return None
    return folded(value) or None


def _equal_pairs(
    pred: list[Any], target: list[Any]
) -> tuple[list[tuple[Any, Any]], list[Any], list[Any]]:
    """Pairs of equal items, and the items without a pair, in order."""
    waiting: dict[Any, deque[int]] = {}
    for position, value in enumerate(target):
        waiting.setdefault(frozen(value), deque()).append(position)
    left, taken = [], []
    for value in pred:
        positions = waiting.get(frozen(value))
        if positions:
            taken.append(positions.popleft())
        else:
            left.append(value)
    # Equal values, so that either may stand for both.
    return [(target[j], target[j]) for j in taken], left, _without(target, taken)


def _without(values: list[Any], positions: Sequence[int]) -> list[Any]:
    gone = set(positions)
    return [value for position, value in enumerate(values) if position not in gone]
