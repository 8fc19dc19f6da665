"""The evaluations of a run, in their order, and what their losses say."""

import math
from collections.abc import Mapping
from typing import Any

from lightning_vlmeval.analysis.overfitting import OverfittingDetector, Verdict
from lightning_vlmeval.session.evaluation import Evaluation

Evaluations = Mapping[str | None, Evaluation]
"""The result of each dataloader by its name; None where there is only one."""


class History:
    """One entry for each evaluation, of plain values; the untrained model's is number 0.

    Args:
        detector: The overfitting rule.

    Attributes:
        entries: Dicts with `index`, `step`, `epoch`, `train_loss` (the mean since the evaluation
            before, NaN where nothing was trained), `nonfinite_train_batches`, `val_loss` (None where
            unknown), `values` and `intervals` by log key, `accounting` by dataloader, and the verdict's `state`
            (None where the rule was not asked).
        current: The entry of the last evaluation, also where it is not part of the run.
        verdict: What the losses say; None before the first verdict of this process.
    """

    def __init__(self, detector: OverfittingDetector) -> None:
        self.detector, self._blank = detector, detector.state_dict()
        self.entries: list[dict[str, Any]] = []
        self.current: dict[str, Any] = {}
        self.verdict: Verdict | None = None

    def begin(
        self,
        evaluations: Evaluations,
        values: Mapping[str, float],
        intervals: Mapping[str, tuple[float, float]],
        *,
        step: int,
        epoch: int,
        train_loss: float = math.nan,
        nonfinite_train_batches: int = 0,
    ) -> None:
        """Make the entry of an evaluation the current one.

        Args:
            evaluations: The results.
            values: Their values by log key.
            intervals: The two ends of the interval of each, as far as they are known.
            step: The optimiser steps done.
            epoch: The training epoch.
            train_loss: The mean training loss since the evaluation before.
            nonfinite_train_batches: How many batches had none.
        """
        losses = [one.loss for one in evaluations.values() if one.loss is not None]
        self.current = {
            "index": len(self.entries),
            "step": step,
            "epoch": epoch,
            "train_loss": train_loss,
            "nonfinite_train_batches": nonfinite_train_batches,
            "val_loss": math.fsum(losses) / len(losses) if losses else None,
            "values": dict(values),
            "intervals": {key: list(ends) for key, ends in intervals.items()},
            "accounting": {name or "": str(one.accounting) for name, one in evaluations.items()},
            "state": None,
        }

    def judge(self, sample_losses: Mapping[str, float] | None = None) -> bool:
        """Ask the overfitting rule about the current evaluation.

        An evaluation without a validation loss, or before any training, is not for the rule.

        Args:
            sample_losses: Each sample's own validation loss, where they are known.

        Returns:
            Whether the verdict is another than before.
        """
        entry = self.current
        trained = not math.isnan(entry["train_loss"]) or entry["nonfinite_train_batches"]
        if entry["val_loss"] is None or not trained:
            return False
        before = next((e["state"] for e in reversed(self.entries) if e["state"]), "ok")
        self.verdict = self.detector.update(
            step=entry["step"],
            train_loss=entry["train_loss"],
            val_loss=entry["val_loss"],
            val_losses=sample_losses or None,
        )
        entry["state"] = self.verdict.state
        return self.verdict.state != before

    def keep(self) -> None:
        """Make the current evaluation part of the run."""
        self.entries.append(self.current)

    def clear(self) -> None:
        """Forget the run."""
        self.entries, self.current, self.verdict = [], {}, None
        self.detector.load_state_dict(self._blank)

    @property
    def previous(self) -> Mapping[str, Any] | None:
        """The evaluation of the run before the current one."""
        earlier = [entry for entry in self.entries if entry is not self.current]
        return earlier[-1] if earlier else None

    def state_dict(self) -> dict[str, Any]:
        """Plain values only: `torch.load(weights_only=True)` reads nothing else."""
        return {
            "entries": [dict(entry) for entry in self.entries],
            "detector": self.detector.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Args:
            state: What `state_dict` gave.
        """
        self.entries = [dict(entry) for entry in state["entries"]]
        self.detector.load_state_dict(state["detector"])
