"""Runs to read: boxes that get better from one evaluation to the next."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.keys import log_key, metric_key
from lightning_vlmeval.runs.record import fingerprint, run_record
from lightning_vlmeval.runs.store import RunStore

BOX = [0.0, 0.0, 10.0, 10.0]


def shifted(by: float) -> list[list[float]]:
    return [[by, 0.0, 10.0 + by, 10.0]]


def grounding_samples(
    scorer: Scorer, shifts: Sequence[float], loader: str = "", first: int = 0
) -> list[dict[str, Any]]:
    """A sample for each shift of the predicted box against the annotated one."""
    preds = [shifted(by) for by in shifts]
    rows = scorer.rows(preds, [[BOX]] * len(shifts))
    scores = scorer.from_sums(rows)
    return [
        {
            "id": f"scene-{first + i:04d}",
            "loader": loader,
            "task": "phrase_grounding",
            "prompt": "find it",
            "target": {"boxes": [BOX], "labels": [""]},
            "group": f"image-{(first + i) // 2}",
            "size": [100, 80],
            "prediction": f"answer {i}",
            "boxes": preds[i],
            "labels": [""],
            "scores": {
                metric_key(scorer.name, key): scores[key][i] for key in ("f1", "iou", "mean_iou")
            },
            "rows": {scorer.name: rows[i]},
            "loss": 0.1 * (1 + shifts[i]),
        }
        for i in range(len(shifts))
    ]


def summary_of(
    scorer: Scorer, samples: Sequence[Mapping[str, Any]], index: int, **more: Any
) -> dict[str, Any]:
    loaders = list(dict.fromkeys(sample["loader"] for sample in samples))
    values, prints = {}, {}
    for loader in loaders:
        mine = [sample for sample in samples if sample["loader"] == loader]
        sums = np.sum([sample["rows"][scorer.name] for sample in mine], axis=0)
        for key, value in scorer.from_sums(sums).items():
            values[log_key("val", metric_key(scorer.name, key), loader or None)] = float(value)
        prints[loader] = fingerprint([one["id"] for one in mine], [one["target"] for one in mine])
    return {
        "index": index,
        "step": 10 * index,
        "epoch": index,
        "time": "2026-11-25T23:00:00+00:00",
        "train_loss": None,
        "val_loss": 1.0 / (1 + index),
        "values": values,
        "accounting": {loader: f"{len(samples)} samples" for loader in loaders},
        "fingerprint": prints,
        "verdict": {"state": "ok", "severity": 0.0},
        **more,
    }


def grounding_run(
    folder: Path,
    evaluations: Sequence[Sequence[float]] = ((8, 6, 5, 4), (2, 1, 6, 0)),
    *,
    name: str = "first",
    scorer: GroundingScorer | None = None,
    model: str = "Tiny",
    loaders: Sequence[str] = ("",),
) -> Path:
    """Write a run of which each evaluation has these shifts; returns its folder."""
    scorer = scorer or GroundingScorer()
    record = run_record(
        name, ["phrase_grounding"], {"grounding": scorer}, model=model, parameters=10
    )
    store = RunStore(folder / "vlmeval", record)
    for index, shifts in enumerate(evaluations):
        samples = [one for loader in loaders for one in grounding_samples(scorer, shifts, loader)]
        store.write(summary_of(scorer, samples, index), samples)
    return folder / "vlmeval"
