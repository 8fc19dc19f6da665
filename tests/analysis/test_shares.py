"""Shares of samples with a property, floors by chance, and differences of unlike samples."""

import math

import numpy as np
import pytest

from lightning_vlmeval.analysis.chance import chance_floor
from lightning_vlmeval.analysis.contrasts import difference, quotient
from lightning_vlmeval.analysis.intervals import Interval, interval
from lightning_vlmeval.analysis.shares import (
    ShareScorer,
    common_structures,
    conflicting_boxes,
    conflicting_references,
    shared_opening,
    short_references,
)
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.box_parts import parts_by_phrase
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.table import Table
from tests.analysis.scorers import Ratio, table_of


def share(table: Table) -> float:
    return ShareScorer().score(table)["share"]


def test_short_references() -> None:
    scorer = BLEUScorer()
    references = ["red", "two red cans", "two red cans here", "a b c d e f"]
    table = Table(scorer.columns, tuple("abcd"), scorer.rows(["x"] * 4, references))
    found = short_references(table)
    assert found.rows[:, 0].tolist() == [1, 1, 0, 0]
    assert share(found) == 0.5


def test_common_structures_give_the_scorer_s_consistency() -> None:
    scorer = StructuredOutputScorer()
    preds = ['{"a": 1}', '{"a": 2}', '{"b": 1}', "none", '{"a": 3}']
    rows, payloads = scorer.tabulate(preds, [None] * 5)
    table = Table(scorer.columns, tuple("abcde"), rows, payloads=tuple(payloads))
    assert share(common_structures(table)) == scorer.score(table)["consistency"] == 0.75


OPENINGS: dict[str, tuple[dict[str, list[str]], float | None]] = {
    "most": ({"a": ["It is a red can."], "b": ["It is a big box."], "c": ["No can."]}, 1.0),
    "half": ({"a": ["It is a can."], "b": ["I see a big box."]}, 0.5),
    "one of several": ({"a": ["It is a can.", "There is a can."], "b": ["It is a box."]}, 1.0),
    "case does not matter": ({"a": ["IT is a can."], "b": ["it is a box."]}, 1.0),
    "short or markup": (
        {"a": ["It is red"], "b": ['{"a": 1, "b": 2, "c": 3}'], "c": ["<p> a b c"]},
        None,
    ),
    "one of several is short": ({"a": ["It is a can.", "A can."]}, None),
    "no texts": ({"a": []}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_shared_opening(name: str) -> None:
    texts, expected = OPENINGS[name]
    found = shared_opening(texts)
    assert (None if found is None else share(found[1])) == expected


# References, prompts, images, and which samples conflict; None where none is asked.
CONFLICTS = {
    "two answers": ({"a": ["yes"], "b": ["no"]}, "q", "i", {"a": 1, "b": 1}),
    "one in common": ({"a": ["yes", "no"], "b": ["No."]}, "q", "i", {"a": 0, "b": 0}),
    "one against two": (
        {"a": ["yes"], "b": ["yes"], "c": ["no"]},
        "q",
        "i",
        {"a": 1, "b": 1, "c": 1},
    ),
    "alone": ({"a": ["yes"]}, "q", "i", None),
    "no prompt": ({"a": ["yes"], "b": ["no"]}, " ", "i", None),
    "no image": ({"a": ["yes"], "b": ["no"]}, "q", "", None),
    "long": ({"a": ["one two three four five six"], "b": ["no"]}, "q", "i", None),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflicting_references(name: str) -> None:
    references, prompt, image, expected = CONFLICTS[name]
    ids = list(references)
    found = conflicting_references(
        references, dict.fromkeys(ids, prompt), dict.fromkeys(ids, image)
    )
    told = None if found is None else dict(zip(found.ids, found.rows[:, 0].tolist(), strict=True))
    assert told == expected


def test_prompts_and_images_tell_samples_apart() -> None:
    references = {"a": ["yes"], "b": ["no"]}
    prompts, images = {"a": "Is it  ON?", "b": "is it on?"}, {"a": "1", "b": "1"}
    assert conflicting_references(references, prompts, images) is not None
    assert conflicting_references(references, prompts, {"a": "1", "b": "2"}) is None
    assert conflicting_references(references, {"a": "On?", "b": "Off?"}, images) is None


def boxes(label: str, *lefts: int) -> dict[str, object]:
    found = [[left, 0, left + 10, 10] for left in lefts]
    return {"boxes": found, "labels": [label] * len(lefts)}


def test_conflicting_boxes() -> None:
    """One of two boxes in common is F1 1/2, which agrees; one of three is F1 2/4 or less."""
    target = [
        boxes("can", 0, 50),
        boxes("can", 1, 90),
        boxes("box", 0),
        boxes("box", 30),
        boxes("bag", 0),
        boxes("bag", 0),
    ]
    ids = list("abcdef")
    parts = parts_by_phrase(ids, [{"boxes": []}] * 6, target)
    images = {"a": "1", "b": "1", "c": "1", "d": "1", "e": "1", "f": "2"}
    found = conflicting_boxes(parts, {}, images)
    assert found is not None
    assert dict(zip(found.ids, found.rows[:, 0].tolist(), strict=True)) == {
        **{"a": 0, "b": 0},
        **{"c": 1, "d": 1},
    }
    assert conflicting_boxes(parts, {}, {}) is None


def test_conflicting_boxes_without_phrases_are_those_of_one_prompt() -> None:
    parts = parts_by_phrase(["a", "b"], [[], []], [[[0, 0, 9, 9]], [[40, 0, 49, 9]]])
    images = {"a": "1", "b": "1"}
    assert conflicting_boxes(parts, {"a": "cans", "b": "boxes"}, images) is None
    assert conflicting_boxes(parts, {}, images) is None
    found = conflicting_boxes(parts, {"a": "cans", "b": "cans "}, images)
    assert found is not None
    assert share(found) == 1.0


def test_chance_floor_of_a_template() -> None:
    """Every answer differs in the last of ten words, so that chance gets the other nine."""
    answers = [f"the thing on the left of the picture is {i}" for i in range(40)]
    assert chance_floor(AnswerScorer(), answers, answers)["exact_match"] == 0
    assert chance_floor(BLEUScorer(), answers, answers)["bleu"] > 0.8
    different = [" ".join(f"w{i}{j}" for j in range(8)) for i in range(40)]
    assert chance_floor(BLEUScorer(), different, different)["bleu"] < 0.05
    assert chance_floor(BLEUScorer(), answers, answers, seed=1) == pytest.approx(
        chance_floor(BLEUScorer(), answers, answers, seed=2), abs=0.05
    )


@pytest.mark.parametrize("count", [0, 1])
def test_chance_floor_of_too_few(count: int) -> None:
    assert math.isnan(chance_floor(BLEUScorer(), ["a b c d"] * count, ["a b c d"] * count)["bleu"])


def made(value: float, low: float, high: float) -> Interval:
    return Interval(value, low, high, 10, 10)


def test_difference_by_hand() -> None:
    """0.5 - sqrt(0.3^2 + 0.4^2) to 0.5 + sqrt(0.05^2 + 0.12^2)."""
    found = difference(made(0.8, 0.5, 0.85), made(0.3, 0.18, 0.7))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.0, 0.63))


def test_quotient_by_hand() -> None:
    found = quotient(made(2, 1, 4), made(1, 0.5, 2))
    width = math.exp(math.hypot(math.log(2), math.log(2)))
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 / width, 2 * width))
    unknown = quotient(made(2, -1, 4), made(1, 0.5, 2))
    assert unknown.value == 2
    assert math.isnan(unknown.low)


def test_differences_hold_the_truth() -> None:
    """Of 1,000 differences of shares 0.95 and 0.8, of 60 and 40 samples, about 95 % do."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        a, b = (
            interval(Ratio(), table_of(Ratio(), np.stack([rng.random(n) < p, np.ones(n)], -1)))
            for n, p in ((60, 0.95), (40, 0.8))
        )
        found = difference(a["share"], b["share"])
        hits += found.low <= 0.15 <= found.high
    assert 920 <= hits <= 985
