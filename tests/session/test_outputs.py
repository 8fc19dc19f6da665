"""What may come out of a validation step."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from lightning_vlmeval import Sample
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.session.outputs import read_batch


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (None, "but got <class 'NoneType'>"),
        (torch.tensor(1.0), "but got <class 'torch.Tensor'>"),
        ({"preds": ["a"]}, "'target', but got a dict with keys ['preds']"),
        ({"target": ["a"], "loss": 1}, "'preds', but got a dict with keys ['loss', 'target']"),
        ({"preds": ["a"], "target": ["a", "b"]}, "'target' to have one element for each of 1"),
        ({"preds": "a", "target": ["a"]}, "Expected a list with one element for each sample"),
        ({"preds": 3, "target": ["a"]}, "Expected a list with one element for each sample"),
        ({"preds": ["a"], "target": ["a"], "id": ["x", "y"]}, "'id' to have one element"),
        ({"samples": ["a"]}, "'samples' to be a list of `Sample`, but it holds str 'a'"),
        ({"preds": ["a"], "target": ["a"], "loss": "x"}, "a loss as a number, but got str 'x'"),
    ],
)
def test_what_is_refused(outputs: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        read_batch(outputs, None, {})


@pytest.mark.parametrize(
    "value",
    [
        ["a", "b"],
        ("a", "b"),
        (text for text in "ab"),
        np.array(["a", "b"]),
        {"a": 1, "b": 2}.keys(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_lists_of_any_kind(value: Any) -> None:
    assert list(read_batch({"preds": value, "target": ["a", "b"]}, None, {}).preds) == ["a", "b"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_tensors_are_one_element_a_sample(dtype: torch.dtype) -> None:
    boxes = torch.arange(16).reshape(2, 2, 4).to(dtype)
    batch = read_batch({"preds": boxes, "target": boxes, "id": torch.tensor([3, 4])}, None, {})
    assert [np.asarray(one).tolist() for one in batch.preds] == boxes.tolist()
    assert batch.id == [3, 4]


def test_ids_come_from_the_batch_where_the_outputs_have_none() -> None:
    batch = read_batch({"preds": ["a"], "target": ["a"]}, {"id": ["x"]}, {})
    assert batch.id == ["x"]


def test_losses_of_any_kind() -> None:
    for loss in (2.0, torch.tensor(2.0), torch.tensor([1.0, 3.0]), torch.tensor(2.0).bfloat16()):
        assert read_batch({"preds": [], "target": [], "loss": loss}, None, {}).loss == 2.0


def test_samples_may_be_objects() -> None:
    samples = [
        Sample("x", "a car", "a dog", "what is it?", group="img1", annotator="eve", image="x.png"),
        Sample("y", "b", "c"),
    ]
    batch = read_batch({"samples": samples, "loss": 1.0}, None, {})
    assert (batch.id, batch.preds, batch.target) == (["x", "y"], ["a car", "b"], ["a dog", "c"])
    assert batch.group is None, "one has none"
    assert (batch.annotator, batch.image) == (["eve", None], ["x.png", None])
    assert batch.loss == 1.0
