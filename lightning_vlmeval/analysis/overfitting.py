"""Overfitting: validation loss rises from its best level while training loss keeps falling."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from lightning_vlmeval.analysis.loss_curve import LossCurve
from lightning_vlmeval.analysis.sample_losses import PairedRise, SampleLosses
from lightning_vlmeval.errors import ConfigurationError

State = Literal["ok", "watch", "overfitting", "diverging", "invalid"]

# The noise is estimated from second differences, and needs two of them.
MIN_EVALUATIONS = 4

ADVICE = "more diverse data, fewer epochs, or both"

# A rise is watched, and a divergence is named, after this many evaluations.
_WATCH = 2

# A validation loss of which only a larger rise than this could be told is called noisy.
_NOISY = math.log1p(0.25)

# The level of the paired test with this many samples or more, and with fewer.
_MANY_SAMPLES = 50
_MANY_LEVEL, _FEW_LEVEL = 0.01, 0.05

# With many samples a quiet curve may speak sooner. In a noisy one, whose noise the samples share,
# the same would triple the false alarms.
_QUIET = 0.01
_QUIET_FACTOR = 1.0


@dataclass(frozen=True)
class Verdict:
    """What the losses up to one evaluation say.

    Args:
        state: "ok"; "watch", a rise one evaluation short of a verdict; "overfitting", until the
            validation loss reaches a new best; "diverging", both losses rise; "invalid", a loss of
            this evaluation is not a positive finite number. The other fields of an "invalid"
            verdict are those of the evaluations before it.
        severity: The share of today's validation loss that was added since the best level, in
            [0, 1); 0 unless overfitting. Below 0.05 mild, from 0.2 severe.
        onset_step: The step of the best level, from which the rise began; None without a rise.
        best_step: The step of the lowest validation loss; None before the first evaluation.
        tied_steps: The other steps whose validation loss is not above the lowest by more than the
            noise.
        rise: How far the last validation losses lie above the best level, as a share of it; >= 0.
        min_detectable_rise: The rise that a verdict needs, as a share; large where the validation
            loss is noisy. NaN before the fourth evaluation.
        num_evaluations: The evaluations judged so far.
        reason: One sentence with the numbers.
        paired: The rise measured on the samples themselves, where their losses were given.
    """

    state: State
    severity: float
    onset_step: int | None
    best_step: int | None
    tied_steps: tuple[int, ...]
    rise: float
    min_detectable_rise: float
    num_evaluations: int
    reason: str
    paired: PairedRise | None = None


class OverfittingDetector:
    r"""Says at each evaluation whether the validation loss rises while the training loss falls.

    With n evaluations so far, v and s the logarithms of the validation and the training losses, and
    b the evaluation with the lowest v, the verdict is "overfitting" when

    1. the last `patience` evaluations all come after b, and their v all exceed the best level (the
       median of v around b) by more than max(log(1 + min_rise), noise_factor * noise *
       sqrt(2 log n)), where noise is 1.4826 / sqrt(6) times the median absolute second difference
       of v: the largest of n noise values grows like sqrt(2 log n);
    2. v still rises;
    3. the median of the last three s after b is below that around b, and above the lowest median
       of any three s in a row by less than `train_tol` (or twice the training loss' own noise).

    It stands until the validation loss reaches a new best. The same with two evaluations is
    "watch"; where the training loss has instead risen by more than 5 % over its low, the verdict is
    "diverging". Multiplying either loss by a constant changes nothing.

    On simulated runs of 5 to 60 evaluations 1.8 % of the healthy ones are flagged, 97 % of those
    with a clear rise (6 times the noise, over 5 evaluations) and 85 % of those with any of 5 % or
    more, at a median of 4 evaluations after the minimum; `tests/analysis/curves.py` measures it. For
    runs of more than 60 evaluations use `noise_factor=2.0`.

    Where the validation losses of the single samples are given too, a paired one-sided t-test (mean
    of the last three evaluations against mean of the three around the best) must agree: p < 0.01
    from 50 samples on, p < 0.05 with fewer. From 50 samples on noise_factor is at most 1.0 where the
    noise is at most 1 %. Only the losses around the best and of the last three evaluations are kept.

    Args:
        patience: How many evaluations in a row must lie above the best level.
        min_rise: The smallest rise that counts, as a share of the best level.
        noise_factor: How many times the noise the rise must exceed.
        train_tol: How far above its lowest the training loss may be, as a share.

    Raises:
        ConfigurationError: An option is out of range.

    Example:
        >>> detector = OverfittingDetector()
        >>> for step, loss in enumerate([1.0, 0.9, 0.8, 0.9, 1.0, 1.1, 1.2]):
        ...     verdict = detector.update(step=step, train_loss=1 / (step + 1), val_loss=loss)
        >>> verdict.state, verdict.best_step, round(verdict.severity, 3)  # 1 - 0.9 / 1.1
        ('overfitting', 2, 0.182)
    """

    def __init__(
        self,
        patience: int = 3,
        min_rise: float = 0.02,
        noise_factor: float = 1.75,
        train_tol: float = 0.02,
    ) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ConfigurationError(
                f"Expected `patience` to be a whole number of at least 1, but got {patience!r}"
            )
        for name, value in (
            ("min_rise", min_rise),
            ("noise_factor", noise_factor),
            ("train_tol", train_tol),
        ):
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(
                    f"Expected `{name}` to be a finite number of at least 0, but got {value!r}"
                )
        self.patience = patience
        self.min_rise = min_rise
        self.noise_factor = noise_factor
        self.train_tol = train_tol
        self._steps: list[int] = []
        self._val: list[float] = []
        self._train: list[float] = []
        self._state: State = "ok"
        self._samples = SampleLosses()

    @property
    def min_evaluations(self) -> int:
        """The evaluations that a run needs before anything can be flagged."""
        return max(MIN_EVALUATIONS, self.patience + 1)

    def shortfall(self, planned: float) -> str | None:
        """Why a run with this many evaluations can never be flagged; None where it can.

        Args:
            planned: The evaluations that the run will make; infinite where nothing ends it.
        """
        if planned >= self.min_evaluations:
            return None
        return (
            f"This run plans {planned:g} evaluations, and overfitting takes at least "
            f"{self.min_evaluations} to be seen: evaluate more often (val_check_interval, "
            "check_val_every_n_epoch)."
        )

    def update(
        self,
        *,
        step: int,
        train_loss: float,
        val_loss: float,
        val_losses: Mapping[str, float] | None = None,
    ) -> Verdict:
        """The verdict after one more evaluation.

        Args:
            step: The training step of the evaluation; several evaluations may share one.
            train_loss: The mean training loss since the evaluation before, over all ranks.
            val_loss: The mean validation loss.
            val_losses: The validation loss of each sample, by its id.
        """
        for name, loss in (("validation", val_loss), ("training", train_loss)):
            if not (math.isfinite(loss) and loss > 0):
                return self._invalid(step, name, loss)
        self._steps.append(int(step))
        self._val.append(float(val_loss))
        self._train.append(float(train_loss))
        self._samples.add(len(self._val) - 1, val_losses)
        curve, paired = self._read()
        self._samples.keep(curve.best, len(self._val))
        self._state = self._next_state(curve, paired)
        return self._verdict(curve, paired)

    def state_dict(self) -> dict[str, Any]:
        """The history, in lists, strings and numbers alone."""
        return {
            "steps": list(self._steps),
            "val_losses": list(self._val),
            "train_losses": list(self._train),
            "state": str(self._state),
            "samples": self._samples.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the detector that gave this state would have gone on.

        Args:
            state: What `state_dict` gave.
        """
        self._steps = list(state["steps"])
        self._val = list(state["val_losses"])
        self._train = list(state["train_losses"])
        self._state = state["state"]
        self._samples.load_state_dict(state["samples"])

    def _invalid(self, step: int, name: str, loss: float) -> Verdict:
        """The standing verdict, marked invalid; the history stays as it was."""
        reason = (
            f"The {name} loss at step {step} is {loss:g}, not a positive finite number: this "
            "evaluation is left out"
        )
        if not self._val:
            return Verdict("invalid", 0.0, None, None, (), 0.0, math.nan, 0, f"{reason}.")
        if self._state != "ok":
            reason += f'; the verdict before it, "{self._state}", stands'
        return replace(self._verdict(*self._read()), state="invalid", reason=f"{reason}.")

    def _read(self) -> tuple[LossCurve, PairedRise | None]:
        """The curves, and the rise of the samples where it is known."""
        curve = LossCurve.read(self._val, self._train)
        return curve, self._samples.rise(curve.best, len(self._val))

    def _margin(self, curve: LossCurve, paired: PairedRise | None) -> float:
        """The rise that a verdict needs, as a logarithm; NaN before the fourth evaluation."""
        n = len(self._val)
        if n < MIN_EVALUATIONS:
            return math.nan
        factor = self.noise_factor
        if paired is not None and paired.num_samples >= _MANY_SAMPLES and curve.noise <= _QUIET:
            factor = min(factor, _QUIET_FACTOR)
        return max(math.log1p(self.min_rise), factor * curve.noise * math.sqrt(2 * math.log(n)))

    def _next_state(self, curve: LossCurve, paired: PairedRise | None) -> State:
        """The rule."""
        if curve.since == 0 or len(self._val) < MIN_EVALUATIONS:
            return "ok"
        if self._state == "overfitting":
            return "overfitting"
        margin = self._margin(curve, paired)
        fits = curve.rising and curve.train_fell(self.train_tol) and _confirmed(paired)
        if fits and curve.above(self.patience, margin):
            return "overfitting"
        if curve.above(_WATCH, margin):
            if curve.train_rose(self.train_tol):
                return "diverging"
            if fits:
                return "watch"
        return "ok"

    def _verdict(self, curve: LossCurve, paired: PairedRise | None) -> Verdict:
        """The state with its numbers."""
        lowest = curve.val[curve.best]
        flagged = self._state == "overfitting"
        return Verdict(
            state=self._state,
            severity=min(-math.expm1(-curve.rise), 1 - 2**-53) if flagged else 0.0,
            onset_step=None if self._state == "ok" else self._steps[curve.best],
            best_step=self._steps[curve.best],
            tied_steps=tuple(
                self._steps[i]
                for i, loss in enumerate(curve.val)
                if i != curve.best and loss - lowest <= curve.noise
            ),
            rise=_share(curve.rise),
            min_detectable_rise=_share(self._margin(curve, paired)),
            num_evaluations=len(self._val),
            reason=self._reason(curve, paired),
            paired=paired,
        )

    def _reason(self, curve: LossCurve, paired: PairedRise | None) -> str:
        """The state in one sentence with its numbers."""
        n = len(self._val)
        step = self._steps[curve.best]
        above = (
            f"{_percent(curve.rise)} above its best level of {math.exp(curve.level):.4g} "
            f"around step {step}"
        )
        if self._state == "overfitting":
            text = (
                f"Overfitting since step {step}: validation loss is {above} while training loss "
                f"went from {math.exp(curve.train_level):.4g} to {math.exp(curve.train_now):.4g}"
                f"{self._samples_say(curve, paired)}; use {ADVICE}."
            )
        elif self._state == "watch":
            text = (
                f"Validation loss is {above} while training loss fell"
                f"{self._samples_say(curve, paired)}: after {self.patience} evaluations in a row "
                "it is overfitting."
            )
        elif self._state == "diverging":
            text = (
                f"Validation loss is {above} and training loss "
                f"{_percent(curve.train_now - curve.train_low)} above its own lowest: the run "
                "diverges or recovers from a spike, which is not overfitting."
            )
        elif n < self.min_evaluations:
            text = (
                f"{n} of the {self.min_evaluations} evaluations that a verdict needs; "
                "evaluate more often if the run ends before."
            )
        elif curve.since == 0:
            text = f"Validation loss is at its lowest of {n} evaluations, at step {step}."
        else:
            text = f"Validation loss is {above}: {self._why_not(curve, paired)}."
        return text

    def _why_not(self, curve: LossCurve, paired: PairedRise | None) -> str:
        """What a rise lacks to be overfitting."""
        margin = self._margin(curve, paired)
        if not curve.above(_WATCH, margin):
            text = f"the last {_WATCH} evaluations are not both more than {_percent(margin)} above"
            if margin > _NOISY:
                text += ", and the validation loss is too noisy to tell a smaller rise"
            return text
        if not curve.rising:
            return "it no longer rises"
        if not curve.train_fell(self.train_tol):
            return "training loss has not kept falling"
        return f"the samples do not confirm it{self._samples_say(curve, paired)}"

    def _samples_say(self, curve: LossCurve, paired: PairedRise | None) -> str:
        """What the losses of the samples add, in brackets."""
        if paired is not None:
            return (
                f" ({paired.share_worse:.0%} of {paired.num_samples} samples got worse, by "
                f"{paired.difference:.3g} [{paired.low:.3g}, {paired.high:.3g}] on average)"
            )
        if len(self._val) - 1 in self._samples and curve.since >= _WATCH:
            return " (judged by the curve alone: the samples were not the same at each evaluation)"
        return ""


def _confirmed(paired: PairedRise | None) -> bool:
    """Whether the samples, where they are known, agree that the loss rose."""
    if paired is None:
        return True
    return paired.p_value < (_MANY_LEVEL if paired.num_samples >= _MANY_SAMPLES else _FEW_LEVEL)


def _share(log: float) -> float:
    """A difference of logarithms as a share; the largest ones are capped, not infinite."""
    return math.expm1(min(log, 700.0))


def _percent(log: float) -> str:
    """A difference of logarithms in per cent."""
    return f"{100 * _share(log):.3g} %"
