"""What a diagnosis is made of: the tables of an evaluation, and whatever else is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lightning_vlmeval.analysis.trend import Trend
from lightning_vlmeval.functional.box_parts import BoxParts, parts_by_phrase
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Table

Tables = Mapping[str, Table]


@dataclass(frozen=True)
class Material:
    """An evaluation as a diagnosis reads it; all but the first two are optional.

    A pattern that needs what is not given is not looked for.

    Args:
        scorers: What made each table, by the metric's name. A metric is known by its scorer; its
            name is free.
        tables: The rows of each metric on the validation samples; each id once.
        training: The same metrics' rows on some training samples.
        baseline: The rows of an evaluation to compare with, on the same validation samples.
        floors: What BERTScore and BLEU are worth by chance, by key (other keys are not looked at): the
            values of the run's first evaluation, of an untrained model; or those of `chance_floor`.
        trends: Of values, by key such as ``grounding/f1``.
        answers: The model's texts, by sample id.
        references: The reference texts of each sample.
        prompts: The text given to the model.
        images: What image each sample is of; where it is not given, the sample's group.
        annotators: Who annotated each sample, or what else its annotations have in common. Never
            the table's groups: the samples of one count as a single draw, and of one no interval is
            known.
        parts: The boxes by phrase (`parts_by_phrase`).
        training_phrases: How often each phrase is annotated in the whole training data; one that is
            not there, never. Boxes without a label are of their sample's prompt.
    """

    scorers: Mapping[str, Scorer]
    tables: Tables
    training: Tables = field(default_factory=dict)
    baseline: Tables = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    trends: Mapping[str, Trend] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, Sequence[str]] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    annotators: Mapping[str, str] = field(default_factory=dict)
    parts: BoxParts | None = None
    training_phrases: Mapping[str, int] = field(default_factory=dict)


def read_material(
    scorers: Mapping[str, Scorer],
    tables: Tables,
    samples: Sequence[Mapping[str, Any]],
    **others: Any,
) -> Material:
    """The material of an evaluation whose samples are at hand, as a run keeps them.

    Args:
        scorers: What made each table, by the metric's name.
        tables: The rows of each metric.
        samples: One mapping a sample, with its `id`, `target` (a text, several, or boxes with
            perhaps labels), and what there is of `prediction` (text), `boxes` (edges, in pixels),
            `labels`, `unparsable`, `prompt`, `image`, `group` and `annotator`.
        **others: The other fields of `Material`.

    Example:
        >>> sample = {"id": "a", "target": "two", "prediction": "two", "prompt": "How many?"}
        >>> found = read_material({}, {}, [sample])
        >>> found.answers, found.references, found.prompts
        ({'a': 'two'}, {'a': ('two',)}, {'a': 'How many?'})
    """
    references: dict[str, Sequence[str]] = {}
    boxes = []
    for one in samples:
        target = one.get("target")
        if isinstance(target, Mapping) and "boxes" in target:
            boxes.append(one)
        elif isinstance(target, str):
            references[one["id"]] = (target,)
        elif isinstance(target, (list, tuple)) and all(isinstance(text, str) for text in target):
            references[one["id"]] = tuple(target)
    found = {
        "answers": {
            name: text for name, text in _texts(samples, "prediction").items() if name in references
        },
        "references": references,
        "prompts": _texts(samples, "prompt"),
        "images": _texts(samples, "group") | _texts(samples, "image"),
        "annotators": _texts(samples, "annotator"),
        "parts": _parts(boxes) if boxes else None,
    }
    return Material(scorers, tables, **{**found, **others})


def _texts(samples: Sequence[Mapping[str, Any]], field_name: str) -> dict[str, str]:
    """The samples that have a text in this field."""
    return {one["id"]: one[field_name] for one in samples if isinstance(one.get(field_name), str)}


def _parts(samples: Sequence[Mapping[str, Any]]) -> BoxParts:
    """The boxes by phrase; labels count where both sides have them."""
    preds, target = [], []
    for one in samples:
        annotated, boxes = one["target"], one.get("boxes")
        boxes = () if boxes is None else boxes
        labels = one.get("labels", () if len(boxes) == 0 else None)
        sides = ({"boxes": boxes, "labels": labels}, annotated)
        kept = ["boxes", "labels"] if all(_labelled(side) for side in sides) else ["boxes"]
        answer, wanted = ({name: side[name] for name in kept} for side in sides)
        preds.append({**answer, "unparsable": bool(one.get("unparsable"))})
        target.append(wanted)
    ids = [one["id"] for one in samples]
    return parts_by_phrase(ids, preds, target, groups=[one.get("group") or "" for one in samples])


def _labelled(boxes: Mapping[str, Any]) -> bool:
    return boxes.get("labels") is not None
