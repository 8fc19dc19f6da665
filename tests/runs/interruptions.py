"""Ends a process that writes an evaluation at every single step, and looks at what it left.

    python -m tests.runs.interruptions

prints how many steps there were, and at which of them something was torn or lost.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.runs.record import run_record
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import RunStore
from tests.runs.kills import evaluation, torn_files

_ENDED = 9


class _Steps:
    """Counts the steps of all writing in this process, and ends it at one of them."""

    def __init__(self, last: int) -> None:
        self._left = last

    def step(self) -> None:
        if self._left == 0:
            os._exit(_ENDED)
        self._left -= 1

    def install(self) -> None:
        """Count before and after each call that changes a file, and in the middle of its bytes."""
        os.fsync = self._around(os.fsync)
        for name in ("replace", "unlink"):
            setattr(Path, name, self._around(getattr(Path, name)))
        opened = Path.open

        def open_file(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if mode not in {"xb", "wb"}:
                return opened(path, mode, *args, **kwargs)
            self.step()
            return _Halved(opened(path, mode, *args, **kwargs), self.step)

        Path.open = open_file  # type: ignore[method-assign, assignment]

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = call(*args, **kwargs)
            self.step()
            return result

        return counted


class _Halved:
    """A file whose bytes are written in two halves."""

    def __init__(self, file: Any, step: Callable[[], None]) -> None:
        self._file, self._step = file, step

    def write(self, data: bytes) -> None:
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            self._step()
            self._file.write(part)
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Halved":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def write_evaluation(folder: Path, index: int, last_step: int | None = None) -> int:
    """Write it in a process of its own; its exit code."""
    child = os.fork()
    if child == 0:
        if last_step is not None:
            _Steps(last_step).install()
        store = RunStore(folder, run_record("ended", [], {"grounding": GroundingScorer()}))
        store.write({"index": index, "step": index, "values": {}}, evaluation(index))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def faults_of(folder: Path, finished: int) -> list[str]:
    """What is wrong with a run that has at least this many evaluations."""
    run = Run(folder)
    faults = torn_files(folder, 0)[1]
    if len(run.indices) < finished:
        faults.append(f"{finished - len(run.indices)} lost")
    for position in range(len(run.indices)):
        samples = run.samples(position)
        if len(samples) != 60 or not all("target" in sample for sample in samples):
            faults.append(f"evaluation {position} is not whole")
    return faults


def interrupt_everywhere() -> dict[str, Any]:
    """End the writer of a resumed run's evaluation at each step; then go on with the run."""
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        before = Path(place) / "before"
        for index in (0, 1):
            if write_evaluation(before, index):
                raise RuntimeError("the writer failed")
        step, code = 0, _ENDED
        while code == _ENDED:
            folder = Path(place) / f"ended{step}"
            shutil.copytree(before, folder)
            code = write_evaluation(folder, 2, step)
            faults += [f"step {step}: {fault}" for fault in faults_of(folder, 2)]
            write_evaluation(folder, 2)
            faults += [f"after step {step}: {fault}" for fault in faults_of(folder, 3)]
            faults += [f"after step {step}: {path} is left" for path in folder.rglob("*.tmp")]
            step += 1
        if code:
            raise RuntimeError("the writer failed")
    return {"steps": step - 1, "faults": faults}


if __name__ == "__main__":
    print(json.dumps(interrupt_everywhere()))
