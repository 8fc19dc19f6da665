"""The validation losses of single samples, kept round the best evaluation and at the end."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from lightning_vlmeval.table import Floats


@dataclass(frozen=True)
class PairedRise:
    """How the same samples' losses differ between the last evaluations and those round the best.

    Args:
        difference: The mean change of a sample's loss; positive where it grew.
        low: The lower end of its 95 % confidence interval.
        high: The upper end.
        p_value: Of a one-sided t-test that the mean did not grow.
        share_worse: The share of samples whose loss grew.
        num_samples: The samples compared.
    """

    difference: float
    low: float
    high: float
    p_value: float
    share_worse: float
    num_samples: int


class SampleLosses:
    """A bounded memory of the samples' losses: at most six evaluations, whatever the run's length.

    Example:
        >>> losses = SampleLosses()
        >>> for evaluation, loss in enumerate([1.0, 2.0, 3.0]):
        ...     losses.add(evaluation, {"a": loss, "b": 2 * loss})
        >>> losses.rise(best=0, num_evaluations=3).difference  # 2.25 grew from 1, and 5 from 2
        2.25
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._losses: dict[int, Floats] = {}

    def __contains__(self, evaluation: int) -> bool:
        return evaluation in self._losses

    def add(self, evaluation: int, losses: Mapping[str, float] | None) -> None:
        """Remember an evaluation; other ids than before make the earlier ones useless.

        Args:
            evaluation: Its position.
            losses: The loss of each sample by its id; None where they are not known.
        """
        if not losses:
            return
        ids = sorted(losses)
        if ids != self._ids:
            self._ids = ids
            self._losses.clear()
        self._losses[evaluation] = np.array([losses[sample_id] for sample_id in ids], float)

    def keep(self, best: int, num_evaluations: int) -> None:
        """Forget all but the evaluations round the best and the last three.

        Args:
            best: The position of the best evaluation.
            num_evaluations: The evaluations so far.
        """
        wanted = {best - 1, best, best + 1, *range(num_evaluations - 3, num_evaluations)}
        self._losses = {i: losses for i, losses in self._losses.items() if i in wanted}

    def rise(self, best: int, num_evaluations: int) -> PairedRise | None:
        """The change from the best evaluation to now; None where the samples do not pair.

        Averaging three evaluations on either side takes most of the luck out of the lowest one.

        Args:
            best: The position of the best evaluation.
            num_evaluations: The evaluations so far.
        """
        last = range(max(best + 1, num_evaluations - 3), num_evaluations)
        around = range(best - 1, min(best + 2, num_evaluations)) if best else range(1)
        if len(last) < 2 or not all(i in self for i in (*last, *around)):
            return None
        now = np.mean([self._losses[i] for i in last], axis=0)
        change = now - np.mean([self._losses[i] for i in around], axis=0)
        change = change[np.isfinite(change)]
        return _paired(change) if len(change) > 1 else None

    def state_dict(self) -> dict[str, Any]:
        """The ids and losses, in lists, strings and numbers alone."""
        return {
            "ids": list(self._ids),
            "evaluations": list(self._losses),
            "losses": [losses.tolist() for losses in self._losses.values()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state that `state_dict` gave.

        Args:
            state: What `state_dict` gave.
        """
        self._ids = list(state["ids"])
        self._losses = {
            evaluation: np.array(losses, float)
            for evaluation, losses in zip(state["evaluations"], state["losses"], strict=True)
        }


def _paired(change: Floats) -> PairedRise:
    """The one-sided t-test of the samples' changes."""
    n = len(change)
    mean = float(change.mean())
    error = float(change.std(ddof=1)) / math.sqrt(n)
    # Where all changed alike there is no error to divide by.
    p_value = float(special.stdtr(n - 1, -mean / max(error, sys.float_info.min)))
    half = float(special.stdtrit(n - 1, 0.975)) * error
    return PairedRise(mean, mean - half, mean + half, p_value, float((change > 0).mean()), n)
