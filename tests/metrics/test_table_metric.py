"""What `update` refuses, and that nothing of a refused batch is kept."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from lightning_vlmeval.errors import InputError, InputTypeError
from lightning_vlmeval.metrics import BLEUScore, GroundingScore
from lightning_vlmeval.metrics.table_metric import TableMetric
from lightning_vlmeval.table import Table, exact_sums
from tests.metrics.cases import OverlapScorer


def metric() -> TableMetric:
    return TableMetric(OverlapScorer())


@pytest.mark.parametrize(
    ("update", "error", "message"),
    [
        ((["a"], ["a", "b"]), InputError, "the same length, but got 1 and 2"),
        (("a", ["a"]), InputTypeError, "Expected `preds` to be a list with one element"),
        ((["a"], "a"), InputTypeError, "Expected `target` to be a list with one element"),
        ((["a", None], ["a", "b"], ["x", "y"]), InputTypeError, "but got NoneType (sample 'y')"),
        ((["a", None], ["a", "b"]), InputTypeError, "(sample at position 1 of the batch)"),
        ((["a", 3], ["a", "b"], ["x", "y"]), InputTypeError, "but got int (sample 'y')"),
        ((["a"], [[]], ["x"]), InputError, "at least one reference, but got an empty list (sample"),
        ((["a"], [None], ["x"]), InputTypeError, "but got None (sample 'x')"),
        ((["a", "b"], ["a", "b"], ["x"]), InputError, "for each of 2 samples, but got 1"),
        ((["a", "b"], ["a", "b"], ["x", None]), InputError, "Expected `ids` without gaps"),
        ((["a", "b"], ["a", "b"], "xy"), InputTypeError, "but got str"),
        ((["a", "b"], ["a", "b"], ["x", "x"]), InputError, "but got 'x' again"),
        ((["a"], ["a"], ["seen"]), InputError, "but got 'seen' again"),
    ],
)
def test_what_is_refused(update: Any, error: type, message: str) -> None:
    one = metric()
    one.update(["a"], ["a"], ["seen"])
    with pytest.raises(error, match=re.escape(message)):
        one.update(*update)
    assert one.table().ids == ("seen",), "nothing of the batch is kept"


def test_a_metric_of_other_options_cannot_be_merged() -> None:
    one = BLEUScore()
    with pytest.raises(InputError, match="case: mixed and lc"):
        one.merge_state(BLEUScore(lowercase=True))


@pytest.mark.parametrize(
    "ids",
    [
        [7, 8],
        (7, 8),
        range(7, 9),
        torch.tensor([7, 8]),
        np.array([7, 8]),
        [np.int64(7), torch.tensor(8)],
    ],
    ids=["list", "tuple", "range", "tensor", "array", "scalars"],
)
def test_ids_of_any_kind_are_strings(ids: Any) -> None:
    one = metric()
    one.update(["a", "b"], ["a", "b"], ids)
    assert one.table().ids == ("7", "8")


def test_ids_are_any_text() -> None:
    one, names = metric(), ["größe 猫", "a/b\n", "\ud800", "\0", "x" * 10_000]
    one.update(["a"] * 5, ["a"] * 5, names)
    assert one.table().ids == tuple(names)


def test_groups_travel_with_the_rows() -> None:
    one = metric()
    one.update(["a", "b"], ["a", "b"], ["y", "x"], groups=["img1", "img2"])
    one.update(["a"], ["a"], ["z"])
    assert one.table().groups == ("img1", "img2", "")


def test_ids_seen_before_are_known_after_a_state_is_loaded() -> None:
    one, other = metric(), metric()
    one.update(["a"], ["a"], ["x"])
    for each in (one, other):
        each.persistent(True)
    other.load_state_dict(one.state_dict())
    with pytest.raises(InputError, match="'x' again"):
        other.update(["a"], ["a"], ["x"])


def test_an_evaluation_without_samples_is_undefined() -> None:
    scores = GroundingScore().compute()
    assert torch.isnan(scores["f1"])
    assert scores["tp"] == 0


def test_a_user_given_gather_is_used() -> None:
    def twice(tensor: torch.Tensor, group: Any = None) -> list[torch.Tensor]:
        return [tensor, tensor]

    one = TableMetric(OverlapScorer(), dist_sync_fn=twice, distributed_available_fn=lambda: True)
    one.update(["a b"], ["a c"], ["x"])
    assert one.compute()["f1"] == 0.5
    one.sync(dist_sync_fn=twice, distributed_available=lambda: True)
    assert one.table().ids == ("x",), "the same id on two ranks counts once"
    one.unsync()


class TestExactSums:
    @pytest.mark.parametrize("seed", range(5))
    def test_are_the_same_in_any_order(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(1000, 3)) * 10.0 ** rng.integers(-8, 8, size=(1000, 3))
        want = exact_sums(rows)
        for _ in range(5):
            assert exact_sums(rng.permutation(rows)).tobytes() == want.tobytes()

    def test_of_nothing(self) -> None:
        assert exact_sums(np.zeros((0, 2))).tolist() == [0, 0]

    def test_of_what_is_not_finite(self) -> None:
        rows = np.array([[np.inf, 0.1], [np.nan, 0.2]])
        assert np.isnan(exact_sums(rows)[0])
        assert exact_sums(rows)[1] == 0.30000000000000004


def test_a_table_has_a_row_for_each_id() -> None:
    with pytest.raises(ValueError, match=re.escape("of shape (2, 1), but got (1, 1)")):
        Table(("a",), ("x", "y"), np.zeros((1, 1)))
