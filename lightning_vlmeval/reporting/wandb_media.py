"""What goes to Weights & Biases beside the scalars: boxes on pictures, a table of answers, the report.

Each function takes a Lightning `WandbLogger`, of either package, or what looks like one: pictures and
tables go through its own methods, so that its prefix and its x axis hold.
"""

import json
import re
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_vlmeval.reporting.drawing import pictured
from lightning_vlmeval.reporting.markup import visible
from lightning_vlmeval.runs.files import number_or_nan
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import IMAGES

MOST_ROWS = 200
"""How many answers the table has; W&B's page grows slow with more."""

_MOST_TEXT = 2000  # characters of a cell
_MOST_CAPTION = 300
_FORMULA = re.compile(r"[=+\-@\t\r]")  # what a spreadsheet may take for one
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")

# The same at every evaluation, so that each can be switched on and off for good.
_FOUND, _MISSED, _CORRECT, _FALSE = 1, 2, 3, 4
_WANTED = {_FOUND: "ground truth, found", _MISSED: "ground truth, missed (FN)"}
_GIVEN = {_CORRECT: "prediction, correct (TP)", _FALSE: "prediction, false alarm (FP)"}


def log_pictures(logger: Any, run: Run, step: int, most: int, tag: str = "vlmeval") -> int:
    """Log the last answers of a few samples as pictures with W&B's own boxes.

    Args:
        logger: A `WandbLogger`.
        run: The run, whose thumbnails are shown.
        step: The x value.
        most: How many pictures at most.
        tag: What the key begins with.

    Returns:
        How many were logged.

    Raises:
        StoreError: The run cannot be read.
    """
    paths, captions, boxes = [], [], []
    for picture, sample in pictured(run, most):
        paths.append(str(run.path / IMAGES / sample["image"]))
        captions.append(_caption(sample))
        boxes.append(picture_boxes(sample, picture.size))
    if paths:
        logger.log_image(f"{tag}/samples", paths, step=step, caption=captions, boxes=boxes)
    return len(paths)


def picture_boxes(sample: Mapping[str, Any], shown: Sequence[int]) -> dict[str, Any] | None:
    """The boxes of an answer as `wandb.Image` takes them; None for an answer without boxes.

    The classes say whether a box was found, missed, correct or false; its label is the caption.

    Args:
        sample: A stored sample; its boxes are pixels of a picture of its `size`.
        shown: The width and height of the picture that they are shown on.

    Example:
        >>> sample = {"target": {"boxes": [[0, 0, 8, 8]]}, "boxes": [], "size": [16, 16]}
        >>> boxes = picture_boxes(sample, (8, 8))
        >>> boxes["ground_truth"]["box_data"][0]["position"]
        {'minX': 0.0, 'minY': 0.0, 'maxX': 4.0, 'maxY': 4.0}
    """
    target = sample.get("target")
    if not isinstance(target, Mapping) or not isinstance(target.get("boxes"), list):
        return None
    size = sample.get("size") or shown
    fit = (shown[0] / size[0], shown[1] / size[1])
    matches = sample.get("matches") or []
    given = {match[0]: match[2] for match in matches}
    wanted = {match[1]: match[2] for match in matches}

    def data(boxes: Any, labels: Any, overlaps: Mapping[int, float], kinds: tuple[int, int]) -> Any:
        found = []
        for i, box in enumerate(boxes or []):
            label = visible(labels[i]) if labels and i < len(labels) else "box"
            kind = kinds[0] if i in overlaps else kinds[1]
            one = _box(box, fit, kind, label, overlaps.get(i))
            found += [] if one is None else [one]
        return found

    truth = data(target["boxes"], target.get("labels"), wanted, (_FOUND, _MISSED))
    answer = data(sample.get("boxes"), sample.get("labels"), given, (_CORRECT, _FALSE))
    return {
        "ground_truth": {"box_data": truth, "class_labels": _WANTED},
        "predictions": {"box_data": answer, "class_labels": _GIVEN},
    }


def _box(
    box: Sequence[Any], fit: tuple[float, float], kind: int, label: str, overlap: float | None
) -> dict[str, Any] | None:
    """A box; None for one with a corner that is no number."""
    corners = [number_or_nan(side) * fit[i % 2] for i, side in enumerate(box)]
    if not all(side == side for side in corners):
        return None
    (x0, x1), (y0, y1) = sorted(corners[::2]), sorted(corners[1::2])
    made = {
        "position": {"minX": x0, "minY": y0, "maxX": x1, "maxY": y1},
        "domain": "pixel",
        "class_id": kind,
        "box_caption": _cut(label, _MOST_CAPTION),
    }
    return made if overlap is None else {**made, "scores": {"iou": float(overlap)}}


def log_table(logger: Any, run: Run, step: int, tag: str = "vlmeval") -> int:
    """Log the last answers as a table: id, prompt, target, answer and the sample's own scores.

    Of more than `MOST_ROWS` samples so many are drawn, the same ones at each evaluation.

    Args:
        logger: A `WandbLogger`.
        run: The run.
        step: The x value.
        tag: What the key begins with.

    Returns:
        How many rows it has.

    Raises:
        StoreError: The run cannot be read.
    """
    samples = run.samples(-1)
    if len(samples) > MOST_ROWS:
        drawn = sorted(samples, key=lambda one: zlib.crc32(one["id"].encode("utf-8", "replace")))
        samples = sorted(drawn[:MOST_ROWS], key=lambda one: (one.get("loader", ""), one["id"]))
    scores = sorted({key for sample in samples for key in sample.get("scores") or {}})
    texts = [key for key in ("loader", "task") if any(sample.get(key) for sample in samples)]
    texts += ["id", "prompt", "target", "prediction"]
    rows = [
        [
            *(cell(one.get(key)) for key in texts),
            *((one.get("scores") or {}).get(k) for k in scores),
        ]
        for one in samples
    ]
    if rows:
        names = [*texts[:-1], "answer", *scores]
        logger.log_table(f"{tag}/answers", columns=names, data=rows, step=step)
    return len(rows)


def cell(value: Any) -> str:
    """A value as a cell that no spreadsheet takes for a formula, with nothing in it invisible.

    Args:
        value: A text; anything else is written as JSON; None is the empty text.

    Example:
        >>> cell("=1+1"), cell("-5"), cell({"boxes": []}), cell(None)
        ("'=1+1", '-5', '{"boxes": []}', '')
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return _cut(visible(text), _MOST_TEXT)


def log_report(logger: Any, path: Path, tag: str = "vlmeval") -> None:
    """Log the report as a page to look at, and as an artifact to keep.

    Args:
        logger: A `WandbLogger`.
        path: The report.
        tag: What the key begins with.
    """
    run = logger.experiment
    # W&B's own page would put a stylesheet of its server into ours, which lets nothing in.
    if (wandb := sys.modules.get("wandb")) is not None:
        run.log({f"{tag}/report": wandb.Html(str(path), inject=False)})
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{tag}-report-{getattr(run, 'id', '')}")[:128]
    run.log_artifact(str(path), name=name, type="report")


def _caption(sample: Mapping[str, Any]) -> str:
    parts = [str(sample["id"]), *(str(sample.get(key) or "") for key in ("prompt", "prediction"))]
    shown = (" ".join(visible(part).split()) for part in parts)
    return " | ".join(_cut(part, _MOST_CAPTION) for part in shown if part)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
