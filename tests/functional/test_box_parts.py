"""Parts of samples: by hand, and that nothing is lost between a sample and its parts."""

import re
from typing import Any

import numpy as np
import pytest

from lightning_vlmeval.errors import InputError
from lightning_vlmeval.functional.box_parts import (
    BoxParts,
    count_label,
    parts_by_phrase,
    parts_by_size,
)
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from tests.functional.test_error_budget import random_samples


def test_phrases_by_hand() -> None:
    target = [
        {"boxes": [[0, 0, 9, 9], [20, 0, 29, 9]], "labels": ["cat", "dog"]},
        {"boxes": [[0, 0, 9, 9]], "labels": ["dog"]},
        {"boxes": [], "labels": []},
    ]
    preds = [
        {"boxes": [[0, 0, 9, 9]], "labels": ["cat"]},
        {"unparsable": True},
        {"boxes": [[0, 0, 9, 9]], "labels": ["cow"]},
    ]
    parts = parts_by_phrase(["a", "b", "c"], preds, target, groups=["image", "", ""])
    assert parts.labels == ("cat", "dog", "dog", "cow")
    assert parts.samples == ("a", "a", "b", "c")
    assert parts.groups == ("image", "image", "b", "c")
    scores = GroundingScorer().sample_scores(parts.table(GroundingScorer()))
    np.testing.assert_array_equal(scores["f1"], [1, 0, 0, 0])
    bins = ErrorBudgetScorer().sample_scores(parts.table(ErrorBudgetScorer()))
    np.testing.assert_array_equal(bins["target_unparsable"], [0, 0, 1, 0])


def test_sizes_by_hand() -> None:
    """32 x 32 is medium and 96 x 96 large; a prediction goes with its target."""
    target = [[[0, 0, 32, 32], [0, 100, 96, 196], [200, 0, 210, 10]]]
    preds = [[[0, 0, 31, 31], [0, 100, 95, 195], [400, 400, 403, 403], [1, 1, 1, 1]]]
    parts = parts_by_size(["a"], preds, target)
    assert parts.labels == ("small", "medium", "large")
    table = parts.table(GroundingScorer())
    counts = GroundingScorer().from_sums(table.rows)
    found = [[int(counts[key][i]) for key in ("tp", "fp", "fn")] for i in range(3)]
    assert found == [[0, 2, 1], [1, 0, 0], [1, 0, 0]]


def test_sizes_as_shares_of_the_image() -> None:
    target = [[[0, 0, 32, 32]], [[0, 0, 32, 32]], [[0, 0, 32, 32]]]
    images = [(640, 480), (64, 48), (6400, 4800)]
    parts = parts_by_size(list("abc"), [[], [], []], target, image_sizes=images)
    assert parts.labels == ("medium", "large", "small")
    own = parts_by_size(["a"], [[]], target[:1], bounds=(2000.0, 3000.0))
    assert own.labels == ("small",)


def split(kind: str, preds: Any, target: Any) -> BoxParts:
    ids = [str(i) for i in range(len(preds))]
    if kind == "size":
        return parts_by_size(ids, preds, target, bounds=(100.0, 400.0))
    return parts_by_phrase(ids, preds, target)


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("kind", ["size", "phrase"])
def test_parts_sum_to_the_whole(kind: str, labelled: bool) -> None:
    preds, target = random_samples(11, 200, labelled)
    scorer = GroundingScorer()
    whole = scorer.from_sums(scorer.rows(preds, target).sum(axis=0))
    table = split(kind, preds, target).table(scorer)
    parts = scorer.from_sums(table.rows.sum(axis=0))
    # Boxes that hardly overlap are of their own sizes, though they may be assigned to each other.
    keys = ["tp", "fp", "fn", "f1", "iou", "f1_50_95", *(["mean_iou"] if kind == "phrase" else [])]
    for key in keys:
        assert parts[key] == pytest.approx(whole[key], rel=1e-12), key
    assert len(set(table.ids)) == len(table)


def test_other_coordinates() -> None:
    parts = parts_by_phrase(["a"], [[[5, 5, 10, 10]]], [[[5, 5, 10, 10]]], box_coordinates="xywh")
    assert parts.preds[0]["boxes"].tolist() == [[5, 5, 15, 15]]
    table = parts.table(GroundingScorer(box_coordinates="xywh"))
    assert GroundingScorer().score(table)["iou"] == 1.0


@pytest.mark.parametrize(
    ("count", "label"),
    [(0, "0"), (1, "1"), (2, "2"), (3, "3 to 5"), (5, "3 to 5"), (6, "6 or more")],
)
def test_count_label(count: int, label: str) -> None:
    assert count_label([[0, 0, 9, 9]] * count) == label


def test_no_samples() -> None:
    parts = parts_by_phrase([], [], [])
    assert parts.labels == ()
    assert len(parts.table(GroundingScorer())) == 0


def test_errors() -> None:
    with pytest.raises(InputError, match=re.escape("Expected 1 `ids`, but got 2")):
        parts_by_phrase(["a", "b"], [[]], [[]])
    with pytest.raises(InputError, match=re.escape("Expected 1 `groups`, but got 0")):
        parts_by_phrase(["a"], [[]], [[]], groups=[])
    with pytest.raises(InputError, match=re.escape("Expected 1 `image_sizes`, but got 0")):
        parts_by_size(["a"], [[]], [[]], image_sizes=[])
