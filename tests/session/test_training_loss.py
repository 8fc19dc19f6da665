"""The training loss: its mean by hand, over many batches, in every precision."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_vlmeval.session.training_loss import TrainingLoss


class OneProcess:
    """A strategy whose sums over ranks are its own."""

    root_device = torch.device("cpu")

    def reduce(self, sums: Tensor, reduce_op: str) -> Tensor:
        return sums


def taken(loss: TrainingLoss) -> tuple[float, int]:
    strategy: Any = OneProcess()
    return loss.take(strategy)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_the_mean_of_any_number_of_batches(count: int) -> None:
    """Scales change on the way, as the accumulation of gradients may; some are not finite."""
    rng = np.random.default_rng(count)
    values = rng.uniform(0.1, 4, count).astype(np.float32)
    values[rng.random(count) < 0.1] = np.nan
    scales = np.where(np.arange(count) < count // 2, 1.0, 4.0)
    loss = TrainingLoss()
    for value, scale in zip(values, scales, strict=True):
        loss.add(torch.tensor(value), scale)
    finite = np.isfinite(values)
    mean = math.fsum((values.astype(float) * scales)[finite]) / finite.sum()
    assert taken(loss) == (pytest.approx(mean, rel=1e-14), count - finite.sum())
    assert math.isnan(taken(loss)[0])  # begun anew


def test_a_loss_that_is_written_over_is_what_it_was() -> None:
    """A compiled training step may give every batch's loss in the same memory."""
    loss, place = TrainingLoss(), torch.tensor(1.0)
    for value in (1.0, 2.0, 6.0):
        place.fill_(value)
        loss.add(place)
    assert taken(loss) == (3.0, 0)


def test_precisions_and_losses_of_several_samples() -> None:
    loss = TrainingLoss()
    loss.add(torch.tensor(1 / 3, dtype=torch.float64))
    assert taken(loss) == (1 / 3, 0)
    loss.add(torch.tensor(1.0, dtype=torch.bfloat16))
    loss.add(torch.tensor([2.0, 4.0], dtype=torch.float16))
    loss.add(torch.tensor(math.inf))
    assert taken(loss) == (2.0, 1)


def test_a_checkpoint_keeps_what_waits() -> None:
    loss, resumed = TrainingLoss(), TrainingLoss()
    assert loss.state() is None
    loss.add(torch.tensor(2.0), 2.0)
    resumed.restore(loss.state())
    for one in (loss, resumed):
        one.add(torch.tensor(8.0))
    assert taken(loss) == taken(resumed) == (6.0, 0)


def test_adding_reads_no_value() -> None:
    """A tensor of the device "meta" has none: whatever waits for one raises."""
    mean, loss = TrainingLoss(), torch.tensor(1.0, device="meta")
    with pytest.raises(RuntimeError, match="meta tensors"):
        float(loss * 1)
    for _ in range(200):
        mean.add(loss)
