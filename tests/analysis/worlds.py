"""Populations with a pattern of a diagnosis planted in them, and with none."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lightning_vlmeval.analysis.material import Material
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.bertscore import BERTScorer
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.field_breakdown import pack_fields
from lightning_vlmeval.functional.health import HealthScorer
from lightning_vlmeval.functional.meteor import METEORScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.table import Floats, Table
from tests.analysis.box_worlds import (
    Rng,
    against,
    box_conflicts,
    budget,
    columns,
    grounding,
    rare,
    table,
)


@dataclass(frozen=True)
class World:
    """A population with a pattern.

    Args:
        name: Printed.
        plant: Draws an evaluation of n samples.
        expected: The pattern; None for none.
        also: Other patterns that the population has.
    """

    name: str
    plant: Callable[[Rng, int], Material]
    expected: str | None
    also: frozenset[str] = frozenset()


def sentences(rng: Rng, n: int, chance: float, mean_length: float = 12.0) -> Floats:
    """BLEU's rows of answers whose words are right with this chance."""
    length = 1 + rng.poisson(mean_length - 1, n)
    ease = np.clip(rng.normal(chance, 0.05, n), 0, 1)
    correct = [rng.binomial(length, ease)]
    for order in (1, 2, 3):
        room = np.clip(np.minimum(correct[-1] - 1, length - order), 0, None)
        correct.append(rng.binomial(room, ease))
    total = [np.clip(length - order, 0, None) for order in range(4)]
    return np.column_stack([*correct, *total, length, length, np.ones(n)]).astype(float)


def texts(
    bert: float | None, chance: float, length: float = 12.0
) -> Callable[[Rng, int], Material]:
    """BERTScore around a value, above a floor of 0.5, and BLEU."""

    def plant(rng: Rng, n: int) -> Material:
        bleu = BLEUScorer()
        scorers: dict[str, Scorer] = {}
        tables: dict[str, Table] = {}
        if bert is not None:
            scorer = BERTScorer()  # its encoder is loaded when texts are scored, and here none are
            f1 = np.clip(rng.normal(bert, 0.08, n), 0, 1)
            scorers["bertscore"] = scorer
            tables["bertscore"] = table(scorer, np.column_stack([np.ones(n), f1, f1, f1]))
        scorers["bleu"] = bleu
        tables["bleu"] = table(bleu, sentences(rng, n, chance, length))
        return Material(scorers, tables, floors={"text/bertscore_f1": 0.5})

    return plant


def answers(training: float, validation: float) -> Callable[[Rng, int], Material]:
    """Right answers on training and on validation samples."""

    def plant(rng: Rng, n: int) -> Material:
        scorer = AnswerScorer()

        def drawn(chance: float, count: int) -> Table:
            right = rng.random(count) < chance
            return table(scorer, columns(scorer, count, num_samples=1, exact_match=right))

        return Material(
            {"answers": scorer},
            {"answers": drawn(validation, n)},
            training={"answers": drawn(training, min(n, 200))},
        )

    return plant


def openings(share: float, of: str) -> Callable[[Rng, int], Material]:
    """Texts of which a share begins alike, the others with words of their own."""

    def plant(rng: Rng, n: int) -> Material:
        alike = rng.random(n) < share
        found = {
            f"{i:06}": "the answer is one" if one else f"{i} {i + 1} {i + 2} things there"
            for i, one in enumerate(alike)
        }
        if of == "answers":
            return Material({}, {}, answers=found)
        return Material({}, {}, references={name: [text] for name, text in found.items()})

    return plant


def conflicts(share: float) -> Callable[[Rng, int], Material]:
    """Pairs of samples of one question, of which a share has other answers."""

    def plant(rng: Rng, n: int) -> Material:
        ids = [f"{i:06}" for i in range(n)]
        other = rng.random(n) < share
        return Material(
            {},
            {},
            references={one: ["no" if i % 2 and other[i] else "yes"] for i, one in enumerate(ids)},
            prompts=dict.fromkeys(ids, "Is it on?"),
            images={one: f"{i // 2}.jpg" for i, one in enumerate(ids)},
        )

    return plant


def structured(
    strict: float = 0.97,
    right: float = 0.9,
    swapped: float = 0.0,
    wrong_unit: float = 0.0,
    made_up: float = 0.0,
    modal: float = 1.0,
) -> Callable[[Rng, int], Material]:
    """Answers of six fields."""

    def plant(rng: Rng, n: int) -> Material:
        scorer, fields = StructuredOutputScorer(), 6
        ease = np.clip(rng.normal(right, 0.05, n), 0, 1)
        rows = columns(
            scorer,
            n,
            samples=1,
            strict=rng.random(n) < strict,
            lenient=1,
            compared=1,
            right=rng.binomial(fields, ease),
            expected=fields,
            produced=fields,
            swapped=rng.binomial(fields, swapped, n),
            wrong_unit=rng.binomial(fields, wrong_unit, n),
            hallucinated=rng.binomial(fields, made_up, n),
        )
        kinds = np.where(rng.random(n) < modal, "common", [f"own {i % 7}" for i in range(n)])
        payloads = tuple(pack_fields(str(kind), {}) for kind in kinds)
        return Material({"structured": scorer}, {"structured": table(scorer, rows, payloads)})

    return plant


def health(**rates: float) -> Callable[[Rng, int], Material]:
    """Answers with faults at these rates."""

    def plant(rng: Rng, n: int) -> Material:
        scorer = HealthScorer()
        faults = {name: rng.random(n) < rate for name, rate in rates.items()}
        rows = columns(scorer, n, num_samples=1, num_truncation_known=1, num_prompts=1, **faults)
        return Material({"health": scorer}, {"health": table(scorer, rows)})

    return plant


def meteor(mean: float) -> Callable[[Rng, int], Material]:
    """METEOR around a value."""

    def plant(rng: Rng, n: int) -> Material:
        scorer = METEORScorer()
        values = rng.beta(6 * mean, 6 * (1 - mean), n)
        rows = np.column_stack([np.ones(n), values])
        return Material({"meteor": scorer}, {"meteor": table(scorer, rows)})

    return plant


_BEHIND = frozenset({"recall-behind-precision"})
_AHEAD = frozenset({"precision-behind-recall"})
_AIM = frozenset({"format-aim-reached"})
_MISSED = frozenset({"format-aim-missed"})
_PHRASE = frozenset({"phrase-annotated-too-small", "phrase-annotated-too-big"})

_MIDDLE = {"jitter": 0.08, "miss": 0.3, "false": 0.3}

WORLDS = (
    World("boxes, none", grounding(jitter=0.1, miss=0.28, false=0.28), None),
    World(
        "cautious",
        grounding(jitter=0.05, miss=0.6, false=0.02),
        "cautious",
        frozenset({"misses-many"}) | _BEHIND,
    ),
    World("overeager", grounding(jitter=0.05, miss=0.04, false=1.5), "overeager", _AHEAD),
    World("misses-many", grounding(jitter=0.05, miss=0.65, false=0.18), "misses-many", _BEHIND),
    World(
        "recall-behind-precision",
        grounding(jitter=0.085, miss=0.4, false=0.15),
        "recall-behind-precision",
    ),
    World(
        "precision-behind-recall",
        grounding(jitter=0.085, miss=0.25, false=0.7),
        "precision-behind-recall",
    ),
    World("boxes, a little unbalanced", grounding(jitter=0.085, miss=0.33, false=0.25), None),
    World("loose-boxes", grounding(jitter=0.135), "loose-boxes"),
    World("finds-and-fits", grounding(jitter=0.05, miss=0.03, false=0.03), "finds-and-fits"),
    World("boxes, nearly good", grounding(jitter=0.05, miss=0.26, false=0.18), None),
    World("as the baseline", against(_MIDDLE, _MIDDLE), None),
    World(
        "more and looser",
        against(_MIDDLE, {"jitter": 0.12, "miss": 0.1, "false": 0.1}),
        "loose-boxes",
    ),
    World("texts, none", texts(0.72, 0.62), None),
    World("right-in-similar-words", texts(0.9, 0.95), "right-in-similar-words"),
    World("right-in-other-words", texts(0.9, 0.4), "right-in-other-words"),
    World("phrasing-without-meaning", texts(0.56, 0.95), "phrasing-without-meaning"),
    World("wrong-answers", texts(0.56, 0.4), "wrong-answers"),
    World("short-references", texts(0.9, 0.9, 2.0), "short-references"),
    World("text-without-bertscore", texts(None, 0.4), "text-without-bertscore"),
    World("format-aim-reached", structured(strict=0.99), "format-aim-reached"),
    World("format-aim-missed", structured(strict=0.85), "format-aim-missed"),
    World("wrong-fields", structured(strict=0.99, right=0.45), "wrong-fields", _AIM),
    World("broken-syntax", structured(strict=0.6), "broken-syntax", _MISSED),
    World("swapped-fields", structured(strict=0.99, swapped=0.1), "swapped-fields", _AIM),
    World("wrong-units", structured(strict=0.99, wrong_unit=0.1), "wrong-units", _AIM),
    World("made-up-fields", structured(strict=0.99, made_up=0.2), "made-up-fields", _AIM),
    World(
        "inconsistent-structure", structured(strict=0.99, modal=0.6), "inconsistent-structure", _AIM
    ),
    World("structured, none", structured(strict=0.99, right=0.9), "format-aim-reached"),
    World("health, none", health(truncated=0.01, repetition=0.01, reasoning=0.01), None),
    World("truncated", health(truncated=0.2), "truncated"),
    World("loops", health(repetition=0.2), "loops"),
    World("reasoning-leak", health(reasoning=0.2), "reasoning-leak"),
    World("memorised", answers(0.97, 0.6), "memorised"),
    World("memorised, none", answers(0.8, 0.8), None),
    World("memorised, a little", answers(0.85, 0.8), None),
    World("sizes, none", budget(), None),
    World(
        "annotated-too-small",
        budget(scale=lambda image, phrase: 1.12),
        "annotated-too-small",
        _PHRASE,
    ),
    World(
        "annotated-too-big", budget(scale=lambda image, phrase: 0.88), "annotated-too-big", _PHRASE
    ),
    World(
        "one phrase too small",
        budget(scale=lambda image, phrase: 1.15 if phrase == 0 else 1.0),
        "phrase-annotated-too-small",
    ),
    World(
        "one phrase too big",
        budget(scale=lambda image, phrase: 0.85 if phrase == 0 else 1.0),
        "phrase-annotated-too-big",
    ),
    World(
        "one annotator tighter",
        budget(scale=lambda image, phrase: 1.15 if image % 4 == 0 else 1.0),
        "annotator-tighter",
    ),
    World(
        "one annotator looser",
        budget(scale=lambda image, phrase: 0.85 if image % 4 == 0 else 1.0),
        "annotator-looser",
    ),
    World("rare-phrases", rare(0.6), "rare-phrases"),
    World("rare phrases, none", rare(0.1), None),
    World("answers-begin-alike", openings(0.8, "answers"), "answers-begin-alike"),
    World("references-begin-alike", openings(0.8, "references"), "references-begin-alike"),
    World("openings, none", openings(0.2, "answers"), None),
    World("conflicting-references", conflicts(0.3), "conflicting-references"),
    World("conflicts, none", conflicts(0.0), None),
    World("conflicting-boxes", box_conflicts(0.3), "conflicting-boxes"),
    World("box conflicts, none", box_conflicts(0.0), None),
    World("meteor-above", meteor(0.55), "meteor-above"),
    World("meteor-below", meteor(0.25), "meteor-below"),
)
