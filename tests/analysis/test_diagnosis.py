"""Diagnosis: each rule, bands and their edges, hysteresis, baselines, evidence; and planted patterns."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from lightning_vlmeval.analysis.bands import BANDS, RAW_BERTSCORE, Band, Condition, Rule
from lightning_vlmeval.analysis.diagnosis import MAX_SAMPLES, diagnose
from lightning_vlmeval.analysis.finding import Finding, Number
from lightning_vlmeval.analysis.material import Material
from lightning_vlmeval.analysis.measures import Measures
from lightning_vlmeval.analysis.rules import RULES
from lightning_vlmeval.analysis.trend import trend
from lightning_vlmeval.functional.box_answers import BoxAnswerScorer
from lightning_vlmeval.functional.box_parts import parts_by_phrase
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.rouge import ROUGEScorer
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from tests.analysis.box_worlds import columns, counts, grounding, scenes, table
from tests.analysis.planted import rates
from tests.analysis.worlds import WORLDS, World, answers, health, meteor, texts

NAN = math.nan


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ----------------------------------------------------------------------------------- the table


def test_every_pattern_has_a_world_or_a_test_of_its_own() -> None:
    planted = {world.expected for world in WORLDS}
    elsewhere = {
        "empty-answers",
        "prompt-echo",
        "unreadable-boxes",
        "declining",
        "plateaued",
        "rouge-above",
        "rouge-below",
    }
    slugs = [rule.slug for rule in RULES]
    assert set(slugs) - planted == elsewhere
    assert len(set(slugs)) == len(slugs)


def test_every_rule_can_be_judged_and_shown() -> None:
    for rule in RULES:
        assert rule.meaning.endswith(".")
        assert rule.advice.endswith(".")
        assert rule.conditions
        for condition in rule.conditions:
            banded = condition.side in ("high", "low") and condition.band is None
            assert condition.key in BANDS or not banded, rule.slug
    assert all(band.low <= band.high for band in BANDS.values())
    families = [rule.family for rule in RULES]
    for family in set(families):  # rows of a family stand together, so that their order shows
        places = [i for i, one in enumerate(families) if one == family]
        assert places == list(range(places[0], places[-1] + 1)), family


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_planted(world: World) -> None:
    """Of 12 evaluations none is wrong, and with 200 samples nearly all are decided."""
    found = rates(world, 200, 12, seed=1)
    assert found["wrong"] == 0
    hard = {"format-aim-reached", "wrong-fields"}  # near an edge, so that few samples do not tell
    assert found["right"] >= (0.5 if world.expected in hard else 0.8)


@pytest.mark.parametrize("name", ["cautious", "wrong-answers", "memorised", "boxes, none"])
def test_few_samples_are_undecided_rather_than_wrong(name: str) -> None:
    world = next(one for one in WORLDS if one.name == name)
    assert rates(world, 12, 30, seed=2)["wrong"] <= 1 / 30


# --------------------------------------------------------------------------- high, low, between


ONE_RULE = (Rule("good", "family", (Condition("grounding/f1", "high"),), "Good.", "Go on."),)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.85, 0.8, ("good", "pattern")),
        (0.85, 0.99, None),
        (0.85, 0.9, ("family-not-decided", "undecided")),
    ],
)
def test_high_needs_the_whole_interval(low: float, high: float, expected: object) -> None:
    """F1 10/11 of 60 samples, all alike: Wilson's interval is about 0.81 to 0.96."""
    material = counts(5, 0, 1, 60)
    one = Measures(material, {}, 0.95)["grounding/f1"]
    assert one is not None
    assert 0.8 < one.number.low < 0.83
    assert 0.94 < one.number.high < 0.97
    bands = {"grounding/f1": Band(0.1, high)}
    found = diagnose(material, bands=bands, rules=ONE_RULE).findings
    assert [(one.slug, one.kind) for one in found] == ([] if expected is None else [expected])


def test_what_is_not_decided_says_why() -> None:
    bands = {"grounding/f1": Band(0.1, 0.9)}
    found = diagnose(counts(5, 0, 1, 60), bands=bands, rules=ONE_RULE).findings[0]
    assert re.fullmatch(
        r"Not decided whether `good` holds: grounding/f1 0\.909 \[0\.8\d+, 0\.9\d+\] \(high from 0\.9\)\.",
        found.meaning,
    )
    assert found.advice == "More validation samples would narrow the interval."
    assert set(found.numbers) == {"grounding/f1"}


def test_bands_of_iou_follow_the_threshold() -> None:
    for threshold, low, high in ((0.5, 0.7, 0.75), (0.75, 0.85, 0.875)):
        scorer = GroundingScorer(threshold)
        rows = scorer.rows([[[0, 0, 9, 9]]] * 5, [[[0, 0, 9, 9]]] * 5)
        found = Measures(Material({"g": scorer}, {"g": table(scorer, rows)}), {}, 0.95)
        one = found["grounding/iou"]
        assert one is not None
        assert (one.band.low, one.band.high) == pytest.approx((low, high))


def test_bands_of_bertscore_follow_its_floor() -> None:
    """From the floor to 1 the way is 0.5: low below 0.65, high from 0.8; raw without a floor."""
    material = texts(0.9, 0.9)(rng(), 50)

    def band(one: Material, key: str = "text/bertscore_f1") -> tuple[float, float]:
        measured = Measures(one, {}, 0.95)[key]
        assert measured is not None
        return measured.band.low, measured.band.high

    assert band(material) == pytest.approx((0.65, 0.8))
    raw = replace(material, floors={})
    assert band(raw) == (RAW_BERTSCORE.low, RAW_BERTSCORE.high)
    assert band(raw, "text/bleu") == (0.3, 0.6)
    assert band(replace(raw, floors={"text/bleu": 0.5}), "text/bleu") == pytest.approx((0.65, 0.8))
    own = Measures(material, {"text/bertscore_f1": Band(0.1, 0.2)}, 0.95)["text/bertscore_f1"]
    assert own is not None
    assert own.band == Band(0.1, 0.2)


def test_metrics_are_known_by_their_scorer_and_not_by_their_name() -> None:
    assert diagnose(counts(1, 0, 9, 60)).slugs == ("cautious",)  # the metric is called "boxes"


def test_precedence() -> None:
    """High precision, low recall, tight boxes and low F1 fit two patterns: the first is told."""
    found = diagnose(grounding(jitter=0.04, miss=0.7, false=0.0)(rng(), 300))
    assert found.slugs == ("cautious",)
    order = [rule.slug for rule in RULES if rule.family == "grounding"]
    assert order == [
        "cautious",
        "overeager",
        "misses-many",
        "loose-boxes",
        "finds-and-fits",
        "recall-behind-precision",
        "precision-behind-recall",
    ]


def test_surplus_boxes_are_not_misses() -> None:
    """Low F1 and high IoU, because of false boxes: that is not "misses many"."""
    found = diagnose(grounding(jitter=0.04, miss=0.25, false=2.0)(rng(), 300))
    assert "misses-many" not in found.slugs


def test_precision_and_recall_far_apart_where_neither_is_low() -> None:
    """Precision 1 and recall 10/15; the other way round with false boxes in place of misses."""
    found = diagnose(counts(10, 0, 5, 60)).findings[0]
    assert found.slug == "recall-behind-precision"
    (number,) = found.numbers.values()
    assert number.value == pytest.approx(1 / 3)
    assert 0.075 < number.low < number.value < number.high < 1
    found = diagnose(counts(10, 5, 0, 60)).findings[0]
    assert found.slug == "precision-behind-recall"
    (other,) = found.numbers.values()
    assert (other.value, other.low, other.high) == pytest.approx(
        (-number.value, -number.high, -number.low)
    )
    assert len(found.samples) == MAX_SAMPLES


def test_an_imbalance_is_told_after_the_patterns_that_name_a_level() -> None:
    """Precision 1, recall 0.84 and F1 0.91: that is good enough to be called so."""
    assert diagnose(counts(21, 0, 4, 200)).slugs == ("finds-and-fits",)
    assert diagnose(counts(9, 0, 1, 60)).slugs == ("finds-and-fits",)
    assert diagnose(counts(2, 0, 8, 60)).slugs == ("cautious",)


def test_an_imbalance_of_few_samples_is_not_decided() -> None:
    found = diagnose(counts(6, 1, 4, 8)).findings[0]
    assert (found.slug, found.kind) == ("grounding-not-decided", "undecided")
    assert "far from 0.15, its interval from 0.075" in found.meaning


def test_an_imbalance_needs_no_baseline_and_takes_none() -> None:
    material = counts(10, 0, 5, 60)
    found = diagnose(replace(material, baseline=material.tables), mode="relative")
    assert found.slugs == ("recall-behind-precision",)
    assert "baseline" not in found.findings[0].meaning


# ------------------------------------------------------------------------------- one at a time


def test_faults_of_answers() -> None:
    plant = health(empty=0.2, prompt_echo=0.2, truncated=0.0)
    assert diagnose(plant(rng(), 300)).slugs == ("empty-answers", "prompt-echo")


def test_without_bertscore_it_is_said() -> None:
    found = diagnose(texts(None, 0.9)(rng(), 50))
    assert found.slugs == ("text-without-bertscore",)
    assert found.findings[0].kind == "note"
    assert "BERTScore is off" in found.findings[0].meaning


def test_unreadable_boxes() -> None:
    scorer = BoxAnswerScorer()
    rows = np.zeros((200, 6))
    rows[:, 0] = 1
    rows[40:, 1] = 1
    found = diagnose(Material({"box_answers": scorer}, {"box_answers": table(scorer, rows)}))
    assert found.slugs == ("unreadable-boxes",)
    assert set(found.findings[0].samples) <= {f"{i:06}" for i in range(40)}


@pytest.mark.parametrize(
    ("values", "slug"),
    [
        ([0.5, 0.6, 0.7, 0.71, 0.71, 0.71, 0.71, 0.71], "plateaued"),
        ([0.9, 0.9, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65], "declining"),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], None),
        ([0.1, 0.2], None),
    ],
)
def test_trends_of_the_main_value(values: list[float], slug: str | None) -> None:
    material = counts(7, 3, 3, 60)
    found = diagnose(replace(material, trends={"grounding/f1": trend(values)}))
    assert found.slugs == (() if slug is None else (slug,))
    if slug is not None:
        assert "In this order: more varied annotations" in found.findings[0].advice
        assert list(found.findings[0].numbers) == ["grounding/f1", "change of grounding/f1"]


def test_a_plateau_at_the_top_is_no_complaint() -> None:
    flat = trend([0.99] * 8)
    found = diagnose(replace(counts(9, 0, 0, 60), trends={"grounding/f1": flat}))
    assert found.slugs == ("finds-and-fits",)


def test_rouge_is_a_note() -> None:
    scorer = ROUGEScorer()
    for recall, slug in ((0.6, "rouge-above"), (0.1, "rouge-below")):
        rows = np.full((50, len(scorer.columns)), recall)
        rows[:, 0] = 1
        found = diagnose(Material({"rouge": scorer}, {"rouge": table(scorer, rows)}))
        assert [(one.slug, one.kind) for one in found.findings] == [(slug, "note")]


def test_a_note_is_never_undecided() -> None:
    assert diagnose(meteor(0.4)(rng(), 50)).findings == ()


def test_a_gap_has_an_interval_and_the_primary_key() -> None:
    found = diagnose(answers(0.97, 0.6)(rng(), 200))["memorised"]
    (name, number), *_ = found.numbers.items()
    assert name == "answers/exact_match on training less validation samples"
    assert number.low < number.value < number.high
    assert found.samples


def test_the_errors_that_cost_most_are_among_the_numbers() -> None:
    preds, target = scenes(rng(), 200, 0.04, miss=0.7, false=0.01)
    scorers = {"grounding": GroundingScorer(), "error_budget": ErrorBudgetScorer()}
    tables = {name: table(one, one.rows(preds, target)) for name, one in scorers.items()}
    numbers = diagnose(Material(scorers, tables))["cautious"].numbers
    assert list(numbers)[:3] == ["grounding/precision", "grounding/recall", "F1 without missed"]
    assert numbers["F1 without missed"].value > 0.9


def test_clusters_widen_the_intervals() -> None:
    """8 of 400 fail: enough for the aim if they are of 400 images, and not if all are of one of 20."""
    scorer = StructuredOutputScorer()
    rows = columns(scorer, 400, samples=1, strict=1)
    rows[:8, scorer.columns.index("strict")] = 0
    whole = table(scorer, rows)
    grouped = replace(whole, groups=tuple(str(i // 20) for i in range(400)))
    told = [
        diagnose(Material({"structured": scorer}, {"structured": one})).slugs
        for one in (whole, grouped)
    ]
    assert told == [("format-aim-reached",), ("format-aim-not-decided",)]


# ------------------------------------------------------------------------------------ evidence


def test_evidence_is_sorted_and_bounded() -> None:
    """Sample i of 60 misses i targets: those that miss most come first, none below the mean."""
    scorer = GroundingScorer()
    boxes = [[[20.0 * j, 0, 20.0 * j + 10, 10] for j in range(i + 1)] for i in range(60)]
    rows = scorer.rows([one[:1] for one in boxes], boxes)
    found = diagnose(Material({"g": scorer}, {"g": table(scorer, rows)}))["cautious"]
    assert found.samples == tuple(f"{i:06}" for i in range(59, 39, -1))
    assert len(found.samples) == MAX_SAMPLES


def test_only_samples_that_show_it() -> None:
    found = diagnose(health(truncated=0.1)(rng(), 120))["truncated"]
    rows = health(truncated=0.1)(rng(), 120).tables["health"]
    cut = {name for name, row in zip(rows.ids, rows.rows, strict=True) if row[2]}
    assert set(found.samples) == set(sorted(cut)[:MAX_SAMPLES])


def test_a_finding_is_json() -> None:
    found = Finding("a", "b.", "c.", {"x": Number(0.5), "y": Number(1.0, 0.5, NAN)}, ("1",), "note")
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False)) == {
        "slug": "a",
        "kind": "note",
        "meaning": "b.",
        "advice": "c.",
        "numbers": {"x": [0.5, None, None], "y": [1.0, 0.5, None]},
        "samples": ["1"],
    }


# ----------------------------------------------------------------------------- nothing, errors


def test_nothing() -> None:
    assert diagnose(Material({}, {})).findings == ()
    scorer = GroundingScorer()
    assert diagnose(Material({"g": scorer}, {"g": table(scorer, scorer.rows([], []))})).slugs == ()


def test_a_single_sample_decides_nothing() -> None:
    assert [one.kind for one in diagnose(counts(1, 0, 9, 1)).findings] in ([], ["undecided"])


def test_a_phrase_with_few_matches_is_not_judged() -> None:
    """In evaluation 1 of a fit a phrase may have one matched box, however often it is annotated."""
    target = [{"boxes": [[0.0, 0, 20, 20]], "labels": ["can"]}] * 30
    small, none = [{"boxes": [[0.0, 0, 20, 14]], "labels": ["can"]}], [{"boxes": [], "labels": []}]

    def slugs(matched: int) -> tuple[str, ...]:
        preds = small * matched + none * (30 - matched)
        parts = parts_by_phrase([f"{i}" for i in range(30)], preds, target)
        return diagnose(Material({}, {}, parts=parts)).slugs

    assert slugs(9) == ()
    assert slugs(10) == ("phrase-annotated-too-big",)
