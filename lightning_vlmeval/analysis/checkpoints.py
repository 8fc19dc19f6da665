"""Which checkpoint of a run is the best one, by its loss and by its main value, and what to say of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_vlmeval.analysis.comparison import compare_tables
from lightning_vlmeval.analysis.overfitting import ADVICE, Verdict
from lightning_vlmeval.analysis.trend import Trend
from lightning_vlmeval.errors import ComparisonError, ConfigurationError
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.table import Table


@dataclass(frozen=True)
class Checkpoint:
    """An evaluation of a run.

    Args:
        index: Its number.
        step: The training step.
        value: The main value; NaN where it is undefined.
        low: The lower end of its interval; NaN where it is not known.
        high: The upper end.
        val_loss: The validation loss; None where it is not known.
        table: The rows behind the value, where they are at hand.
    """

    index: int
    step: int
    value: float
    low: float = math.nan
    high: float = math.nan
    val_loss: float | None = None
    table: Table | None = None

    def __str__(self) -> str:
        return f"evaluation {self.index} (step {self.step})"


@dataclass(frozen=True)
class BestCheckpoints:
    """The two checkpoints worth keeping.

    Args:
        lowest_loss: That of the lowest validation loss; None without losses.
        best: That of the best main value, the first of equal ones; None without values.
        tied: The others whose main value is not clearly worse than the best.
    """

    lowest_loss: Checkpoint | None
    best: Checkpoint | None
    tied: tuple[Checkpoint, ...]

    def sentence(self, key: str) -> str:
        """Both in a sentence; "" where neither is known.

        Args:
            key: What the main value is called.
        """
        parts = []
        if self.lowest_loss is not None:
            parts.append(f"lowest validation loss at {self.lowest_loss}")
        if self.best is not None:
            tied = ", ".join(str(one.index) for one in self.tied)
            plural = "s" if len(self.tied) > 1 else ""
            parts.append(
                f"best {key} at {self.best}"
                + (f", tied with evaluation{plural} {tied}" if tied else "")
            )
        text = "; ".join(parts)
        return f"{text[:1].upper()}{text[1:]}." if text else ""


def read_checkpoints(entries: Sequence[Mapping[str, Any]], key: str) -> list[Checkpoint]:
    """The evaluations of a run, as a callback's history or a stored run's summaries have them.

    Args:
        entries: Each with `index`, `step`, `val_loss`, and `values` and `intervals` by log key.
        key: The log key of the main value.

    Example:
        >>> entry = {"index": 3, "step": 30, "val_loss": None, "values": {"val/grounding/f1": 0.5}}
        >>> read_checkpoints([entry], "val/grounding/f1")[0].value
        0.5
    """
    found = []
    for entry in entries:
        value = entry["values"].get(key)
        low, high = entry.get("intervals", {}).get(key) or (math.nan, math.nan)
        found.append(
            Checkpoint(
                entry["index"],
                entry["step"],
                math.nan if value is None else value,
                low,
                high,
                entry.get("val_loss"),
            )
        )
    return found


def best_checkpoints(
    evaluations: Sequence[Checkpoint],
    *,
    scorer: Scorer | None = None,
    score: str | None = None,
    higher_is_better: bool = True,
    level: float = 0.95,
) -> BestCheckpoints:
    """The checkpoints of the lowest validation loss and of the best main value, and the ties.

    With the tables of both and their scorer, an evaluation is tied with the best where the paired test
    does not find it worse. Otherwise it is where its interval holds the best value, and without an
    interval where it has the same value. The best of many is partly lucky, so that the true best may
    be any of those tied.

    | evaluations | result |
    |---|---|
    | none, or no value that is defined | best None |
    | no finite loss | lowest_loss None |
    | tables without a sample in common | by the intervals |

    Args:
        evaluations: In any order.
        scorer: What made the tables.
        score: Which of its scores the value is.
        higher_is_better: Whether a larger value is better.
        level: The confidence of the test.

    Raises:
        ConfigurationError: A scorer without its score.

    Example:
        >>> run = [Checkpoint(0, 10, 0.5, 0.4, 0.6, 1.0), Checkpoint(1, 20, 0.8, 0.7, 0.9, 0.7)]
        >>> run += [Checkpoint(2, 30, 0.82, 0.72, 0.9, 0.9)]
        >>> best_checkpoints(run).sentence("F1")
        'Lowest validation loss at evaluation 1 (step 20); best F1 at evaluation 2 (step 30), tied with evaluation 1.'
    """
    if scorer is not None and score is None:
        raise ConfigurationError("Expected `score`, one of the scorer's, beside `scorer`")
    losses = [
        (one.val_loss, one.index, one)
        for one in evaluations
        if one.val_loss is not None and math.isfinite(one.val_loss)
    ]
    known = [one for one in evaluations if not math.isnan(one.value)]
    sign = 1.0 if higher_is_better else -1.0
    lowest = min(losses, key=lambda one: one[:2])[2] if losses else None
    best = max(known, key=lambda one: (sign * one.value, -one.index), default=None)
    if best is None:
        return BestCheckpoints(lowest, None, ())
    tied = [
        one
        for one in known
        if one is not best and _tied(one, best, scorer, score, sign=sign, level=level)
    ]
    return BestCheckpoints(lowest, best, tuple(sorted(tied, key=lambda one: one.index)))


def _tied(
    one: Checkpoint,
    best: Checkpoint,
    scorer: Scorer | None,
    score: str | None,
    *,
    sign: float,
    level: float,
) -> bool:
    """Whether an evaluation is not clearly worse than the best."""
    mine, other = one.table, best.table
    if scorer is not None and score is not None and mine is not None and other is not None:
        try:
            found = compare_tables(scorer, mine, other, keys=[score], level=level)
        except ComparisonError:
            pass
        else:
            return found.differences[score].direction == "undecided"
    end = one.high if sign > 0 else one.low
    if math.isnan(end):
        return one.value == best.value
    return sign * end >= sign * best.value


def judgement(
    verdict: Verdict | None, trend: Trend | None, checkpoints: BestCheckpoints, key: str
) -> str:
    """What loss and main value say together, and which checkpoints to keep; "" for nothing known.

    A validation loss that rises does not mean that the answers get worse: they often improve for
    longer. So that both are told: "loss overfits since evaluation 7, F1 still improves" is another
    message than "both worsen".

    Args:
        verdict: What the losses say.
        trend: Where the main value is going.
        checkpoints: The best ones.
        key: What the main value is called.

    Example:
        >>> from lightning_vlmeval.analysis.overfitting import OverfittingDetector
        >>> from lightning_vlmeval.analysis.trend import trend
        >>> detector, values = OverfittingDetector(), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
        >>> losses = [1.0, 0.9, 0.8, 0.9, 1.0, 1.1, 1.2]
        >>> for step, loss in enumerate(losses):
        ...     verdict = detector.update(step=step, train_loss=1 / (step + 1), val_loss=loss)
        >>> pairs = zip(values, losses)
        >>> run = [Checkpoint(i, i, value, val_loss=loss) for i, (value, loss) in enumerate(pairs)]
        >>> said = judgement(verdict, trend(values), best_checkpoints(run), "F1")
        >>> said.partition(":")[0]
        'The loss overfits since evaluation 2 (step 2), and F1 still improves (+0.4 [0.4, 0.4] over its last evaluations)'
        >>> said.partition(". ")[2]
        'Lowest validation loss at evaluation 2 (step 2); best F1 at evaluation 6 (step 6).'
    """
    state = "ok" if verdict is None else verdict.state
    direction = "unclear" if trend is None else trend.state
    since = _onset(verdict, checkpoints)
    text = _TEXTS.get((state, direction)) or _TEXTS.get((state, ""), "")
    moved = "" if trend is None or math.isnan(trend.change) else _moved(trend)
    first = text.format(since=since, key=key, moved=moved, advice=ADVICE)
    return " ".join(part for part in (first, checkpoints.sentence(key)) if part)


_TEXTS = {
    ("overfitting", "improving"): (
        "The loss overfits since {since}, and {key} still improves{moved}: train on while it does, "
        "and keep the checkpoint of the best {key}."
    ),
    ("overfitting", "declining"): (
        "Both worsen: the loss overfits since {since}, and {key} declines{moved}. Stop, and use "
        "{advice}."
    ),
    ("overfitting", "plateaued"): (
        "The loss overfits since {since}, and {key} no longer moves{moved}: more training brings "
        "nothing. Use {advice}."
    ),
    ("overfitting", ""): (
        "The loss overfits since {since}; where {key} is going cannot be told yet. Use {advice}."
    ),
    (
        "watch",
        "improving",
    ): "The loss has begun to rise after {since}; {key} still improves{moved}.",
    ("watch", "declining"): (
        "The loss has begun to rise after {since}, and {key} declines{moved}: both may worsen."
    ),
    ("watch", ""): "The loss has begun to rise after {since}.",
    ("diverging", "declining"): (
        "Training and validation loss both rise since {since}, and {key} declines{moved}: the run "
        "diverges. Lower the learning rate, or go back to an earlier checkpoint."
    ),
    ("diverging", ""): (
        "Training and validation loss both rise since {since}: the run diverges, or recovers from a "
        "spike."
    ),
    ("ok", "declining"): "The loss does not overfit, but {key} declines{moved}.",
    ("ok", "plateaued"): "The loss does not overfit, and {key} no longer moves{moved}.",
}
"""By the verdict's state and the trend's; "" stands for any other trend."""


def _onset(verdict: Verdict | None, checkpoints: BestCheckpoints) -> str:
    """Since when: the evaluation, where it is that of the lowest loss, or else the step."""
    if verdict is None or verdict.onset_step is None:
        return "its best"
    lowest = checkpoints.lowest_loss
    if lowest is not None and lowest.step == verdict.onset_step:
        return str(lowest)
    return f"step {verdict.onset_step}"


def _moved(trend: Trend) -> str:
    return f" ({trend.change:+.3g} [{trend.low:.3g}, {trend.high:.3g}] over its last evaluations)"
