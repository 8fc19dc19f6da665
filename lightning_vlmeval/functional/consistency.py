"""Consistency: whether answers have the same structure, whatever their values."""

import json
import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

_TYPES: dict[type, str] = {
    str: "text",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}


class Consistency(NamedTuple):
    """How alike the structures of some answers are.

    Args:
        overall: The share of answers that have the most frequent structure; NaN for no answer.
        grouped: The same within each group of two or more answers, weighted by their number; NaN
            where there is no such group.
        entropy: Of the structures, in bits: 0 where all are alike; NaN for no answer.
    """

    overall: float
    grouped: float
    entropy: float


def structure_signature(value: Any) -> str:
    """A value's structure as text: its keys and types, without its values and the lengths of lists.

    Keys are sorted; integers and other numbers are one type; a list holds each structure of its items
    once, and an empty one none.

    Args:
        value: Of JSON's types.

    Example:
        >>> structure_signature({"n": 2, "tags": ["a", "b"], "box": [{"x": 1.5}, {"x": 2}]})
        '{"box":[{"x":number}],"n":number,"tags":[text]}'
    """
    if isinstance(value, dict):
        members = (f"{json.dumps(key)}:{structure_signature(value[key])}" for key in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + "|".join(sorted({structure_signature(one) for one in value})) + "]"
    return _TYPES[type(value)]


def structure_consistency(
    signatures: Sequence[Hashable], groups: Sequence[str] | None = None
) -> Consistency:
    """The share of the modal structure, overall and by group, and the entropy of the structures.

    Args:
        signatures: The structure of each answer, in whatever form.
        groups: What correlated answers share, one for each; "" for an answer that shares nothing.

    Example:
        >>> structure_consistency(["A", "A", "B", "A"], ["img1", "img1", "img2", "img2"])
        Consistency(overall=0.75, grouped=0.75, entropy=0.8112781244591328)
    """
    if not signatures:
        return Consistency(math.nan, math.nan, math.nan)
    counts = sorted(Counter(signatures).values())
    shares = [count / len(signatures) for count in counts]
    entropy = math.fsum(-share * math.log2(share) for share in shares)
    members: dict[str, list[Hashable]] = {}
    for group, signature in zip(groups or [""] * len(signatures), signatures, strict=True):
        members.setdefault(group, []).append(signature)
    several = [found for group, found in members.items() if group and len(found) > 1]
    modal = sum(max(Counter(found).values()) for found in several)
    grouped = modal / sum(map(len, several)) if several else math.nan
    return Consistency(shares[-1], grouped, entropy + 0.0)
