"""Material read from samples as a run keeps them."""

from typing import Any

from lightning_vlmeval.analysis.diagnosis import diagnose
from lightning_vlmeval.analysis.material import Material, read_material
from lightning_vlmeval.analysis.measures import primary_key
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.grounding import GroundingScorer

BOX = [0.0, 0.0, 9.0, 9.0]


def test_texts() -> None:
    found = read_material(
        {},
        {},
        [
            {"id": "a", "target": "yes", "prediction": "no", "prompt": "On?", "image": "1.jpg"},
            {"id": "b", "target": ["yes", "on"], "prediction": "on", "group": "g"},
            {"id": "c", "target": {"count": 2}, "prediction": "{}", "group": "g", "image": "2.jpg"},
            {"id": "d", "target": {"boxes": [BOX]}, "prediction": "<loc>", "boxes": [BOX]},
            {"id": "e"},
        ],
        annotators={"a": "eve"},
    )
    assert found.answers == {"a": "no", "b": "on"}
    assert found.references == {"a": ("yes",), "b": ("yes", "on")}
    assert found.prompts == {"a": "On?"}
    assert found.images == {"a": "1.jpg", "b": "g", "c": "2.jpg"}
    assert found.annotators == {"a": "eve"}
    assert found.parts is not None
    assert found.parts.samples == ("d",)


def test_boxes_with_and_without_labels() -> None:
    target = {"boxes": [BOX, BOX], "labels": ["can", "box"]}
    samples: list[dict[str, Any]] = [
        {"id": "a", "target": target, "boxes": [BOX], "labels": ["can"], "group": "g"},
        {"id": "b", "target": target, "boxes": [BOX]},
        {"id": "c", "target": {"boxes": [BOX]}, "boxes": [BOX], "labels": ["can"]},
        {"id": "d", "target": target, "unparsable": True},
        {"id": "e", "target": {"boxes": [], "labels": []}},
    ]
    parts = read_material({}, {}, samples).parts
    assert parts is not None
    assert list(zip(parts.samples, parts.labels, strict=True)) == [
        *[("a", "can"), ("a", "box")],
        ("b", ""),
        ("c", ""),
        *[("d", "can"), ("d", "box")],
    ]
    assert parts.groups == ("g", "g", "b", "c", "d", "d")
    assert [one["unparsable"] for one in parts.preds] == [False] * 4 + [True] * 2
    recall = GroundingScorer().score(parts.table(GroundingScorer()))["recall"]
    assert recall == 3 / 7


def test_it_finds_what_the_samples_show() -> None:
    samples = [
        {
            "id": f"{i:03}",
            "target": "yes" if i % 2 else "no",
            "prediction": f"The answer is {i}.",
            "prompt": "On?",
            "image": f"{i // 2}.jpg",
        }
        for i in range(60)
    ]
    found = diagnose(read_material({}, {}, samples))
    assert set(found.slugs) == {"answers-begin-alike", "conflicting-references"}
    name = 'share of answers that begin with "the answer is"'
    assert found["answers-begin-alike"].numbers[name].value == 1.0


def test_no_samples() -> None:
    assert read_material({}, {}, []) == Material({}, {})


def test_primary_key() -> None:
    assert primary_key({"b": BLEUScorer(), "a": AnswerScorer()}) == "answers/exact_match"
    assert primary_key({"boxes": GroundingScorer(), "b": BLEUScorer()}) == "grounding/f1"
    assert primary_key({}) is None
