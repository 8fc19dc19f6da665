"""Simulated scenes: the boxes of images, and what models of all kinds draw for them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lightning_vlmeval.analysis.material import Material
from lightning_vlmeval.functional.box_parts import parts_by_phrase
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Floats, Table

Rng = np.random.Generator
Boxes = list[dict[str, Any]]

PHRASES = ("can", "bottle", "box", "bag")


def table(scorer: Scorer, rows: Any, payloads: tuple[bytes, ...] = ()) -> Table:
    """A table of rows, with ids in order."""
    rows = np.asarray(rows, float)
    ids = tuple(f"{i:06}" for i in range(len(rows)))
    return Table(scorer.columns, ids, rows, payloads=payloads)


def columns(scorer: Scorer, n: int, **values: Any) -> Floats:
    """Rows with these columns, and 0 in the others."""
    rows = np.zeros((n, len(scorer.columns)))
    for name, value in values.items():
        rows[:, scorer.columns.index(name)] = value
    return rows


def counts(tp: int, fp: int, fn: int, n: int) -> Material:
    """n samples of the grounding scorer with these counts each, all alike."""
    scorer = GroundingScorer()
    boxes = [[20.0 * i, 0, 20.0 * i + 10, 10] for i in range(tp + fp + fn)]
    rows = scorer.rows([boxes[: tp + fp]] * n, [boxes[:tp] + boxes[tp + fp :]] * n)
    return Material({"boxes": scorer}, {"boxes": table(scorer, rows)})


def scenes(
    rng: Rng,
    n: int,
    jitter: float,
    miss: float = 0.0,
    false: float = 0.0,
    scale: Callable[[int, int], float] = lambda image, phrase: 1.0,
    rare_miss: float | None = None,
) -> tuple[Boxes, Boxes]:
    """Predictions and targets of n images whose difficulty differs.

    Args:
        rng: Draws them.
        n: How many.
        jitter: The noise of a corner, as a share of the box.
        miss: The share of targets that are missed.
        false: Made-up boxes, for each target.
        scale: The predicted width over the annotated one, by image and phrase.
        rare_miss: The share of targets of the last phrase that are missed, where it is another.
    """
    preds: Boxes = []
    target: Boxes = []
    for image in range(n):
        count = 1 + int(rng.poisson(1.5))
        ease = rng.beta(6, 6) * 2
        corner, size = rng.uniform(0, 2000, (count, 2)), rng.uniform(40, 160, (count, 2))
        boxes = np.hstack([corner, corner + size])
        phrase = rng.integers(0, len(PHRASES), count)
        growth = np.array([scale(image, int(p)) - 1 for p in phrase])[:, None] * size / 2
        drawn = boxes + np.hstack([-growth, growth])
        drawn = drawn + rng.normal(0, 1, (count, 4)) * jitter * np.hstack([size, size])
        missed = np.full(count, min(1.0, miss * ease))
        if rare_miss is not None:
            missed[phrase == len(PHRASES) - 1] = rare_miss
        kept = rng.random(count) >= missed
        extra = int(rng.poisson(false * count * ease))
        place = rng.uniform(2500, 4000, (extra, 2))
        made_up = np.hstack([place, place + rng.uniform(40, 160, (extra, 2))])
        names = [PHRASES[p] for p in [*phrase[kept], *rng.integers(0, len(PHRASES), extra)]]
        preds.append({"boxes": np.vstack([drawn[kept], made_up]), "labels": names})
        target.append({"boxes": boxes, "labels": [PHRASES[p] for p in phrase]})
    return preds, target


def grounding(**options: float) -> Callable[[Rng, int], Material]:
    """The grounding scores of scenes."""

    def plant(rng: Rng, n: int) -> Material:
        scorer = GroundingScorer()
        rows = scorer.rows(*scenes(rng, n, **options))  # type: ignore[arg-type]
        return Material({"grounding": scorer}, {"grounding": table(scorer, rows)})

    return plant


def against(before: dict[str, float], after: dict[str, float]) -> Callable[[Rng, int], Material]:
    """The grounding scores of scenes, with those of another model as the baseline."""

    def plant(rng: Rng, n: int) -> Material:
        return replace(grounding(**after)(rng, n), baseline=grounding(**before)(rng, n).tables)

    return plant


def budget(**options: Any) -> Callable[[Rng, int], Material]:
    """The error budget of scenes, with the boxes by phrase and the annotators (image modulo 4)."""

    def plant(rng: Rng, n: int) -> Material:
        scorer = ErrorBudgetScorer()
        preds, target = scenes(rng, n, 0.06, **options)
        made = table(scorer, scorer.rows(preds, target))
        return Material(
            {"error_budget": scorer},
            {"error_budget": made},
            parts=parts_by_phrase(made.ids, preds, target),
            annotators={name: f"annotator {i % 4}" for i, name in enumerate(made.ids)},
        )

    return plant


def rare(miss: float) -> Callable[[Rng, int], Material]:
    """Scenes in which the phrase that is rare in training is missed more or less often."""

    def plant(rng: Rng, n: int) -> Material:
        preds, target = scenes(rng, n, 0.06, miss=0.1, rare_miss=miss)
        parts = parts_by_phrase([f"{i:06}" for i in range(n)], preds, target)
        counts = {"can": 400, "bottle": 300, "box": 200, "bag": 3}
        return Material({}, {}, parts=parts, training_phrases=counts)

    return plant


def box_conflicts(share: float) -> Callable[[Rng, int], Material]:
    """Pairs of samples of one image and phrase, of which a share has other boxes."""

    def plant(rng: Rng, n: int) -> Material:
        other = rng.random(n) < share
        target = [
            {"boxes": [[shift, 0.0, shift + 50, 50.0]], "labels": ["can"]}
            for shift in np.where(np.arange(n) % 2 * other, 80.0, rng.uniform(0, 5, n))
        ]
        ids = [f"{i:06}" for i in range(n)]
        parts = parts_by_phrase(ids, [{"boxes": []}] * n, target)
        return Material({}, {}, parts=parts, images={one: f"{i // 2}" for i, one in enumerate(ids)})

    return plant
