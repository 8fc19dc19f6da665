"""What is kept of samples to look at."""

from typing import Any

import numpy as np
import pytest

from lightning_vlmeval.runs.record import fingerprint
from lightning_vlmeval.session.outputs import Batch
from lightning_vlmeval.session.sample_log import SampleLog

BOX = [0.0, 0.0, 10.0, 10.0]
AWAY = [50.0, 50.0, 60.0, 60.0]


def kept(pred: Any, target: Any, coordinates: Any = "xyxy", **more: Any) -> dict[str, Any]:
    log = SampleLog(0.5, coordinates, 10)
    log.add(Batch([pred], [target], **{key: [one] for key, one in more.items()}), ["a"], "", 1)
    (sample,) = log.gather()
    return sample


@pytest.mark.parametrize(
    ("pred", "target", "matches"),
    [
        ([BOX, AWAY], [BOX], [[0, 0, 1.0]]),
        ([AWAY], [BOX], []),
        ([], [BOX], []),
        ([BOX], [], []),
        ({"boxes": [BOX], "labels": ["cat"]}, {"boxes": [BOX], "labels": ["cat"]}, [[0, 0, 1.0]]),
        ({"boxes": [BOX], "labels": ["dog"]}, {"boxes": [BOX], "labels": ["cat"]}, []),
        ({"boxes": [], "labels": []}, {"boxes": [BOX], "labels": ["cat"]}, []),
    ],
)
def test_matches(pred: Any, target: Any, matches: list[Any]) -> None:
    assert kept(pred, target)["matches"] == matches


@pytest.mark.parametrize("target", [{"boxes": [], "labels": []}, {"boxes": [BOX], "labels": [""]}])
def test_the_target_does_not_depend_on_the_answer(target: Any) -> None:
    preds = [{"boxes": boxes, "labels": ["cat"] * len(boxes)} for boxes in ([], [BOX], [BOX, AWAY])]
    prints = {fingerprint(["a"], [kept(pred, target)["target"]]) for pred in preds}
    assert len(prints) == 1


def test_boxes_are_stored_by_their_corners() -> None:
    sample = kept([[5.0, 5.0, 10.0, 10.0]], [[5.0, 5.0, 10.0, 10.0]], "cxcywh")
    assert sample["boxes"].tolist() == sample["target"]["boxes"].tolist() == [BOX]
    assert sample["prediction"] is None


def test_texts_and_objects_stay_what_they_are() -> None:
    for target in ("a dog", ["a dog", "dog"], {"defect": "dent"}):
        sample = kept("a cat", target, prompt="what?", truncated=True)
        assert (sample["prediction"], sample["target"]) == ("a cat", target)
        assert (sample["prompt"], sample["truncated"]) == ("what?", True)
        assert "boxes" not in sample


def test_padding_is_left_out_and_a_picture_is_made_once() -> None:
    log = SampleLog(0.5, "xyxy", 10)
    picture = np.zeros((4, 6, 3), dtype=np.uint8)
    batch = Batch(["x", "y"], ["x", "y"], image=[picture, "no such file"])
    log.add(batch, ["a", "b"], "", 2)
    log.add(batch, ["c", None], "", 2)
    first, broken, again = log.gather()
    assert first["image"].size == (6, 4)
    assert "image" not in broken
    assert again["id"] == "c"
    log.keep()
    log.begin()
    log.add(batch, ["a", "b"], "", 2)
    assert all("image" not in sample for sample in log.gather())


def test_a_picture_of_an_evaluation_that_was_not_kept_is_made_again() -> None:
    log = SampleLog(0.5, "xyxy", 10)
    batch = Batch(["x"], ["x"], image=[np.zeros((4, 6, 3), dtype=np.uint8)])
    for _ in range(2):
        log.begin()
        log.add(batch, ["a"], "", 1)
        (sample,) = log.gather()
        assert sample["image"].size == (6, 4)
