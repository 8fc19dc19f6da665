"""Every metric through the one harness, and through real processes."""

from typing import Any

import pytest
import torch
from torchmetrics import Metric

from lightning_vlmeval.errors import InputError
from lightning_vlmeval.metrics.gathering import pack, unpack
from lightning_vlmeval.metrics.table_metric import TableMetric, gather_tables
from tests.metrics.cases import CASES, OverlapScorer
from tests.metrics.conformance import Case, check, distributed_values, hexed
from tests.processes import spawn

BY_NAME = {case.name: case for case in CASES}

# How n samples may lie on the ranks: the sampler's padding repeats the first ones at the end.
SPLITS = {
    "even": lambda n, world: [list(range(rank, n, world)) for rank in range(world)],
    "padded": lambda n, world: [
        [i % n for i in range(rank, -(-n // world) * world, world)] for rank in range(world)
    ],
    "uneven": lambda n, world: [list(range(n - 1)), [n - 1], *[[] for _ in range(world - 2)]],
    "one empty": lambda n, world: [[], list(range(n)), *[[] for _ in range(world - 2)]],
    "all on each": lambda n, world: [list(range(n)) for _ in range(world)],
    "nothing": lambda n, world: [[] for _ in range(world)],
}


@pytest.mark.parametrize("name", BY_NAME)
def test_conforms(name: str) -> None:
    check(BY_NAME[name])


def _all_cases(rank: int, world: int) -> dict[tuple[str, str], Any]:
    return {
        (case.name, split): distributed_values(case, positions(len(case.preds), world)[rank])
        for case in CASES
        for split, positions in SPLITS.items()
    }


@pytest.fixture(scope="module", params=[2, 3], ids="{} ranks".format)
def by_rank(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return spawn(_all_cases, request.param, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", BY_NAME)
def test_ranks_agree_with_one_process_to_the_bit(by_rank: list[Any], name: str, split: str) -> None:
    case = BY_NAME[name]
    n = 0 if split == "nothing" else len(case.preds)
    want = hexed(case.feed(case.make(), range(n))._values(case.feed(case.make(), range(n)).table()))
    for rank, results in enumerate(by_rank):
        seen = results[name, split]
        assert seen["values"] == want
        assert seen["ids"] == tuple(sorted(f"s{i}" for i in range(n)))
        positions = SPLITS[split](len(case.preds), len(by_rank))[rank]
        assert seen["local"] == tuple(f"s{i}" for i in positions), "unsync restores the rank's own"


class _Wrong(Metric):
    """A metric of the kind that must fail: it counts what the sampler repeats."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Any, target: Any, ids: Any) -> None:
        self.total += len(preds)

    def compute(self) -> torch.Tensor:
        return self.total


def _wrong(rank: int, world: int) -> dict[str, str]:
    case = Case("wrong", _Wrong, ["a", "b", "c"], ["a", "b", "c"], {})
    return hexed(case.feed(_Wrong(), SPLITS["padded"](3, world)[rank]).compute())


def test_the_test_can_fail(tmp_path: Any) -> None:
    for values in spawn(_wrong, 2, tmp_path):
        assert values["value"] == (4.0).hex(), "three samples, one of them repeated by the sampler"


def test_packed_buffers_are_cut_where_they_were_joined() -> None:
    items = [b"", b"a", b"\0\1", "größe 猫".encode()]
    assert list(unpack(pack(items))) == items
    assert list(unpack(pack([]))) == []


def test_ranks_with_unlike_metrics_are_told(tmp_path: Any) -> None:
    for message in spawn(_unlike, 2, tmp_path):
        assert "Expected every rank to hold the same metrics" in message


def test_ranks_with_more_metrics_than_others_are_told(tmp_path: Any) -> None:
    messages = spawn(_more, 2, tmp_path)
    start = "Expected every rank to hold the same metrics in the same order, but got "
    assert messages == [
        f"{start}1 metrics here and 2 on rank 1",
        f"{start}2 metrics here and 1 on rank 0",
    ]


def _more(rank: int, world: int) -> str:
    try:
        gather_tables([TableMetric(OverlapScorer()) for _ in range(1 + rank)])
    except InputError as error:
        return str(error)
    return "no error"


def _unlike(rank: int, world: int) -> str:
    from dataclasses import dataclass  # noqa: PLC0415  defined in the process that needs it

    @dataclass(frozen=True)
    class Named(OverlapScorer):
        name = f"overlap{rank}"

    metric = TableMetric(Named())
    metric.update(["a"], ["a"], ["x"])
    try:
        metric.compute()
    except ValueError as error:
        return str(error)
    return "no error"
