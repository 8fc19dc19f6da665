"""Answers and targets in a box format, as a grounding scorer takes them."""

import re

import numpy as np
import pytest

from lightning_vlmeval.errors import InputError
from lightning_vlmeval.functional.answered_boxes import annotated_boxes, answered_boxes
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.parsing import Box, box_format

QWEN = box_format("qwen3-vl")
SIZE = (1000, 1000)
TEXT = '[{"bbox_2d": [0, 0, 10, 20], "label": "The Cat"}, {"bbox_2d": [1, 2, 3, 4], "label": "x"}]'


def test_labels_are_those_of_the_targets() -> None:
    found = answered_boxes(QWEN.parse(TEXT, SIZE), ["cat", "dog"])
    assert found["labels"] == ["cat", "x"]
    np.testing.assert_allclose(found["boxes"], [[0, 0, 10, 20], [1, 2, 3, 4]])
    assert answered_boxes(QWEN.parse(TEXT, SIZE), ["cat"])["labels"] == ["cat", "cat"]


@pytest.mark.parametrize(
    ("text", "boxes", "unparsable"),
    [
        ("[]", 0, False),
        ("I see a cat", 0, True),
        ('[{"bbox_2d": [1, 2, 3], "label": "cat"}]', 1, True),
        ('[{"bbox_2d": [0, 0, 10, 20], "label": "cat"}, {"bbox_2d": [5, 5, 5, 5]}]', 2, False),
    ],
)
def test_what_cannot_be_read_counts_as_false(text: str, boxes: int, unparsable: bool) -> None:
    found = answered_boxes(QWEN.parse(text, SIZE), ["cat"])
    assert (len(found["boxes"]), len(found["labels"]), found["unparsable"]) == (
        boxes,
        boxes,
        unparsable,
    )
    target = {"boxes": [[0, 0, 10, 20]], "labels": ["cat"]}
    scores = GroundingScorer().from_sums(GroundingScorer().rows([found], [target]).sum(axis=0))
    assert scores["tp"] + scores["fp"] == boxes


def test_every_way_to_give_a_target() -> None:
    boxes = [[0, 0, 10, 20], [1, 2, 3, 4]]
    ways = [
        TEXT,
        [Box("The Cat", (0, 0, 10, 20)), Box("x", (1, 2, 3, 4))],
        {"boxes": boxes, "labels": ["The Cat", "x"]},
    ]
    for target in ways:
        found, labels = annotated_boxes(target, QWEN, SIZE)
        np.testing.assert_allclose(found, boxes)
        assert labels == ["The Cat", "x"]
    for target in [boxes, {"boxes": boxes}, {"boxes": boxes, "labels": None}]:
        assert annotated_boxes(target, QWEN, SIZE) == (boxes, ["", ""])
    for nothing in ["[]", "", [], {"boxes": []}]:
        found, labels = annotated_boxes(nothing, QWEN, SIZE)
        assert (len(found), labels) == (0, [])


def test_a_target_that_cannot_be_read() -> None:
    message = "Expected the target in the format 'qwen3-vl', but got 'a cat'"
    with pytest.raises(InputError, match=re.escape(message)):
        annotated_boxes("a cat", QWEN, SIZE)
