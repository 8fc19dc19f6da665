"""Batches are kept until rows are needed, and nobody can tell from the values."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.functional.rouge import ROUGEScorer
from lightning_vlmeval.metrics import BLEUScore, GroundingScore, ROUGEScore, table_metric
from lightning_vlmeval.metrics.table_metric import TableMetric, gather_tables
from lightning_vlmeval.session.evaluation import EvaluationSession
from lightning_vlmeval.session.outputs import Batch
from tests.metrics.cases import BOXES, FOUND, OverlapScorer


def fed(metric: TableMetric, batch: int = 2) -> TableMetric:
    for start in range(0, len(FOUND), batch):
        part = slice(start, start + batch)
        metric.update(FOUND[part], BOXES[part], [f"s{i}" for i in range(7)[part]])
    return metric


@pytest.mark.parametrize("most", [1, 3, 1024])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_rows_are_those_of_all_samples_at_once(
    monkeypatch: pytest.MonkeyPatch, most: int, batch: int
) -> None:
    monkeypatch.setattr(table_metric, "_MOST_PENDING", most)
    metric = fed(GroundingScore(), batch)
    expected = metric.scorer.rows(FOUND, BOXES)
    assert metric.table().rows.tobytes() == expected.tobytes()
    assert metric.table().ids == tuple(f"s{i}" for i in range(7))


def test_boxes_are_copied() -> None:
    """A caller may fill the same tensor with the next batch."""
    metric, box = GroundingScore(), torch.tensor([[0.0, 0, 10, 10]])
    metric.update([box], [box])
    box += 5
    metric.update([torch.tensor([[0.0, 0, 10, 10]])], [box])
    assert metric.compute()["tp"] == 1


def test_whatever_needs_the_state_finds_it_whole() -> None:
    metric = fed(GroundingScore())
    assert sum(len(piece) for piece in metric.rows) == 7
    metric = fed(GroundingScore())
    metric.persistent(True)
    assert sum(len(piece) for piece in metric.state_dict()["rows"]) == 7
    assert len(pickle.loads(pickle.dumps(fed(GroundingScore()))).table()) == 7


def test_a_state_that_is_loaded_replaces_what_was_kept() -> None:
    source, metric = fed(GroundingScore()), GroundingScore()
    metric.update([[]], [[]], ["old"])
    for one in (source, metric):
        one.persistent(True)
    metric.load_state_dict(source.state_dict())
    assert metric.table().ids == source.table().ids
    metric.update([[]], [[]], ["old"])  # no longer known
    with pytest.raises(InputError, match="'s3' again"):
        metric.update([[]], [[]], ["s3"])


@dataclass(frozen=True)
class FailingScorer(OverlapScorer):
    """Reads every batch, and cannot score it."""

    def collect(self, preds: Any, target: Any, **_: Any) -> Any:
        return preds, target

    def tabulate_collected(self, batches: Any) -> Any:
        raise ConfigurationError("no such encoder")


def test_scoring_that_fails_fails_again_and_gives_no_value() -> None:
    metric = TableMetric(FailingScorer())
    metric.update(["a"], ["a"], ["x"])
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="no such encoder"):
            metric.compute()
    metric.reset()
    assert len(metric.table()) == 0


def test_scoring_that_fails_in_an_evaluation_is_a_failure_of_that_metric() -> None:
    session = EvaluationSession({"failing": TableMetric(FailingScorer()), "bleu": BLEUScore()})
    session.update(Batch(["a b c d"], ["a b c d"]), ["x"], strict=True)
    evaluation = session.compute()
    assert evaluation.failures == {"failing": "ConfigurationError: no such encoder"}
    assert evaluation.scores == {"text/bleu": pytest.approx(1)}
    session.reset()
    session.update(Batch(["a b c d"], ["a b c d"]), ["x"])


def test_ids_that_metrics_share_travel_once() -> None:
    ids = [f"a-rather-long-name-of-a-sample-{i:05d}" for i in range(200)]
    metrics = [BLEUScore(), ROUGEScore(), BLEUScore(lowercase=True)]
    for metric in metrics:
        metric.update(["a b"] * 200, ["a c"] * 200, ids)
    sent: list[bytes] = []

    def gather(data: bytes, group: Any = None) -> list[bytes]:
        sent.append(data)
        return [data, data]

    _, tables = gather_tables(metrics, gather=gather)
    assert len(sent) == 1
    assert sent[0].count(ids[7].encode()) == 1
    for metric, table in zip(metrics, tables, strict=True):
        assert table.ids == tuple(ids)
        assert np.array_equal(table.rows, metric.table().rows)


def test_metrics_of_unlike_samples_keep_their_own_ids() -> None:
    one, other = BLEUScore(), ROUGEScore()
    one.update(["a", "b"], ["a", "b"], ["y", "x"], groups=["g", "h"])
    other.update(["a"], ["a"], ["z"])
    _, tables = gather_tables([one, other])
    assert [table.ids for table in tables] == [("x", "y"), ("z",)]
    assert [table.groups for table in tables] == [("h", "g"), ("",)]


def test_equal_samples_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    preds = ["a cat", "a cat", "no", "a cat", "no"]
    target: list[Any] = ["the cat", ["the cat"], "no", ["the cat", "a cat"], "yes"]
    expected = ROUGEScorer().rows(preds, target)
    scored: list[int] = []
    rows = ROUGEScorer.rows
    monkeypatch.setattr(
        ROUGEScorer,
        "rows",
        lambda self, preds, target: scored.append(len(preds)) or rows(self, preds, target),
    )
    metric = ROUGEScore()
    for start in (0, 2, 4):
        metric.update(preds[start : start + 2], target[start : start + 2])
    assert metric.table().rows.tobytes() == expected.tobytes()
    assert scored == [4]
