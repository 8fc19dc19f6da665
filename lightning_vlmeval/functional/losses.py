"""The validation loss as a table: one row a sample, so that each sample counts once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_vlmeval.functional.scorer import Scorer, Scores, check_lengths, ratio
from lightning_vlmeval.table import Floats


@dataclass(frozen=True)
class LossScorer(Scorer):
    """The mean of the samples' losses.

    `preds` are the losses and `target` is ignored. Non-finite losses are left out of the mean and
    counted; without a finite one the mean is NaN.

    Example:
        >>> import numpy as np
        >>> scorer = LossScorer()
        >>> rows = scorer.rows([0.5, 1.5, float("inf")], [None] * 3)
        >>> {key: float(value) for key, value in scorer.from_sums(rows.sum(0)).items()}
        {'loss': 1.0, 'nonfinite': 1.0}
    """

    name = "loss"
    columns = ("finite", "loss", "nonfinite")
    keys = ("loss", "nonfinite")
    unbounded = frozenset({"loss"})
    counts = frozenset({"nonfinite"})

    def rows(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """Whether the loss is finite, the loss or 0, and whether it is not.

        Args:
            preds: One loss a sample.
            target: Ignored.
            prompts: Ignored.
            truncated: Ignored.
        """
        check_lengths(preds, target)
        losses = np.array([float(loss) for loss in preds], dtype=np.float64)
        finite = np.isfinite(losses)
        return np.stack([finite, np.where(finite, losses, 0.0), ~finite], axis=-1).astype(float)

    def from_sums(self, sums: Floats) -> Scores:
        """The mean of the finite losses, and the number of the others.

        Args:
            sums: Shape (..., 3).
        """
        return {"loss": ratio(sums[..., 1], sums[..., 0]), "nonfinite": sums[..., 2]}
