"""What every metric of this package must do, whatever it measures.

`check` runs in one process. `distributed_values` runs in each of several: the tests spawn real
processes and compare their values, bit for bit, with one process's.
"""

import copy
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchmetrics import MetricCollection
from torchmetrics.wrappers import MetricTracker

from lightning_vlmeval.metrics.table_metric import TableMetric


@dataclass(frozen=True)
class Case:
    """A metric and samples for it; `extra` holds keyword arguments of `update`, one a sample."""

    name: str
    make: Callable[[], TableMetric]
    preds: Sequence[Any]
    target: Sequence[Any]
    extra: dict[str, Sequence[Any]]

    def feed(self, metric: TableMetric, positions: Sequence[int], batch: int = 2) -> TableMetric:
        """Update the metric with the samples at these positions."""
        for start in range(0, len(positions), batch):
            chosen = positions[start : start + batch]
            metric.update(
                [self.preds[i] for i in chosen],
                [self.target[i] for i in chosen],
                ids=[f"s{i}" for i in chosen],
                **{key: [values[i] for i in chosen] for key, values in self.extra.items()},
            )
        return metric

    def whole(self, batch: int = 2) -> TableMetric:
        return self.feed(self.make(), range(len(self.preds)), batch)


def hexed(value: Any) -> dict[str, str]:
    """Values to the last bit."""
    if isinstance(value, torch.Tensor):
        value = {"value": value}
    for one in value.values():
        assert one.dtype == torch.float64
        assert one.ndim == 0
    return {key: float(one).hex() for key, one in value.items()}


def check(case: Case) -> None:
    """Everything that one process can show."""
    want = hexed(case.whole().compute())
    assert any(value != "nan" for value in want.values()), "the samples must give a value"
    _check_values(case, want)
    _check_copies(case, want)
    _check_torchmetrics(case, want)


def _check_values(case: Case, want: dict[str, str]) -> None:
    n = len(case.preds)
    metric = case.whole()
    assert hexed(metric.compute()) == want, "compute is idempotent"
    assert hexed(case.whole(batch=1).compute()) == want
    assert hexed(case.whole(batch=n).compute()) == want
    assert hexed(case.feed(case.make(), list(range(n))[::-1]).compute()) == want, "order"
    table = metric.table()
    assert table.ids == tuple(f"s{i}" for i in range(n))
    assert table.rows.shape == (n, len(table.columns))
    assert table.rows.dtype == np.float64
    assert np.isfinite(table.rows).all()
    for scores in metric.sample_scores().values():
        assert scores.shape == (n,)
        assert scores.dtype == torch.float64
    assert metric.signature() == case.make().signature()
    if metric.view is None:
        assert set(metric.compute()) == set(metric.scorer.keys)
        for key, value in metric.compute().items():
            counts = key in metric.scorer.counts
            if key not in metric.scorer.unbounded and not counts and not torch.isnan(value):
                assert 0 <= value <= 1, key
    unnamed = case.make()
    for _ in range(2):  # the same samples again are other samples where they have no ids
        unnamed.update(
            case.preds, case.target, **{key: list(values) for key, values in case.extra.items()}
        )
    assert len(set(unnamed.table().ids)) == 2 * n
    metric.reset()
    assert len(metric.table()) == 0
    assert hexed(case.feed(metric, range(n)).compute()) == want, "usable after reset, ids forgotten"


def _check_copies(case: Case, want: dict[str, str]) -> None:
    n = len(case.preds)
    for cut in range(n + 1):  # an empty part included
        left = case.feed(case.make(), range(cut))
        right = case.feed(case.make(), range(cut, n))
        left.merge_state(right)
        assert hexed(left.compute()) == want, cut
    overlapping = case.feed(case.make(), range(n - 1))
    overlapping.merge_state(case.feed(case.make(), range(1, n)))
    assert hexed(overlapping.compute()) == want, "an id in both counts once"
    for copied in (pickle.loads(pickle.dumps(case.whole())), case.whole().clone()):
        assert hexed(copied.compute()) == want
        assert copied.state_dict() == {}
    half = case.feed(case.make(), range(n // 2))
    clone = copy.deepcopy(half)
    case.feed(clone, range(n // 2, n))
    assert hexed(clone.compute()) == want
    assert len(half.table()) == n // 2, "a copy shares no state"
    half.persistent(True)
    loaded = case.make()
    loaded.persistent(True)
    loaded.load_state_dict(half.state_dict())
    assert hexed(case.feed(loaded, range(n // 2, n)).compute()) == want
    loaded.to(torch.float16).to("cpu").half()
    assert hexed(loaded.compute()) == want, "rows stay float64"


def _check_torchmetrics(case: Case, want: dict[str, str]) -> None:
    n = len(case.preds)
    metric = case.make()
    for i in range(n):
        one = {key: [values[i]] for key, values in case.extra.items()}
        value = metric([case.preds[i]], [case.target[i]], [f"s{i}"], **one)
        alone = case.feed(case.make(), [i])
        assert hexed(value) == hexed(alone.compute()), "forward gives the batch's value"
    assert hexed(metric.compute()) == want
    stepping = case.make()
    stepping.dist_sync_on_step = True
    for i in range(n):
        one = {key: [values[i]] for key, values in case.extra.items()}
        stepping([case.preds[i]], [case.target[i]], [f"s{i}"], **one)
    assert hexed(stepping.compute()) == want
    twins = MetricCollection({"a": case.make(), "b": case.make()})
    extra = {key: list(values) for key, values in case.extra.items()}
    for _ in range(2):
        twins.update(case.preds, case.target, **extra)
    assert len(twins.compute_groups) == 2, "never one compute group"
    assert all(len(one.table()) == 2 * n for one in twins.values())
    assert len(twins.clone().compute_groups) == 2
    tracker = MetricTracker(case.make(), maximize=True)
    for _ in range(2):
        tracker.increment()
        case.feed(tracker, range(n))
    everything = tracker.compute_all()
    assert all(
        len(v) == 2 for v in (everything.values() if isinstance(everything, dict) else [everything])
    )


def distributed_values(case: Case, positions: Sequence[int]) -> dict[str, Any]:
    """What one rank sees after it was given the samples at these positions."""
    metric = case.feed(case.make(), positions)
    values = hexed(metric.compute())
    metric.sync()
    synced = metric.table()
    metric.unsync()
    return {"values": values, "ids": synced.ids, "local": metric.table().ids}
