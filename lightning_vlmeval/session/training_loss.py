"""The mean training loss since the last evaluation, without asking the device at every step."""

import math
from typing import Any

import torch
from torch import Tensor

# How many losses wait to be summed together: a sum costs several launches on an accelerator.
_TOGETHER = 64


class TrainingLoss:
    """The mean over training batches of their losses, non-finite ones counted and left out.

    Losses wait in tensors on their device, and so do the sums: adding a batch does not wait for the
    device.
    """

    def __init__(self) -> None:
        self._waiting: list[Tensor] = []
        self._scale = 1.0  # of those that wait
        self._sums: Tensor | None = None  # sum of finite losses, their number, number of others

    def add(self, loss: Tensor, scale: float = 1.0) -> None:
        """Add a batch.

        Args:
            loss: The batch's loss.
            scale: What to multiply it by: Lightning divides losses by the number of accumulated
                batches.
        """
        if len(self._waiting) == _TOGETHER or scale != self._scale:
            self._sum()
        self._scale = scale
        # A copy, for a compiled step may write the next loss to the same place.
        loss = loss.detach()
        self._waiting.append(loss.float().mean() if loss.dim() else loss.clone())

    def _sum(self) -> None:
        """Bring the sums up to date."""
        if not self._waiting:
            return
        device = self._waiting[-1].device
        values = torch.stack([loss.to(device, _precise(device)) for loss in self._waiting])
        self._waiting = []
        finite = torch.isfinite(values)
        total = torch.where(finite, values, 0.0).sum() * self._scale
        count = finite.sum()
        new = torch.stack([total, count, len(values) - count])
        self._sums = new if self._sums is None else self._sums.to(device) + new

    def take(self, strategy: Any) -> tuple[float, int]:
        """The mean over all ranks and the number of non-finite batches; then start anew.

        A collective: every rank must call it.

        Args:
            strategy: The Trainer's strategy, which sums over ranks.

        Returns:
            The mean, NaN where there was no finite batch; and how many batches were not finite.
        """
        self._sum()
        device = strategy.root_device
        precise = _precise(device)
        sums = torch.zeros(3, dtype=precise) if self._sums is None else self._sums
        self._sums = None
        reduced = strategy.reduce(sums.to(device, precise, copy=True), reduce_op="sum")
        total, count, bad = reduced.tolist()
        return (total / count if count else math.nan), int(bad)

    def state(self) -> list[float] | None:
        """What a checkpoint keeps."""
        self._sum()
        return None if self._sums is None else [float(x) for x in self._sums.tolist()]

    def restore(self, state: list[float] | None) -> None:
        """Go on from a checkpoint.

        Args:
            state: What `state` gave; None to start anew.
        """
        self._waiting = []
        self._sums = None if state is None else torch.tensor(state, dtype=torch.float64)


def _precise(device: torch.device) -> torch.dtype:
    """The most precise type that the device has."""
    return torch.float32 if device.type == "mps" else torch.float64
