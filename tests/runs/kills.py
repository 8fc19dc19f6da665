"""Kills a process that writes evaluations, at random times, and looks at what it left.

    python -m tests.runs.kills 1000

prints the kills, the evaluations that the writers had finished, those of them that are lost, the
files, those of them that are torn, and the half-written files that no reader looks at.
"""

import io
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.runs.files import StoreError, read_object, read_objects
from lightning_vlmeval.runs.images import thumbnail
from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import RunStore
from tests.runs.made_runs import grounding_samples

_PER_RUN = 25  # kills of one run; then another begins
_LONGEST = 0.2  # seconds until a kill
_SCORER = GroundingScorer()
_SAMPLES = grounding_samples(_SCORER, np.linspace(0, 9, 60).tolist())


def evaluation(index: int) -> list[dict[str, Any]]:
    """Samples, some of them and their pictures new in each evaluation."""
    samples = [{**sample, "id": f"scene-{20 * index + i:06d}"} for i, sample in enumerate(_SAMPLES)]
    for number, sample in enumerate(samples[-3:]):
        seed = 3 * index + number
        sample["image"] = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)
    return samples


def whole_evaluations(folder: Path) -> list[int]:
    """The evaluations there are; none before the record is there."""
    return Run(folder).indices if (folder / "run.json").exists() else []


def write_for_ever(folder: Path, pipe: int) -> NoReturn:
    """Go on with a run, and tell the number of each evaluation that is finished."""
    store = RunStore(folder, run_record("killed", [], {"grounding": _SCORER}), max_images=10**6)
    index = len(whole_evaluations(folder))
    os.write(pipe, b"begun\n")
    while True:
        store.write({"index": index, "step": index, "values": {}}, evaluation(index))
        os.write(pipe, b"%d\n" % index)
        index += 1


def killed_writer(folder: Path, delay: float) -> list[int]:
    """The evaluations that a writer finished before it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        write_for_ever(folder, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        told.readline()
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [int(line) for line in told.read().split(b"\n") if line]


def torn_files(folder: Path, first: int) -> tuple[int, list[str]]:
    """How many files there are, of evaluations from this one on, and those that cannot be read."""
    count, torn = 0, []
    for path in folder.rglob("*"):
        number = re.match(r"[0-9]{9}\.", path.name)
        if not path.is_file() or path.suffix == ".tmp" or (number and int(number[0][:-1]) < first):
            continue
        count += 1
        try:
            if path.suffix == ".gz":
                assert len(list(read_objects(path))) >= 20
            elif path.suffix == ".json":
                assert read_object(path)
            else:
                Image.open(io.BytesIO(path.read_bytes())).load()
        except (StoreError, OSError, AssertionError) as error:
            torn.append(f"{path}: {error}")
    return count, torn


def run_kills(kills: int, seed: int) -> dict[str, Any]:
    """Kill that many writers, and count."""
    rng = random.Random(seed)
    thumbnail(np.zeros((8, 8, 3), np.uint8))  # loads Pillow, for all children
    found: dict[str, Any] = {"kills": kills, "finished": 0, "lost": 0, "files": 0, "torn": []}
    found["half written"] = 0
    with tempfile.TemporaryDirectory() as place:
        for kill in range(kills):
            folder = Path(place) / str(kill // _PER_RUN) / "vlmeval"
            there = len(whole_evaluations(folder))
            finished = killed_writer(folder, rng.uniform(0, _LONGEST))
            _, torn = torn_files(folder, there)
            found["torn"] += torn
            whole = whole_evaluations(folder)
            found["finished"] += len(finished)
            found["lost"] += len(set(range(there)) - set(whole)) + len(set(finished) - set(whole))
            found["half written"] += len(list(folder.rglob("*.tmp")))
        for folder in Path(place).glob("*/vlmeval"):
            count, torn = torn_files(folder, 0)
            found["files"] += count
            found["torn"] += torn
            for index in range(len(whole_evaluations(folder))):
                samples = Run(folder).samples(index)
                found["lost"] += len(samples) != 60 or not all("target" in one for one in samples)
    return found


if __name__ == "__main__":
    print(json.dumps(run_kills(int(sys.argv[1]), seed=int((sys.argv[2:] or ["0"])[0]))))
