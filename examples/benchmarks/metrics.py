"""What metrics cost beside their originals, measured alternately in one process on one thread.

    python examples/benchmarks/metrics.py [--samples 1000] [--rounds 5] [--json FILE]

For each metric: time a sample through `update` (batches of 16) and `compute`, at the first evaluation
and at a later one with the same references; the original's time; how many times faster; whether the
values are equal. The texts and boxes are made up, with a fixed seed. A peer that is not installed is
said to be missing.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jsonschema
import numpy as np
import sacrebleu
import torch
from rouge_score import rouge_scorer
from scipy.optimize import linear_sum_assignment

from lightning_vlmeval.errors import MissingExtraError
from lightning_vlmeval.functional.schema import Schema
from lightning_vlmeval.metrics import (
    BLEUScore,
    GroundingScore,
    METEORScore,
    ROUGEScore,
    StructuredOutputScore,
)
from lightning_vlmeval.metrics.table_metric import TableMetric

Value = float
TEXT = """a the red blue green car truck dog cat man woman street field stands runs rides holds small
large wooden old young behind near under two three people table window door tree house"""


def captions(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(6, 16, count)
    return [" ".join(rng.choice(TEXT.split(), n)).capitalize() + "." for n in lengths]


def scenes(count: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """About five boxes an image, and predictions near most of them."""
    rng = np.random.default_rng(0)
    target, preds = [], []
    for n in rng.integers(2, 9, count):
        corner = rng.uniform(0, 400, (n, 2))
        boxes = np.hstack([corner, corner + rng.uniform(20, 150, (n, 2))])
        kept = boxes[rng.random(n) < 0.9]
        moved = kept + rng.normal(0, 6, kept.shape)
        extra = rng.random((rng.integers(0, 2), 4)) * 400
        target.append(torch.tensor(boxes))
        preds.append(
            torch.tensor(np.vstack([moved, np.sort(extra.reshape(-1, 2, 2), 1).reshape(-1, 4)]))
        )
    return preds, target


SCHEMA = {
    "part": str,
    "passed": bool,
    "defects": [{"type": str, "place": str, "size_mm": float}],
    "note": str,
}


def documents(count: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Defect reports of about 300 characters as JSON, a third of them with a fault."""
    rng = np.random.default_rng(0)
    words = TEXT.split()
    preds, target = [], []
    for i in range(count):
        defects = [
            {"type": words[a], "place": f"{words[b]} {words[c]}", "size_mm": round(a / 7, 1)}
            for a, b, c in rng.integers(0, len(words), (rng.integers(2, 6), 3))
        ]
        note = " ".join(rng.choice(words, 10))
        record = {"part": f"A-{i}", "passed": bool(i % 2), "defects": defects, "note": note}
        text = json.dumps(record)
        faults = [
            text[:-40],
            f"```json\n{text}\n```",
            text[:-1] + ",}",
            json.dumps({**record, "passed": "yes", "defects": defects[::-1]}),
        ]
        preds.append(faults[i // 3 % 4] if i % 3 == 0 else text)
        target.append(record)
    return preds, target


def structured() -> TableMetric:
    return StructuredOutputScore(schema=SCHEMA, reading="strict")


def json_and_schema(preds: Sequence[str], target: Sequence[Any]) -> Value:
    """Less than ours does: the share of answers that parse and keep to the schema."""
    validator = jsonschema.Draft202012Validator(Schema(SCHEMA).plain)
    kept = 0
    for text in preds:
        try:
            value = json.loads(text)
        except ValueError:
            continue
        kept += not list(validator.iter_errors(value))
    return kept / len(preds)


def run(metric: TableMetric, preds: Sequence[Any], target: Sequence[Any], key: str) -> Value:
    for start in range(0, len(preds), 16):
        part = slice(start, start + 16)
        metric.update(preds[part], target[part], ids=range(start, start + len(preds[part])))
    value = float(metric.compute()[key])
    metric.reset()
    return value


def loop_f1(preds: Sequence[torch.Tensor], target: Sequence[torch.Tensor]) -> Value:
    """The plain way: for each image IoU by numpy, assignment by scipy, then the threshold."""
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


def rouge(preds: Sequence[str], target: Sequence[str]) -> Value:
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"])
    return statistics.fmean(
        scorer.score(t, p)["rougeL"].fmeasure for p, t in zip(preds, target, strict=True)
    )


def nltk_meteor() -> Callable[[Sequence[str], Sequence[str]], Value] | None:
    """NLTK's METEOR, where its own data is installed."""
    from nltk.corpus import wordnet  # noqa: PLC0415  it may be missing
    from nltk.translate.meteor_score import meteor_score  # noqa: PLC0415  nor is NLTK slow to import for others

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return None
    return lambda preds, target: statistics.fmean(
        meteor_score([t.split()], p.split()) for p, t in zip(preds, target, strict=True)
    )


def measured(function: Callable[[], Value]) -> tuple[float, Value]:
    start = time.process_time()
    value = function()
    return time.process_time() - start, value


def compare(
    name: str,
    make: Callable[[], TableMetric],
    key: str,
    peer: Callable[[Any, Any], Value] | None,
    data: tuple[Sequence[Any], Sequence[Any]],
    rounds: int,
) -> dict[str, Any]:
    """Median times in microseconds a sample, ours and the peer's by turns."""
    preds, target = data
    first, later, theirs, equal = [], [], [], True
    for _ in range(rounds):
        metric = make()
        seconds, value = measured(lambda metric=metric: run(metric, preds, target, key))
        first.append(seconds)
        later.append(measured(lambda metric=metric: run(metric, preds, target, key))[0])
        if peer is not None:
            seconds, expected = measured(lambda: peer(preds, target))
            theirs.append(seconds)
            equal &= abs(value - expected) <= 1e-12
    scale = 1e6 / len(preds)
    ours, warm = statistics.median(first) * scale, statistics.median(later) * scale
    row = {"metric": name, "first_us": ours, "later_us": warm, "total_s": statistics.median(first)}
    if peer is None:
        return {**row, "peer": "missing"}
    peer_us = statistics.median(theirs) * scale
    spread = (max(theirs) - min(theirs)) * scale
    return {
        **row,
        "peer_us": peer_us,
        "peer_spread_us": spread,
        "first_ratio": peer_us / ours,
        "later_ratio": peer_us / warm,
        "equal": equal,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="write the rows to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    texts = captions(args.samples, 1), captions(args.samples, 2)
    cases: list[tuple[Any, ...]] = [
        ("grounding / numpy + scipy loop", GroundingScore, "f1", loop_f1, scenes(args.samples)),
        (
            "BLEU / sacrebleu",
            BLEUScore,
            "bleu",
            lambda p, t: sacrebleu.corpus_bleu(p, [list(t)]).score / 100,
            texts,
        ),
        ("ROUGE / rouge-score", ROUGEScore, "rougeL_fmeasure", rouge, texts),
        (
            "structured / json + jsonschema",
            structured,
            "schema_adherence",
            json_and_schema,
            documents(args.samples),
        ),
    ]
    try:
        METEORScore()
    except MissingExtraError as error:
        print(f"METEOR is missing: {error}", file=sys.stderr)
    else:
        cases.append(("METEOR / NLTK", METEORScore, "meteor", nltk_meteor(), texts))
    rows = [compare(*case, rounds=args.rounds) for case in cases]
    print(f"{args.samples} samples; microseconds a sample, medians of {args.rounds}")
    print(
        f"{'metric / peer':<34}{'first':>8}{'later':>8}{'peer':>8}{'x first':>9}{'x later':>9}  equal"
    )
    for row in rows:
        peer = row.get("peer_us")
        tail = (
            f"{peer:8.1f}{row['first_ratio']:9.1f}{row['later_ratio']:9.1f}  {row['equal']}"
            if peer
            else "  missing"
        )
        print(f"{row['metric']:<34}{row['first_us']:8.1f}{row['later_us']:8.1f}{tail}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"samples": args.samples, "rows": rows}, file, indent=1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
