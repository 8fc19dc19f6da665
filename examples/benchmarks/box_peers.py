"""What others do with boxes, each over all scenes at once; needs no lightning_vlmeval.

    python box_peers.py SHAPE COUNT [PEER]

answers the names of peers on standard input with JSON lines: CPU seconds and value, or why not; with
PEER it prints the megabytes that this one adds at its peak. It is started by the suite, with the interpreter of an environment that has torchvision and supervision.
"""

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import samples
import torch
from scipy.optimize import linear_sum_assignment
from timing import peak_kib, timed
from torch.library import Library

Boxes = Sequence[torch.Tensor]
_OPERATORS = (
    "nms qnms roi_align _roi_align_backward roi_pool _roi_pool_backward ps_roi_align "
    "_ps_roi_align_backward ps_roi_pool _ps_roi_pool_backward deform_conv2d _deform_conv2d_backward"
)
_library: Any = None


def numpy_loop(preds: Boxes, target: Boxes) -> float:
    """For each image IoU by numpy, assignment by scipy, then the threshold: F1."""
    matched = total = 0
    for p, t in zip(preds, target, strict=True):
        a, b = p.numpy()[:, None], t.numpy()[None]
        low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
        inter = np.clip(high - low, 0, None).prod(-1)
        areas = [(x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b)]
        union = areas[0] + areas[1] - inter
        iou = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
        matched += (iou[linear_sum_assignment(iou, maximize=True)] >= 0.5).sum()
        total += len(p) + len(t)
    return float(2 * matched / total)


def torchvision_loop(preds: Boxes, target: Boxes) -> float:
    """For each image torchvision's IoU, assignment by scipy, two thresholds and the sum of IoU."""
    box_iou = importlib.import_module("torchvision.ops").box_iou
    matched, strict, total, tightness = 0, 0, 0, 0.0
    for p, t in zip(preds, target, strict=True):
        iou = box_iou(p, t)
        rows, columns = linear_sum_assignment(iou.numpy(), maximize=True)
        assigned = iou[rows, columns]
        matched += int((assigned >= 0.5).sum())
        strict += int((assigned >= 0.75).sum())
        tightness += float(assigned.sum())
        total += len(p) + len(t)
    return 2 * matched / total


def _detections(boxes: Boxes, scores: bool) -> list[dict[str, torch.Tensor]]:
    return [
        {"boxes": one, "labels": torch.zeros(len(one), dtype=torch.long)}
        | ({"scores": torch.ones(len(one))} if scores else {})
        for one in boxes
    ]


def torchmetrics_iou(preds: Boxes, target: Boxes) -> float:
    """torchmetrics' mean IoU of all pairs: it matches nothing."""
    metric = importlib.import_module("torchmetrics.detection").IntersectionOverUnion()
    for start in range(0, len(preds), 16):
        part = slice(start, start + 16)
        metric.update(_detections(preds[part], True), _detections(target[part], False))
    return float(metric.compute()["iou"])


def torchmetrics_map(preds: Boxes, target: Boxes) -> float:
    """torchmetrics' mean average precision with its C++ backend."""
    detection = importlib.import_module("torchmetrics.detection")
    metric = detection.MeanAveragePrecision(backend="faster_coco_eval")
    for start in range(0, len(preds), 16):
        part = slice(start, start + 16)
        metric.update(_detections(preds[part], True), _detections(target[part], False))
    return float(metric.compute()["map_50"])


def supervision_f1(preds: Boxes, target: Boxes) -> float:
    """supervision's F1 at 0.50, greedy by score."""
    supervision = importlib.import_module("supervision")
    metric = importlib.import_module("supervision.metrics").F1Score()

    def detections(boxes: torch.Tensor) -> Any:
        n = len(boxes)
        return supervision.Detections(
            boxes.numpy(), class_id=np.zeros(n, dtype=int), confidence=np.ones(n)
        )

    for start in range(0, len(preds), 16):
        part = slice(start, start + 16)
        metric.update(*[[detections(one) for one in side[part]] for side in (preds, target)])
    return float(metric.compute().f1_50)


PEERS: dict[str, Callable[[Boxes, Boxes], float]] = {
    "numpy + scipy loop": numpy_loop,
    "torchvision + scipy loop": torchvision_loop,
    "torchmetrics IoU (no matching)": torchmetrics_iou,
    "torchmetrics mAP (faster_coco_eval)": torchmetrics_map,
    "supervision F1": supervision_f1,
}
SAME_VALUE = ("numpy + scipy loop", "torchvision + scipy loop")
"""Those that compute our F1; the others' values are of another definition."""


def _allow_other_builds() -> None:
    """Let a torchvision built for another torch be imported: its Python functions are what is used."""
    global _library
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        _library = Library("torchvision", "DEF")
        for operator in _OPERATORS.split():
            _library.define(f"{operator}(Tensor x) -> Tensor")
    except ImportError:
        return


def main() -> None:
    torch.set_num_threads(1)
    _allow_other_builds()
    arrays = samples.scenes(sys.argv[1], int(sys.argv[2]))
    preds, target = ([torch.from_numpy(boxes) for boxes in side] for side in arrays)
    if len(sys.argv) > 3:
        peer = PEERS[sys.argv[3]]
        peer(preds[:8], target[:8])
        before = peak_kib()
        peer(preds, target)
        print(round((peak_kib() - before) / 1024, 1))
        return
    for line in sys.stdin:
        try:
            run = timed(partial(PEERS[line.strip()], preds, target))
            answer = {"seconds": run.seconds, "value": run.value}
        except Exception as error:  # noqa: BLE001  what is missing is to be said
            answer = {"missing": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
