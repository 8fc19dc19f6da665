"""The error budget: each bin by hand, sums against the grounding scorer, and every odd input."""

import math
import re
from typing import Any

import numpy as np
import pytest

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.functional.box_bins import BINS
from lightning_vlmeval.functional.error_budget import ERRORS, ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.matching import Assignment

BOX = [0.0, 0.0, 10.0, 10.0]

# Predictions, targets, and the bins of both.
CASES: dict[str, tuple[Any, Any, list[str], list[str]]] = {
    "equal": ([BOX], [BOX], ["correct"], ["correct"]),
    "IoU exactly 0.5": ([[0, 0, 10, 5]], [BOX], ["correct"], ["correct"]),
    "four times the area": ([[-5, -5, 15, 15]], [BOX], ["too_big"], ["too_big"]),
    # Holds 60 of 100, IoU 60 / 440.
    "larger, and holds most": ([[4, 0, 24, 20]], [BOX], ["too_big"], ["too_big"]),
    "a quarter of the area": ([[0, 0, 5, 5]], [BOX], ["too_small"], ["too_small"]),
    # IoU 50 / 150.
    "half a width aside": ([[5, 0, 15, 10]], [BOX], ["offset"], ["offset"]),
    "across": ([[5, 0, 15, 20]], [[0, 5, 20, 15]], ["loose"], ["loose"]),
    # Holds 36 of 100, IoU 36 / 289; moved it would have IoU 100 / 225.
    "larger and aside": ([[4, 4, 19, 19]], [BOX], ["loose"], ["loose"]),
    # IoU 10 / 190 and 20 / 180: below and above 0.1.
    "hardly touching": ([[9, 0, 19, 10]], [BOX], ["hallucinated"], ["missed"]),
    "just near": ([[8, 0, 18, 10]], [BOX], ["offset"], ["offset"]),
    "twice": ([BOX, BOX], [BOX], ["correct", "duplicate"], ["correct"]),
    "a second that is near": ([BOX, [5, 0, 15, 10]], [BOX], ["correct", "duplicate"], ["correct"]),
    "far away": ([[50, 50, 60, 60]], [BOX], ["hallucinated"], ["missed"]),
    "nothing said": ([], [BOX], [], ["missed"]),
    "nothing there": ([BOX], [], ["hallucinated"], []),
    "neither": ([], [], [], []),
    "no area": ([[3, 3, 3, 9]], [BOX], ["unparsable"], ["missed"]),
    "not a number": ([[0, 0, math.nan, 9]], [BOX], ["unparsable"], ["missed"]),
    "not to be read": ({"unparsable": True}, [BOX], [], ["unparsable"]),
    "a target without area": ([BOX], [[3, 3, 3, 9]], ["hallucinated"], [""]),
    "two phrases": (
        {"boxes": [BOX, [50, 50, 60, 60]], "labels": ["cat", "dog"]},
        {"boxes": [[50, 50, 60, 60], BOX], "labels": ["dog", "cat"]},
        ["correct", "correct"],
        ["correct", "correct"],
    ),
    "phrases swapped": (
        {"boxes": [BOX, [50, 50, 60, 60]], "labels": ["dog", "cat"]},
        {"boxes": [[50, 50, 60, 60], BOX], "labels": ["dog", "cat"]},
        ["wrong_phrase", "wrong_phrase"],
        ["wrong_phrase", "wrong_phrase"],
    ),
    "another phrase's box, half": (
        {"boxes": [[5, 0, 15, 10]], "labels": ["dog"]},
        {"boxes": [BOX], "labels": ["cat"]},
        ["hallucinated"],
        ["missed"],
    ),
    "on a box that its own phrase found": (
        {"boxes": [BOX, BOX], "labels": ["cat", "dog"]},
        {"boxes": [BOX], "labels": ["cat"]},
        ["correct", "wrong_phrase"],
        ["correct"],
    ),
    # It is on the cat, and overlaps its own dog by 20 / 180: the phrase is what is wrong.
    "on another, near its own": (
        {"boxes": [BOX], "labels": ["dog"]},
        {"boxes": [BOX, [8, 0, 18, 10]], "labels": ["cat", "dog"]},
        ["wrong_phrase"],
        ["wrong_phrase", "missed"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bins_by_hand(name: str) -> None:
    preds, target, of_preds, of_target = CASES[name]
    found = ErrorBudgetScorer().bins([preds], [target])[0]
    assert (list(found.preds), list(found.target)) == (of_preds, of_target)


def test_every_bin_has_a_case() -> None:
    seen = {name for case in CASES.values() for names in case[2:] for name in names}
    assert seen - {""} == set(BINS)


def test_fixed_by_hand() -> None:
    """Two right of four predictions and five targets: F1 4/9.

    Without the duplicate 4/8; with the offset one found 6/9; with both missed ones 8/11.
    """
    preds = [BOX, BOX, [30, 0, 40, 10], [65, 0, 75, 10]]
    target = [BOX, [30, 0, 40, 10], [60, 0, 70, 10], [90, 0, 99, 9], [90, 90, 99, 99]]
    scorer = ErrorBudgetScorer()
    scores = scorer.from_sums(scorer.rows([preds], [target]).sum(axis=0))
    found = {key: float(scores[key]) for key in scorer.keys if key.startswith("f1")}
    changed = {"duplicate": 4 / 8, "offset": 6 / 9, "missed": 8 / 11}
    assert found == pytest.approx(
        {"f1": 4 / 9, **{f"f1_{name}_fixed": changed.get(name, 4 / 9) for name in ERRORS}}
    )
    # Boxes that are not boxes are taken away, and the targets of what could not be read are found.
    rows = scorer.rows([{"boxes": [[1, 1, 1, 1]], "unparsable": True}], [[BOX, [20, 0, 30, 10]]])
    assert float(scorer.from_sums(rows.sum(axis=0))["f1_unparsable_fixed"]) == 1.0


def test_size_ratio_is_a_geometric_mean() -> None:
    """1.21 times and 0.81 times the annotated area: sqrt(1.21 x 0.81) = 0.99."""
    preds = [[[0, 0, 11, 11]], [[0, 0, 9, 9], [50, 50, 51, 51]]]
    scorer = ErrorBudgetScorer()
    found = scorer.from_sums(scorer.rows(preds, [[BOX], [BOX]]).sum(axis=0))["size_ratio"]
    assert float(found) == pytest.approx(0.99)


def random_sample(rng: np.random.Generator, labelled: bool) -> tuple[Any, Any]:
    """Boxes of all kinds: jittered, doubled, made up, degenerate; labels that are often right."""
    n = int(rng.integers(0, 6))
    corners = rng.uniform(0, 60, (n, 2))
    target = np.hstack([corners, corners + rng.uniform(4, 30, (n, 2))])
    preds = np.vstack([target, target[: int(rng.integers(0, 2))]])
    preds = preds + rng.normal(0, rng.choice([0.5, 3, 8]), preds.shape)
    preds = preds[rng.random(len(preds)) > 0.2]
    if rng.random() < 0.3:
        preds = np.vstack([preds, rng.uniform(0, 90, (2, 4))])  # half of them inverted
    if rng.random() < 0.1 and n:
        target[0, 2] = target[0, 0]
    if not labelled:
        return preds, target
    unparsable = bool(rng.random() < 0.2)
    return (
        {"boxes": preds, "labels": rng.choice(["a", "b"], len(preds)), "unparsable": unparsable},
        {"boxes": target, "labels": rng.choice(["a", "b"], n)},
    )


def random_samples(seed: int, n: int, labelled: bool) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    pairs = [random_sample(rng, labelled) for _ in range(n)]
    return [one for one, _ in pairs], [other for _, other in pairs]


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("assignment", ["optimal", "masked"])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.9])
def test_sums_are_the_grounding_scores(
    threshold: float, assignment: Assignment, labelled: bool
) -> None:
    """In each of 1,600 samples predictions sum to TP + FP, targets to TP + FN, and TP is the same."""
    preds, target = random_samples(int(100 * threshold), 100, labelled)
    grounding = GroundingScorer(threshold, assignment=assignment)
    budget = ErrorBudgetScorer(threshold, assignment=assignment)
    expected = grounding.from_sums(grounding.rows(preds, target))
    found = budget.from_sums(budget.rows(preds, target))
    tp, fp, fn = (expected[key] for key in ("tp", "fp", "fn"))
    of_preds = sum(found[key] for key in budget.keys if key.startswith("pred_"))
    of_target = sum(found[key] for key in budget.keys if key.startswith("target_"))
    np.testing.assert_array_equal(of_preds, tp + fp)
    np.testing.assert_array_equal(of_target, tp + fn)
    np.testing.assert_array_equal(found["pred_correct"], tp)
    np.testing.assert_array_equal(found["f1"], expected["f1"])


@pytest.mark.parametrize("labelled", [False, True])
def test_putting_a_bin_right_never_makes_it_worse(labelled: bool) -> None:
    scorer = ErrorBudgetScorer()
    scores = scorer.from_sums(scorer.rows(*random_samples(5, 300, labelled)))
    known = ~np.isnan(scores["f1"])
    nothing = np.zeros(len(known))
    for name in ERRORS:
        fixed = scores[f"f1_{name}_fixed"]
        left = known & ~np.isnan(fixed)  # nothing is, where made-up boxes were all there was
        assert (fixed >= scores["f1"])[left].all()
        assert (fixed[left] <= 1).all()
        count = scores.get(f"pred_{name}", nothing) + scores.get(f"target_{name}", nothing)
        assert ((fixed == scores["f1"]) | (count > 0))[known].all()


@pytest.mark.parametrize("labelled", [False, True])
def test_pairs_are_one_to_one_and_in_one_bin(labelled: bool) -> None:
    preds, target = random_samples(6, 300, labelled)
    for one in ErrorBudgetScorer().bins(preds, target):
        pairs = [(i, j) for i, j in enumerate(one.partners) if j is not None]
        assert len({j for _, j in pairs}) == len(pairs)
        assert all(one.preds[i] == one.target[j] for i, j in pairs)
        paired = {"correct", "offset", "loose", "too_big", "too_small"}
        assert all(
            name not in paired for name, j in zip(one.preds, one.partners, strict=True) if j is None
        )


def test_rows_of_a_whole_are_those_of_its_parts_in_any_order_of_boxes() -> None:
    preds, target = random_samples(7, 60, True)
    scorer = ErrorBudgetScorer()
    whole = scorer.rows(preds, target)
    parts = [scorer.rows(preds[i : i + 7], target[i : i + 7]) for i in range(0, 60, 7)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))

    def reversed_boxes(one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "boxes": one["boxes"][::-1], "labels": one["labels"][::-1]}

    turned = scorer.rows(list(map(reversed_boxes, preds)), list(map(reversed_boxes, target)))
    np.testing.assert_allclose(whole, turned, rtol=1e-12, atol=1e-12)


def test_no_samples() -> None:
    scorer = ErrorBudgetScorer()
    rows = scorer.rows([], [])
    assert rows.shape == (0, len(scorer.columns))
    scores = scorer.from_sums(rows.sum(axis=0))
    assert tuple(scores) == scorer.keys
    undefined = {key for key, value in scores.items() if math.isnan(value)}
    assert undefined == set(scorer.keys) - scorer.counts


def test_coordinates() -> None:
    wide = ErrorBudgetScorer(box_coordinates="xywh")
    assert wide.bins([[[5, 5, 10, 10]]], [[[5, 5, 10, 10]]])[0].preds == ("correct",)
    assert wide.bins([[[5, 5, 10, 10]]], [[[25, 5, 10, 10]]])[0].preds == ("hallucinated",)


def test_errors() -> None:
    with pytest.raises(ConfigurationError, match=re.escape("in (0, 1], but got 0")):
        ErrorBudgetScorer(iou_threshold=0)
    with pytest.raises(ConfigurationError, match="xyxy, xywh, cxcywh, but got 'yxyx'"):
        ErrorBudgetScorer(box_coordinates="yxyx")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the same length, but got 1 and 2"):
        ErrorBudgetScorer().rows([[]], [[], []])
    with pytest.raises(InputError, match="shape"):
        ErrorBudgetScorer().rows([[[1, 2, 3]]], [[BOX]])


def test_signature() -> None:
    assert str(ErrorBudgetScorer(0.75).signature()).startswith(
        "error_budget|iou_threshold:0.75|box_coordinates:xyxy|assignment:optimal|version:"
    )
