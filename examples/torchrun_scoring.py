"""A large file of answers, scored by several processes, each of which reads its own lines of it.

    torchrun --nproc-per-node 4 examples/torchrun_scoring.py answers.jsonl

A line holds `id`, `prediction` and `reference` (a text, or several). It prints the same values, to
the last bit, as `lightning-vlmeval score answers.jsonl --task vqa --metrics bleu,answers,health`,
which one process makes. Without torchrun it is that one process.
"""

import argparse
import itertools
import json
import os
from collections.abc import Iterator
from typing import Any

import torch.distributed as dist

from lightning_vlmeval.keys import metric_key
from lightning_vlmeval.metrics import AnswerScore, BLEUScore, OutputHealth

CHUNK = 1000  # lines in memory at once


def chunks(path: str, rank: int, world: int) -> Iterator[list[dict[str, Any]]]:
    """Every `world`-th line of the file, from line `rank` on."""
    with open(path, encoding="utf-8") as file:
        lines = itertools.islice((line for line in file if line.strip()), rank, None, world)
        while chunk := [json.loads(line) for line in itertools.islice(lines, CHUNK)]:
            yield chunk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    path = parser.parse_args().file
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        dist.init_process_group("gloo")
    metrics = {
        metric.scorer.name: metric for metric in (BLEUScore(), AnswerScore(), OutputHealth())
    }
    for rows in chunks(path, rank, world):
        for metric in metrics.values():
            metric.update(
                [row["prediction"] for row in rows],
                [row["reference"] for row in rows],
                [str(row["id"]) for row in rows],
            )
    # Every rank computes, for the ranks' rows are gathered; one of them prints.
    found = {
        metric_key(name, key): float(value)
        for name, metric in metrics.items()
        for key, value in metric.compute().items()
    }
    if rank == 0:
        print(json.dumps(found, indent=1))
    if world > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
