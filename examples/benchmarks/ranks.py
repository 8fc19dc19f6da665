"""What it costs to bring the rows of two processes together, beside torchmetrics' own states.

    python examples/benchmarks/ranks.py [--rows 1000 10000] [--rounds 7]

Two processes over gloo on this machine. Ours: the tables of all default metrics of visual question
answering in one gather, with the ids. torchmetrics: the sync of `ROUGEScore` after 100 samples, and
of `BERTScore`'s token ids.
"""

import argparse
import json
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import samples
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torchmetrics.text import BERTScore as TheirBERTScore
from torchmetrics.text.rouge import ROUGEScore as TheirROUGEScore

from lightning_vlmeval.errors import MissingExtraError
from lightning_vlmeval.functional.encoder import find_encoder
from lightning_vlmeval.metrics import (
    AnswerScore,
    BERTScore,
    BLEUScore,
    METEORScore,
    OutputHealth,
    ROUGEScore,
)
from lightning_vlmeval.metrics.table_bytes import pack_keys
from lightning_vlmeval.metrics.table_metric import TableMetric, gather_tables
from lightning_vlmeval.table import Table

_SMALL = 100  # samples of torchmetrics' ROUGEScore, whose sync takes seconds at 300


def default_metrics() -> list[TableMetric]:
    """Those of visual question answering that can be made here."""
    made: list[TableMetric] = []
    for make in (BLEUScore, ROUGEScore, AnswerScore, OutputHealth, METEORScore, BERTScore):
        try:
            made.append(make())
        except MissingExtraError:
            continue
    return made


def filled(count: int, rank: int) -> list[TableMetric]:
    """The metrics with made-up rows, as after `count` samples."""
    rng = np.random.default_rng(rank)
    ids = tuple(f"sample-{rank}-{i:07d}" for i in range(count))
    metrics = default_metrics()
    for metric in metrics:
        columns = metric.scorer.columns
        table = Table(columns, ids, rng.random((count, len(columns))))
        metric.rows = [torch.from_numpy(table.rows)]
        metric.keys = [torch.frombuffer(bytearray(pack_keys(table)), dtype=torch.uint8)]
    return metrics


def _median_ms(function: Callable[[], Any], rounds: int) -> list[float]:
    times = []
    for _ in range(rounds + 1):
        dist.barrier()
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(times[1:]), min(times[1:]), max(times[1:])]


def _collectives(function: Callable[[], Any]) -> int:
    """How many times the ranks meet."""
    count, original = 0, dist.all_gather

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return original(*args, **kwargs)

    dist.all_gather = counted
    try:
        function()
    finally:
        dist.all_gather = original
    return count


def _synced(metric: Any) -> Callable[[], None]:
    def sync() -> None:
        metric.sync()
        metric.unsync()

    return sync


def _peers(rounds: int, rows: Sequence[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    preds, target = samples.texts("captions", _SMALL)
    # Its rougeLsum needs data of NLTK that pip does not install.
    rouge = TheirROUGEScore(rouge_keys=("rouge1", "rouge2", "rougeL"))
    rouge.update(preds, target)
    found[f"torchmetrics ROUGEScore, {_SMALL} samples a rank"] = _median_ms(_synced(rouge), 3)
    encoder = find_encoder()
    if encoder is not None:
        count = min(rows)
        bert = TheirBERTScore(encoder, num_layers=6)
        bert.update(*samples.texts("captions", count))
        found[f"torchmetrics BERTScore, {count} samples a rank"] = _median_ms(_synced(bert), rounds)
    return found


def _rank(rank: int, port: int, rows: Sequence[int], rounds: int, output: str) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"  # as a launcher has them meet
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    found: dict[str, Any] = {}
    for count in rows:
        metrics = filled(count, rank)
        found[f"ours, {len(metrics)} metrics, {count} rows a rank"] = _median_ms(
            lambda metrics=metrics: gather_tables(metrics), rounds
        )
    found["collectives"] = _collectives(lambda: gather_tables(metrics))
    found["bytes a row"] = sum(len(b"".join(s[2:])) for s in [metrics[0].share()]) / rows[-1]
    found |= _peers(rounds, rows)
    if rank == 0:
        Path(output).write_text(json.dumps(found), encoding="utf-8")
    dist.destroy_process_group()


def measure(rows: Sequence[int], rounds: int) -> dict[str, Any]:
    """Milliseconds as [median, min, max], and the number of collectives."""
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/found.json"
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        mp.spawn(_rank, (port, list(rows), rounds, output), nprocs=2)
        return json.loads(Path(output).read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    for name, value in measure(args.rows, args.rounds).items():
        print(
            f"{name:<55}{value if isinstance(value, (int, float)) else [round(v, 1) for v in value]}"
        )


if __name__ == "__main__":
    main()
