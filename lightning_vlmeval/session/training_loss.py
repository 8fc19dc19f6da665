"""The mean training loss since the last evaluation, without asking the device at every step."""

import math
from typing import Any

import torch
from torch import Tensor


class TrainingLoss:
    """The mean over training batches of their losses, non-finite ones counted and left out.

    Sums stay in tensors on the device of the loss: adding a batch does not wait for the device.
    """

    def __init__(self) -> None:
        self._sums: Tensor | None = None  # sum of finite losses, their number, number of others

    def add(self, loss: Tensor, scale: float = 1.0) -> None:
        """Add a batch.

        Args:
            loss: The batch's loss.
            scale: What to multiply it by: Lightning divides losses by the number of accumulated
                batches.
        """
        value = loss.detach().float().mean() * scale
        finite = torch.isfinite(value)
        precise = torch.float32 if value.device.type == "mps" else torch.float64
        step = torch.stack(
            [
                torch.where(finite, value, torch.zeros_like(value)).to(precise),
                finite.to(precise),
                (~finite).to(precise),
            ]
        )
        self._sums = step if self._sums is None else self._sums.to(step.device) + step

    def take(self, strategy: Any) -> tuple[float, int]:
        """The mean over all ranks and the number of non-finite batches; then start anew.

        A collective: every rank must call it.

        Args:
            strategy: The Trainer's strategy, which sums over ranks.

        Returns:
            The mean, NaN where there was no finite batch; and how many batches were not finite.
        """
        device = strategy.root_device
        precise = torch.float32 if device.type == "mps" else torch.float64
        sums = torch.zeros(3, dtype=precise) if self._sums is None else self._sums
        self._sums = None
        reduced = strategy.reduce(sums.to(device, precise, copy=True), reduce_op="sum")
        total, count, bad = reduced.tolist()
        return (total / count if count else math.nan), int(bad)

    def state(self) -> list[float] | None:
        """What a checkpoint keeps."""
        return None if self._sums is None else [float(x) for x in self._sums.tolist()]

    def restore(self, state: list[float] | None) -> None:
        """Go on from a checkpoint.

        Args:
            state: What `state` gave; None to start anew.
        """
        self._sums = None if state is None else torch.tensor(state, dtype=torch.float64)
