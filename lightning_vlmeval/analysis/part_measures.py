"""Values of parts of an evaluation: the phrase or the annotator that differs most, rare phrases."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from lightning_vlmeval.analysis.contrasts import difference, quotient
from lightning_vlmeval.analysis.finding import Number
from lightning_vlmeval.analysis.influence import cluster_names
from lightning_vlmeval.analysis.intervals import interval
from lightning_vlmeval.analysis.material import Material
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Floats, Table

_BoxScorer = TypeVar("_BoxScorer", GroundingScorer, ErrorBudgetScorer)

Strengths = dict[str, float]
Part = tuple[str, Number, Callable[[], Strengths]]
"""What a part is called, its value, and how much each sample shows of it."""

# The fewest independent samples with a matched box, of a phrase or an annotator, that are looked at.
_LEAST = 10

# Phrases that are annotated less often in the training data are rare.
_RARE = 10


def phrase_sizes(material: Material, level: float) -> Part | None:
    """The phrase whose boxes differ most surely in size from the annotated ones.

    Args:
        material: With the boxes by phrase.
        level: The confidence that the intervals of all phrases together have.
    """
    parts = material.parts
    if parts is None:
        return None
    scorer = _scorer(material, ErrorBudgetScorer)
    table = parts.table(scorer)
    sizes = scorer.sample_scores(table)["size_ratio"]
    by_phrase = _parts(table, parts.labels, sizes)
    level = _corrected(level, len(by_phrase))
    ratios = {}
    for phrase, part in by_phrase.items():
        one = interval(scorer, part, level=level)["size_ratio"]
        ratios[phrase] = Number(one.value, one.low, one.high)
    surest = _surest(ratios)
    if surest is None:
        return None
    chosen = [name == surest for name in parts.labels]
    shown = _by_sample(parts.samples, sizes, chosen)
    return f'size ratio of "{surest}"', ratios[surest], lambda: shown


def annotator_sizes(
    scorer: Scorer, table: Table, annotators: Mapping[str, str], level: float
) -> Part | None:
    """The annotator whose boxes differ most surely in size from those of the others.

    The model draws the boxes of all annotators in one way, so that the ratio of predicted over
    annotated area is larger where annotations are tighter.

    Args:
        scorer: What made the table, an `ErrorBudgetScorer`.
        table: Its rows.
        annotators: Who annotated each sample, by id.
        level: The confidence that the intervals of all annotators together have.
    """
    labels = [annotators.get(name, "") for name in table.ids]
    sizes = scorer.sample_scores(table)["size_ratio"]
    names = [name for name in _parts(table, labels, sizes) if name]
    level = _corrected(level, len(names))
    ratios = {}
    for name in names:
        mine = _taken(table, [one == name for one in labels])
        others = _taken(table, [one not in ("", name) for one in labels])
        if _size(others) >= _LEAST:
            a, b = (interval(scorer, part, level=level)["size_ratio"] for part in (mine, others))
            ratios[name] = quotient(a, b)
    surest = _surest(ratios)
    if surest is None:
        return None
    shown = _by_sample(table.ids, sizes, [one == surest for one in labels])
    name = f'size ratio of annotator "{surest}" over that of the others'
    return name, ratios[surest], lambda: shown


def rare_phrases(material: Material, level: float) -> Part | None:
    """How much less often phrases are found that are rare in the training data.

    Args:
        material: With the boxes by phrase, and the phrases of the training data.
        level: The confidence of the interval.
    """
    parts, counts = material.parts, material.training_phrases
    if parts is None or not counts:
        return None
    scorer = _scorer(material, GroundingScorer)
    table = parts.table(scorer)
    phrases = [
        label or material.prompts.get(sample, "").strip()
        for label, sample in zip(parts.labels, parts.samples, strict=True)
    ]
    rare = [bool(phrase) and counts.get(phrase, 0) < _RARE for phrase in phrases]
    common = [bool(phrase) and not one for phrase, one in zip(phrases, rare, strict=True)]
    both = _taken(table, common), _taken(table, rare)
    if min(map(_size, both)) < _LEAST:
        return None
    found = difference(*(interval(scorer, part, level=level)["recall"] for part in both))
    if math.isnan(found.value):
        return None
    shown = _by_sample(parts.samples, scorer.sample_scores(table)["fn"], rare)
    names = sorted({name for name, one in zip(phrases, rare, strict=True) if one})
    named = ", ".join(f'"{name}" {counts.get(name, 0)}' for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"recall of common less rare phrases ({named}{more})", found, lambda: shown


def _scorer(material: Material, kind: type[_BoxScorer]) -> _BoxScorer:
    """The material's scorer of a kind, or a new one."""
    return next((one for one in material.scorers.values() if isinstance(one, kind)), kind())


def _corrected(level: float, count: int) -> float:
    """The level at which so many intervals are right together."""
    return 1 - (1 - level) / max(1, count)


def _size(table: Table) -> int:
    """The independent samples."""
    return len(set(cluster_names(table)))


def _taken(table: Table, chosen: Sequence[bool]) -> Table:
    return table.take(np.flatnonzero(chosen).tolist())


def _parts(table: Table, labels: Sequence[str], values: Floats) -> dict[str, Table]:
    """The samples of each label that have a value, where they are enough to say something."""
    known = np.isfinite(values).tolist()
    found = {
        label: _taken(table, [one == label and has for one, has in zip(labels, known, strict=True)])
        for label in dict.fromkeys(labels)
    }
    return {label: part for label, part in found.items() if _size(part) >= _LEAST}


def _surest(ratios: Mapping[str, Number]) -> str | None:
    """The ratio whose interval lies farthest from 1, or reaches least beyond it."""
    known = {
        name: max(math.log(one.low), -math.log(one.high))
        for name, one in ratios.items()
        if one.low > 0 and math.isfinite(one.high)
    }
    return max(known, key=lambda name: known[name], default=None)


def _by_sample(
    samples: Sequence[str], values: Iterable[float], chosen: Sequence[bool]
) -> Strengths:
    """The largest value of each sample's parts that are chosen."""
    found: Strengths = {}
    for sample, value, one in zip(samples, values, chosen, strict=True):
        if one and not math.isnan(value):
            found[sample] = max(float(value), found.get(sample, -math.inf))
    return found
