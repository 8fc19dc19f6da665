"""Runs to look at: pictures of the demo, answered better from one evaluation to the next."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightning_vlmeval.demo.scenes import SIDE, Example, Mix, draw_example
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.boxes import pairwise_iou
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.matching import match_boxes
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.keys import log_key, metric_key
from lightning_vlmeval.reporting.console import is_headline
from lightning_vlmeval.runs.record import fingerprint, run_record
from lightning_vlmeval.runs.store import RunStore

HOSTILE = (
    '</script><img src=x onerror="window.PWNED=1"><script>window.PWNED=1</script> '
    "\u202eturned **bold** =1+1 \ud800 [a](javascript:window.PWNED=1)"
)

SCORERS: dict[str, Scorer] = {
    "grounding": GroundingScorer(),
    "answers": AnswerScorer(),
    "bleu": BLEUScorer(),
    "structured": StructuredOutputScorer(required_fields=("shapes", "first")),
}
_TASK_METRICS = {
    "phrase_grounding": ("grounding",),
    "vqa": ("answers", "bleu"),
    "freeform": ("structured",),
}
_MIX = Mix(
    phrases=("colour and shape", "colour", "shape"), questions=0.3, sentences=True, absent=0.1
)


def _target(example: Example, task: str) -> Any:
    if task == "phrase_grounding":
        boxes = [list(box.xyxy) for box in example.boxes]
        return {"boxes": boxes, "labels": [box.label for box in example.boxes]}
    if task == "freeform":
        figures = example.scene.figures
        first = figures[0]
        named = {"colour": first.colour, "shape": first.shape, "width": first.box[2] - first.box[0]}
        return {"shapes": len(figures), "first": named}
    return example.answer


def _boxes(rng: random.Random, target: Mapping[str, Any], skill: float) -> list[list[float]]:
    """The boxes moved, one lost or one too many now and then."""
    found = []
    for box in target["boxes"]:
        if rng.random() < 0.25 + 0.75 * skill:
            found.append([side + rng.gauss(0, 9 * (1 - skill)) for side in box])
    if rng.random() < 0.5 * (1 - skill):
        x, y = rng.uniform(0, 40), rng.uniform(0, 40)
        found.insert(0, [x, y, x + 16, y + 16])  # so that matches cross
    return found


def _text(rng: random.Random, target: str, skill: float) -> str:
    words = [
        word if rng.random() < skill + 0.3 else rng.choice(["red", "no", "two"])
        for word in target.split()
    ]
    return " ".join(words)


def _object(rng: random.Random, target: Mapping[str, Any], skill: float) -> str:
    if rng.random() > skill + 0.4:
        return "There are some shapes in it."
    made = json.loads(json.dumps(target))
    if rng.random() > skill:
        made["first"]["colour"] = "grey"
    if rng.random() > skill:
        del made["first"]["width"]
    if rng.random() > skill:
        made["note"] = "a picture"
    return json.dumps(made)


def _answer(rng: random.Random, sample: Mapping[str, Any], skill: float) -> dict[str, Any]:
    """What a model of this skill, in [0, 1], says."""
    task, target = sample["task"], sample["target"]
    if task == "vqa":
        return {"prediction": _text(rng, target, skill)}
    if task == "freeform":
        return {"prediction": _object(rng, target, skill)}
    if rng.random() > skill + 0.7:
        return {"prediction": "I see it", "boxes": [], "matches": [], "unparsable": True}
    boxes = _boxes(rng, target, skill)
    overlaps = pairwise_iou(np.reshape(boxes, (-1, 4)), np.reshape(target["boxes"], (-1, 4)))
    pairs = zip(*match_boxes(overlaps, 0.5), strict=True)
    return {
        "prediction": "; ".join(str([round(side) for side in box]) for box in boxes) or "none",
        "boxes": boxes,
        "labels": [target["labels"][0] if target["labels"] else ""] * len(boxes),
        "matches": [[int(p), int(t), float(overlaps[p, t])] for p, t in pairs],
    }


def _scored(samples: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The values of all samples, whose own scores and rows are filled in."""
    values = {}
    for metric, scorer in SCORERS.items():
        mine = [sample for sample in samples if metric in _TASK_METRICS[sample["task"]]]
        if not mine:
            continue
        boxes = metric == "grounding"
        preds = [sample["boxes"] if boxes else sample["prediction"] for sample in mine]
        rows = scorer.rows(
            preds, [one["target"]["boxes"] if boxes else one["target"] for one in mine]
        )
        for key, own in scorer.from_sums(rows).items():
            name = metric_key(metric, key)
            for i, sample in enumerate(mine):
                sample["rows"][metric] = rows[i]
                if is_headline(name) and own[i] == own[i]:
                    sample["scores"][name] = float(own[i])
        for key, value in scorer.from_sums(rows.sum(axis=0)).items():
            values[log_key("val", metric_key(metric, key))] = float(value)
    return values


def make_run(
    folder: Path,
    num_samples: int = 60,
    num_evaluations: int = 6,
    *,
    name: str = "first",
    seed: int = 0,
    hostile: bool = True,
    images: bool = True,
    distinct: int | None = None,
) -> Path:
    """Write a run with three tasks; returns its folder. Every 25th sample's texts are hostile."""
    rng = random.Random(7)
    examples = [draw_example(rng, _MIX, f"scene-{i:05d}") for i in range(distinct or num_samples)]
    statics = []
    for i in range(num_samples):
        example = examples[i % len(examples)]
        task = "freeform" if i % 10 == 9 else example.task
        prompt = "describe the picture as JSON" if task == "freeform" else example.prompt
        statics.append(
            {
                "id": f"scene-{i:05d}",
                "task": task,
                "prompt": HOSTILE if hostile and i % 25 == 3 else prompt,
                "target": _target(example, task),
                "size": [SIDE, SIDE],
                "image": example.scene.image if images else None,
            }
        )
    store = RunStore(
        folder / "vlmeval", run_record(name, sorted(_TASK_METRICS), SCORERS, model="Tiny")
    )
    says = random.Random(seed)
    for index in range(num_evaluations):
        skill = index / max(1, num_evaluations - 1) * (0.9 - 0.15 * seed)
        samples = [
            {**one, **_answer(says, one, skill), "rows": {}, "scores": {}} for one in statics
        ]
        values = _scored(samples)
        if hostile:
            for sample in samples[3::25]:
                sample["prediction"] = HOSTILE
        store.write(_summary(index, values, samples, skill), samples)
    return folder / "vlmeval"


def _summary(
    index: int, values: Mapping[str, float], samples: Sequence[Mapping[str, Any]], skill: float
) -> dict[str, Any]:
    late = index >= 4
    worst = sorted((one for one in samples if "boxes" in one), key=lambda one: len(one["matches"]))
    finding = {
        "slug": "cautious",
        "kind": "pattern",
        "meaning": "Precision is high and recall low: it misses many.",
        "advice": "Add more positive examples.",
        "numbers": {"grounding/recall": [values.get("val/grounding/recall"), 0.4, 0.6]},
        "samples": [one["id"] for one in worst[:5]],
    }
    return {
        "index": index,
        "step": 60 * index,
        "epoch": index,
        "time": f"2026-11-25T23:{index % 60:02d}:00+00:00",
        "train_loss": None if index == 0 else 2.0 * (1 - skill) + 0.1,
        "val_loss": 2.2 * (1 - skill) + (0.3 * (index - 3) if late else 0.0) + 0.2,
        "values": values,
        "intervals": {
            key: [max(0.0, value - 0.05), min(1.0, value + 0.05)]
            for key, value in values.items()
            if is_headline(key) and value == value
        },
        "accounting": {"": f"{len(samples)} of {len(samples)} samples"},
        "verdict": {
            "state": "overfitting" if late else "ok",
            "severity": 0.2 if late else 0.0,
            "reason": "validation loss rose by 12 % since step 180 while training loss fell"
            if late
            else "validation loss still falls",
        },
        "findings": [finding] if late else [],
        "judgement": f"Best of all at evaluation 3. {HOSTILE}" if late else "",
        "fingerprint": {
            "": fingerprint([one["id"] for one in samples], [one["target"] for one in samples])
        },
    }
