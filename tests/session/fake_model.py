"""A model that answers what a test tells it to, and batches for it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from tests.session.tiny_models import BOS, EOS, PAD


def batch_of(*rows: tuple[list[int], list[int]], side: str = "right", **more: Any) -> dict:
    """A batch of prompts and their answers, as it is made for training."""
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids, mask, labels = [], [], []
    for prompt, answer in rows:
        pads = width - len(prompt) - len(answer)
        left, right = (pads, 0) if side == "left" else (0, pads)
        ids.append([PAD] * left + prompt + answer + [PAD] * right)
        mask.append([0] * left + [1] * (width - pads) + [0] * right)
        labels.append([-100] * (left + len(prompt)) + answer + [-100] * right)
    tensors = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {**{name: torch.tensor(value) for name, value in tensors.items()}, **more}


def counted(last: int) -> list[int]:
    """What the fake model says after a token: 40 tokens further, twice, and an end."""
    return [last + 40, last + 40, EOS]


class Fake(nn.Module):
    """Answers at once, and gives back what `returns` says; keeps what it was asked with."""

    def __init__(
        self, returns: str = "prompt", answer: Callable[[int], list[int]] = counted, fits: int = 99
    ) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.returns, self.answer, self.fits = returns, answer, fits
        self.asked: list[dict[str, Any]] = []

    def generate(self, input_ids: Tensor, attention_mask: Tensor, **more: Any) -> Any:
        self.asked.append({"input_ids": input_ids, "attention_mask": attention_mask, **more})
        if len(input_ids) > self.fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        if self.returns == "all but the last":
            input_ids = input_ids[:, :-1]
            input_ids[:, 0] = BOS
        new = [self.answer(last)[: more["max_new_tokens"]] for last in input_ids[:, -1].tolist()]
        width = max(map(len, new))
        rows = torch.tensor([row + [PAD] * (width - len(row)) for row in new])
        if self.returns == "new after a start":
            return torch.cat([torch.full_like(rows[:, :1], BOS), rows], dim=1)
        if self.returns in ("prompt", "all but the last"):
            rows = torch.cat([input_ids, rows], dim=1)
        return SimpleNamespace(sequences=rows) if self.returns == "an object" else rows


class Module(pl.LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


def attached(model: nn.Module, trainer: Any) -> Module:
    module = Module(model)
    module._trainer = trainer
    return module


def trainer_of(strategy: str, world_size: int = 2) -> Any:
    """As much of a Trainer as is looked at, with a strategy of a class of this name."""
    return SimpleNamespace(strategy=type(strategy, (), {})(), world_size=world_size)
