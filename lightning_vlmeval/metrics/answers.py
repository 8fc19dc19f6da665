"""Short answers as stateful metrics."""

from typing import Any

from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.metrics.table_metric import TableMetric


class AnswerScore(TableMetric):
    """How often a short answer is the reference, in the ways that benchmarks say so.

    `compute` returns `exact_match`, `token_f1`, `vqa_accuracy`, `anls`, `relaxed_accuracy`,
    `yes_precision`, `yes_recall`, `yes_f1`, `yes_rate`, `choice_accuracy` and `cer` (lower is
    better); `AnswerScorer` defines each, and every empty case.

    Args:
        normalize: Whether exact match and token F1 normalise as SQuAD does.
        **kwargs: torchmetrics' own arguments.

    Example:
        >>> metric = AnswerScore()
        >>> metric.update(["The car.", "yes"], [["car", "truck"], "No"], ids=["q1", "q2"])
        >>> float(metric.compute()["exact_match"])
        0.5
    """

    def __init__(self, normalize: bool = True, **kwargs: Any) -> None:
        super().__init__(AnswerScorer(normalize), **kwargs)
