"""What is said to a Trainer."""

import math
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightning_vlmeval.session.trainer import log_values

ADVICE = (
    "It is recommended to use `self.log({!r}, ..., sync_dist=True)` when logging on epoch level"
)


def test_advice_on_the_modules_own_values_is_still_heard() -> None:
    logged: dict[str, Any] = {}
    module = SimpleNamespace(
        device=torch.device("cpu"), log_dict=lambda values, **_: logged.update(values)
    )
    with warnings.catch_warnings():
        log_values(module, {"val/grounding/f1": 0.1, "val/bleu": math.nan})
        warnings.warn(ADVICE.format("val/grounding/f1"), stacklevel=1)
        with pytest.warns(UserWarning, match="val/mine"):
            warnings.warn(ADVICE.format("val/mine"), stacklevel=1)
    assert {key: value.item() for key, value in logged.items()} == {"val/grounding/f1": 0.1}
    assert logged["val/grounding/f1"].dtype == torch.float64
