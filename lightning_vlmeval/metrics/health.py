"""The health of a model's outputs as a stateful metric."""

from typing import Any

from lightning_vlmeval.functional.health import HealthScorer
from lightning_vlmeval.metrics.table_metric import TableMetric


class OutputHealth(TableMetric):
    """The shares of answers that are ill: empty, cut off, looping, echoing, leaking reasoning.

    `compute` returns each share and `healthy`, the share with none; `HealthScorer` defines them.
    Targets are not looked at.

    Args:
        **kwargs: torchmetrics' own arguments.

    Example:
        >>> metric = OutputHealth()
        >>> metric.update(["a red car", ""], ["a red car", "a dog"], ids=["q1", "q2"])
        >>> scores = metric.compute()
        >>> float(scores["empty"]), float(scores["healthy"])
        (0.5, 0.5)
    """

    reads = "texts"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(HealthScorer(), **kwargs)
