"""Which samples a page shows, where it cannot show all of them, and how they were picked."""

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

Key = tuple[str, str]
"""The name of a sample's dataloader, "" for the only one, and its id."""

Answers = Mapping[Key, Mapping[str, Any]]
"""The samples of one evaluation."""

# The score by which answers are sorted, the first that a sample has.
MAIN_SCORES = (
    "grounding/f1",
    "grounding/macro_f1",  # of a sample without a target, whose F1 is undefined
    "structured/field_f1",
    "text/bertscore_f1",
    "answers/exact_match",
    "text/rougeL_fmeasure",
    "text/bleu",
)


def main_score(sample: Mapping[str, Any]) -> float:
    """The score by which an answer is sorted; NaN where it has none.

    Args:
        sample: A stored sample.

    Example:
        >>> main_score({"scores": {"text/bleu": 0.2, "answers/exact_match": 1.0}})
        1.0
    """
    scores = sample.get("scores")
    if not isinstance(scores, Mapping) or not scores:
        return math.nan
    value = scores[next((key for key in MAIN_SCORES if key in scores), next(iter(scores)))]
    return float(value) if isinstance(value, (int, float)) else math.nan


def choose(runs: Sequence[Sequence[Answers]], max_samples: int, seed: int = 0) -> dict[Key, str]:
    """The samples to show, each with the reason.

    All of them where they are few enough. Otherwise half are drawn at random from all, and they
    alone are representative; the others are picked in turn, for each run and task, among those that
    a finding names, the worst, those that lost most since the evaluation before, and those that
    changed most since the first.

    Args:
        runs: For each run its first evaluation, the last but one, and the last; a sample that a
            finding names has the field `named`.
        max_samples: How many to show at most.
        seed: Where the draw comes from.

    Example:
        >>> answers = {("", name): {"scores": {"text/bleu": score}}
        ...            for name, score in [("a", 0.9), ("b", 0.1), ("c", 0.8), ("d", 0.7)]}
        >>> choose([[answers, answers, answers]], 2)
        {('', 'd'): 'random', ('', 'b'): 'among the worst'}
        >>> set(choose([[answers, answers, answers]], 4).values())
        {'all'}
    """
    every = sorted({key for evaluations in runs for key in evaluations[-1]})
    if len(every) <= max_samples:
        return dict.fromkeys(every, "all")
    drawn = random.Random(seed).sample(every, (max_samples + 1) // 2)
    chosen = dict.fromkeys(drawn, "random")
    for key, reason in _in_turn(chain.from_iterable(map(_candidates, runs))):
        if len(chosen) >= max_samples:
            break
        chosen.setdefault(key, reason)
    return chosen


def _in_turn(lists: Iterable[tuple[str, list[Key]]]) -> Iterator[tuple[Key, str]]:
    """The first of each list, then the second of each, and so on."""
    named = [[(key, reason) for key in keys] for reason, keys in lists]
    return (one for row in zip_longest(*named) for one in row if one is not None)


def _candidates(evaluations: Sequence[Answers]) -> Iterator[tuple[str, list[Key]]]:
    """The lists that a run's samples are picked from, for each task, the most telling first."""
    first, before, last = evaluations
    tasks: dict[str, list[Key]] = {}
    for key, sample in last.items():
        tasks.setdefault(str(sample.get("task", "")), []).append(key)
    for task in sorted(tasks):
        scores = {key: main_score(last[key]) for key in tasks[task]}
        known = {key: score for key, score in scores.items() if not math.isnan(score)}
        yield "named by a finding", [key for key in scores if last[key].get("named")]
        yield "among the worst", sorted(known, key=lambda key: (known[key], key))
        lost = {key: -change for key, change in _changes(known, before).items()}
        yield "lost since the evaluation before", _largest(lost)
        changed = {key: abs(change) for key, change in _changes(known, first).items()}
        yield "changed since the first evaluation", _largest(changed)


def _changes(scores: Mapping[Key, float], earlier: Answers) -> dict[Key, float]:
    """How the scores changed."""
    before = {key: main_score(earlier[key]) for key in scores if key in earlier}
    return {key: scores[key] - old for key, old in before.items() if not math.isnan(old)}


def _largest(sizes: Mapping[Key, float]) -> list[Key]:
    """Those above 0, the largest first."""
    return sorted((key for key in sizes if sizes[key] > 0), key=lambda key: (-sizes[key], key))
