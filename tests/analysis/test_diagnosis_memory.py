"""Diagnosis from one evaluation to the next, and against a baseline."""

import json
import re
from dataclasses import replace

import pytest

from lightning_vlmeval.analysis.bands import Band
from lightning_vlmeval.analysis.diagnosis import diagnose
from lightning_vlmeval.analysis.measures import Measures
from lightning_vlmeval.errors import ComparisonError, ConfigurationError
from lightning_vlmeval.table import Table
from tests.analysis.box_worlds import counts, grounding
from tests.analysis.test_diagnosis import rng
from tests.analysis.worlds import answers, structured, texts

GOOD, BAD, MIDDLE = counts(9, 0, 0, 60), counts(1, 0, 9, 60), counts(7, 3, 3, 60)


@pytest.mark.parametrize(
    ("evaluations", "told"),
    [
        ("GBB", ["finds-and-fits", "finds-and-fits", "cautious"]),
        ("GBG", ["finds-and-fits", "finds-and-fits", "finds-and-fits"]),
        ("GBGB", ["finds-and-fits"] * 4),
        ("GMM", ["finds-and-fits", "finds-and-fits", None]),
        ("GBMM", ["finds-and-fits", "finds-and-fits", "finds-and-fits", None]),
        ("MBB", [None, None, "cautious"]),
        ("MBMB", [None, None, None, None]),
    ],
)
def test_a_pattern_changes_after_two_in_a_row(evaluations: str, told: list[str | None]) -> None:
    worlds = {"G": GOOD, "B": BAD, "M": MIDDLE}
    memory = None
    for name, expected in zip(evaluations, told, strict=True):
        found = diagnose(worlds[name], memory)
        memory = json.loads(json.dumps(found.memory))
        slugs = [one.slug for one in found.findings if one.kind == "pattern"]
        assert slugs == ([] if expected is None else [expected])


def test_news_are_told_once() -> None:
    memory, told = None, []
    for one in (GOOD, GOOD, BAD, BAD, MIDDLE, MIDDLE, MIDDLE):
        found = diagnose(one, memory)
        memory = found.memory
        told.append([line.partition(":")[0] for line in found.news])
    assert told == [["finds-and-fits"], [], [], ["cautious"], [], ["cautious"], []]
    assert found.news == ()
    first = diagnose(GOOD).news[0]
    assert first.startswith("finds-and-fits: High F1, high IoU: the model finds the objects")
    assert "(grounding/f1 1 [0.9" in first
    assert diagnose(MIDDLE, diagnose(MIDDLE, diagnose(GOOD).memory).memory).news == (
        "finds-and-fits: no longer.",
    )


def test_a_pattern_that_stands_has_the_new_numbers_and_says_so() -> None:
    found = diagnose(BAD, diagnose(GOOD).memory)["finds-and-fits"]
    assert found.numbers["grounding/f1"].value < 0.2
    assert "This evaluation alone does not show it" in found.meaning


def test_a_pattern_whose_values_are_gone_is_gone() -> None:
    memory = diagnose(answers(0.97, 0.6)(rng(), 200)).memory
    assert "memorised" not in diagnose(GOOD, memory).slugs


def test_against_a_baseline() -> None:
    """Finds more than the baseline, with looser boxes, though both values are in between."""
    before = grounding(jitter=0.05, miss=0.4, false=0.1)(rng(1), 300)
    after = grounding(jitter=0.1, miss=0.2, false=0.1)(rng(2), 300)
    found = diagnose(replace(after, baseline=before.tables))
    assert found.slugs == ("loose-boxes",)
    assert found.findings[0].meaning.startswith("Against the baseline (high is higher, low")
    number = found.findings[0].numbers["grounding/f1 against the baseline"]
    assert 0 < number.low < number.value
    assert diagnose(replace(after, baseline=before.tables), mode="bands").slugs == ()


def test_better_than_a_baseline_is_not_ready_for_production() -> None:
    before = grounding(jitter=0.1, miss=0.4, false=0.3)(rng(1), 300)
    after = grounding(jitter=0.07, miss=0.2, false=0.1)(rng(2), 300)
    found = diagnose(replace(after, baseline=before.tables))["finds-and-fits"]
    assert found.advice == "Better in both; whether that is good enough, a baseline does not tell."


def test_the_gap_of_bertscore_is_in_the_unit_of_its_band() -> None:
    """From a floor of 0.5 the way to 1 is half as long, and so is the gap that counts: 0.05."""
    material = replace(texts(0.85, 0.9)(rng(1), 300), training=texts(0.95, 0.9)(rng(2), 100).tables)
    found = Measures(material, {}, 0.95)["gap/primary"]
    assert found is not None
    assert found.band.high == pytest.approx(0.05)
    assert "memorised" in diagnose(material).slugs
    assert "memorised" not in diagnose(material, bands={"gap/primary": Band(0.1, 0.2)}).slugs


def test_the_same_as_the_baseline_is_no_pattern() -> None:
    found = diagnose(replace(GOOD, baseline=GOOD.tables))
    assert [one for one in found.findings if one.kind == "pattern"] == []


def test_chance_alone_is_no_pattern_against_a_baseline() -> None:
    plant = grounding(jitter=0.08, miss=0.3, false=0.3)
    draws = rng(4)
    told = 0
    for _ in range(100):
        one = replace(plant(draws, 60), baseline=plant(draws, 60).tables)
        told += any(found.kind == "pattern" for found in diagnose(one).findings)
    assert told <= 2


def test_metrics_without_a_baseline_are_judged_by_bands() -> None:
    material = replace(structured(strict=0.5)(rng(), 200), baseline=GOOD.tables)
    assert "format-aim-missed" in diagnose(material).slugs


def test_errors() -> None:
    with pytest.raises(ConfigurationError, match="auto, bands, relative, but got 'x'"):
        diagnose(GOOD, mode="x")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=re.escape('in the material with mode="relative"')):
        diagnose(GOOD, mode="relative")
    with pytest.raises(ConfigurationError, match="between 0 and 1, but got 1"):
        diagnose(GOOD, level=1)
    table = GOOD.tables["boxes"]
    other = Table(table.columns, tuple(f"x{one}" for one in table.ids), table.rows)
    with pytest.raises(ComparisonError, match="Expected samples in common"):
        diagnose(replace(GOOD, baseline={"boxes": other}))
