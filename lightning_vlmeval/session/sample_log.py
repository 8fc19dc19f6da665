"""What a person will look at: each answer beside what it should have been, from all ranks."""

import json
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch.distributed as dist

from lightning_vlmeval.errors import InputError
from lightning_vlmeval.functional.boxes import BoxCoordinates, pairwise_iou, to_xyxy
from lightning_vlmeval.functional.matching import match_boxes
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.metrics.gathering import gather_bytes
from lightning_vlmeval.runs.files import plain
from lightning_vlmeval.runs.images import Thumbnail, is_chosen, thumbnail
from lightning_vlmeval.session.outputs import Batch
from lightning_vlmeval.table import Floats


class SampleLog:
    """Keeps the samples of one evaluation until they are gathered.

    Args:
        iou_threshold: From which intersection over union on a box counts as found.
        box_coordinates: How boxes are given.
        max_images: How many pictures to make small; 0 for none. Each is made once in a run, and
            again where its evaluation was not kept.
        structured: Reads the values of structured answers, for those that are no plain JSON.
    """

    def __init__(
        self,
        iou_threshold: float,
        box_coordinates: BoxCoordinates,
        max_images: int,
        structured: StructuredOutputScorer | None = None,
    ) -> None:
        self._structured = structured
        self._iou_threshold, self._box_coordinates = iou_threshold, box_coordinates
        self._max_images = max_images
        self._samples: list[dict[str, Any]] = []
        self._shown: set[tuple[str, str]] = set()  # in evaluations that were kept
        self._new: set[tuple[str, str]] = set()  # in this one

    @property
    def samples(self) -> list[dict[str, Any]]:
        """Those of this rank so far."""
        return self._samples

    def begin(self) -> None:
        """Begin an evaluation."""
        self._samples, self._new = [], set()

    def keep(self) -> None:
        """Count the evaluation's pictures as shown: it is part of the run."""
        self._shown |= self._new

    def forget(self) -> None:
        """Forget which pictures were shown: the run goes on, or begins, in another place."""
        self._shown = set()

    def add(
        self, batch: Batch, names: Sequence[str | None], loader: str, num_samples: int | None
    ) -> None:
        """Add a batch.

        Args:
            batch: The samples.
            names: The id of each; None for one that the sampler repeats.
            loader: The name of the dataloader, "" for the only one.
            num_samples: How many the dataloader has on all ranks; None where nobody knows.
        """
        for i, name in enumerate(names):
            if name is not None:
                fields = {"id": name, "loader": loader, **self._shown_of(batch, i)}
                picture = self._picture(batch, i, (loader, name), num_samples)
                self._samples.append({**fields, **picture})

    def gather(self) -> list[dict[str, Any]]:
        """The samples of all ranks. A collective; nothing is forgotten."""
        if not (dist.is_available() and dist.is_initialized()):
            return self._samples
        parts = gather_bytes(_pickled(self._samples))
        # As `torch.distributed.gather_object` does: what is read was written by this program.
        return [sample for part in parts for sample in pickle.loads(part)]

    def reset(self) -> None:
        """Forget the samples, but not which pictures they had."""
        self._samples = []

    def _shown_of(self, batch: Batch, i: int) -> dict[str, Any]:
        try:
            return self._fields(batch, i)
        except Exception:  # noqa: BLE001  the metrics have counted it; it is shown as it came
            return {"prediction": str(batch.preds[i]), "target": str(batch.target[i])}

    def _fields(self, batch: Batch, i: int) -> dict[str, Any]:
        """What is known of a sample; None and empty fields are left out by the store."""
        fields = {
            "task": _at(batch.task, i),
            "prompt": _at(batch.prompt, i),
            "group": _name(batch.group, i),
            "annotator": _name(batch.annotator, i),
            "size": _at(batch.size, i),
            "fed_size": _at(batch.fed_size, i),
            "truncated": _at(batch.truncated, i),
            "loss": None if batch.losses is None else float(batch.losses[i]),
            "prediction": batch.preds[i] if batch.texts is None else batch.texts[i],
            "target": batch.target[i],
        }
        parsed = _at(batch.parsed, i)
        if parsed is not None:
            fields |= {"issues": dict(parsed.issues), "unparsable": not parsed.ok}
        boxes = _boxes(batch.target[i], self._box_coordinates)
        if boxes is not None:
            fields |= self._box_fields(batch.preds[i], boxes)
            if batch.texts is None:
                fields["prediction"] = None
        elif self._structured is not None and fields["task"] in (None, "freeform"):
            fields |= _values(self._structured, fields["prediction"], batch.target[i])
        return fields

    def _box_fields(self, pred: Any, target: tuple[Floats, list[str] | None]) -> dict[str, Any]:
        """What is said of boxes; `target` depends on the target alone, as a fingerprint must."""
        target_boxes, target_labels = target
        read = _boxes(pred, self._box_coordinates)
        boxes, labels = (np.zeros((0, 4)), []) if read is None else read
        overlaps = pairwise_iou(boxes, target_boxes)
        if labels is not None and target_labels is not None:
            named, wanted = (np.array(of, dtype=object) for of in (labels, target_labels))
            overlaps = overlaps * (named[:, None] == wanted[None])
        pairs = zip(*match_boxes(overlaps, self._iou_threshold), strict=True)
        return {
            "boxes": boxes,
            "labels": None if target_labels is None else labels,
            "target": {
                "boxes": target_boxes,
                **({} if target_labels is None else {"labels": target_labels}),
            },
            "matches": [[int(p), int(t), float(overlaps[p, t])] for p, t in pairs],
        }

    def _picture(
        self, batch: Batch, i: int, key: tuple[str, str], num_samples: int | None
    ) -> dict[str, Any]:
        """The picture of a sample that is seen for the first time, if it is to be stored."""
        image = _at(batch.image, i)
        if image is None or key in self._shown or key in self._new:
            return {}
        self._new.add(key)
        if not is_chosen(key[1], self._max_images, num_samples):
            return {"image": image} if isinstance(image, str) else {}
        try:
            picture: Thumbnail = thumbnail(image)
        except InputError:
            return {}  # a picture that cannot be drawn is no reason to stop
        return {"image": picture}


def _values(scorer: StructuredOutputScorer, answer: Any, target: Any) -> dict[str, Any]:
    """What is read in an answer and in a target's text, where they are not JSON as they stand."""
    found = {}
    for name, read, text in (
        ("answer_value", scorer.read, answer),
        ("target_value", scorer.read_target, target),
    ):
        if not isinstance(text, str) or _is_json(text):
            continue
        try:
            value = read(text)
        except Exception:  # noqa: BLE001  a format may be anybody's function; the metric tells
            continue
        if isinstance(value, (Mapping, list)):
            found[name] = value
    return found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _pickled(samples: Sequence[Mapping[str, Any]]) -> bytes:
    """The samples for another process; a field that cannot travel as the store would write it."""
    try:
        return pickle.dumps(samples)
    except Exception:  # noqa: BLE001  whatever a field of the user's makes it raise
        return pickle.dumps(
            [
                {
                    k: v if isinstance(v, (Thumbnail, np.ndarray)) else plain(v)
                    for k, v in one.items()
                }
                for one in samples
            ]
        )


def _at(values: Sequence[Any] | None, i: int) -> Any:
    return None if values is None else values[i]


def _name(values: Sequence[Any] | None, i: int) -> str | None:
    """A name as a text; a number may be one."""
    value = _at(values, i)
    return None if value is None else str(value)


def _boxes(value: Any, box_coordinates: BoxCoordinates) -> tuple[Floats, list[str] | None] | None:
    """Boxes, and their labels where they have some; None for a text or an object."""
    labels = None
    if isinstance(value, Mapping):
        if "boxes" not in value:
            return None
        labels, value = value.get("labels"), value["boxes"]
    if isinstance(value, str):
        return None
    try:
        boxes = np.asarray(value, dtype=np.float64).reshape(-1, 4)
    except (TypeError, ValueError):
        return None
    names = None if labels is None else [str(label) for label in _listed(labels)]
    if names is not None and len(names) != len(boxes):
        return None  # the metrics have counted it
    return to_xyxy(boxes, box_coordinates), names


def _listed(labels: Any) -> Sequence[Any]:
    try:
        return list(labels)
    except TypeError:
        return []
