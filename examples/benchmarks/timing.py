"""Alternating rounds: the contenders' times, ratios and spread, and whether values are equal."""

import gc
import re
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Value = float | Sequence[float]


class Timed(NamedTuple):
    """One run: CPU seconds, and the value or values that came out."""

    seconds: float
    value: Value


def peak_kib() -> int:
    """The most memory that this process had. `getrusage` begins with its parent's peak on Linux."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def timed(function: Callable[[], Value]) -> Timed:
    """Run once, and measure this process's CPU time."""
    gc.collect()
    start = time.process_time()
    value = function()
    return Timed(time.process_time() - start, value)


def alternate(contenders: Mapping[str, Callable[[], Timed]], rounds: int) -> dict[str, list[Timed]]:
    """Every contender once a round, so that a busy machine is busy for all of them."""
    runs: dict[str, list[Timed]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            runs[name].append(run())
    return runs


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median, the least and the greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def microseconds(runs: Sequence[Timed], count: int) -> dict[str, float]:
    """Of one sample."""
    return spread([run.seconds * 1e6 / count for run in runs])


def ratios(ours: Sequence[Timed], theirs: Sequence[Timed]) -> dict[str, float]:
    """How many times faster ours is, round by round."""
    return spread([b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True)])


def difference(ours: Value, theirs: Value) -> float:
    """The largest difference of two values or lists of values."""
    one, other = ([v] if isinstance(v, float) else list(v) for v in (ours, theirs))
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def row(
    name: str, ours: Mapping[str, Sequence[Timed]], peer: str, theirs: Sequence[Timed], count: int
) -> dict[str, Any]:
    """A line of the table."""
    return {
        "metric": name,
        "peer": peer,
        "samples": count,
        "first_us": microseconds(ours["first"], count),
        "later_us": microseconds(ours["later"], count),
        "peer_us": microseconds(theirs, count),
        "first_ratio": ratios(ours["first"], theirs),
        "later_ratio": ratios(ours["later"], theirs),
        "difference": difference(ours["first"][0].value, theirs[0].value),
    }
