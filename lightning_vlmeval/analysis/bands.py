"""When a value is high or low, and what a pattern asks of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lightning_vlmeval.analysis.finding import Kind
from lightning_vlmeval.errors import ConfigurationError

Side = Literal[
    "high",
    "low",
    "not high",
    "far above 0",
    "far below 0",
    "some",
    "known",
    "missing",
    "plateaued",
    "declining",
]


@dataclass(frozen=True)
class Band:
    """When a value is low and when it is high; in between it is neither.

    Args:
        low: A value is low below it.
        high: A value is high from it on.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Condition:
    """What a pattern asks of a value.

    Args:
        key: The value.
        side: "high" or "low", its whole interval beyond its band; "not high", which also holds where
            that is not decided; "far above 0" or "far below 0", of a difference: the value beyond its
            band, and its whole interval beyond half of it; "some", above 0 as it is; "known" or
            "missing", whether there is such a value; "plateaued" or "declining", its trend.
        band: Its band in this pattern; None for that of the key.
    """

    key: str
    side: Side
    band: Band | None = None


@dataclass(frozen=True)
class Rule:
    """One pattern.

    Args:
        slug: Its name.
        family: The patterns that exclude each other.
        conditions: All of which must hold.
        meaning: What it means.
        advice: What to do.
        evidence: Scores of samples with their weights; a sample with a larger sum shows it more.
        kind: A "pattern", or a "note" that is no verdict.
        advice_against: What to do where the pattern is told against a baseline; "" for `advice`.
    """

    slug: str
    family: str
    conditions: tuple[Condition, ...]
    meaning: str
    advice: str
    evidence: tuple[tuple[str, float], ...] = ()
    kind: Kind = "pattern"
    advice_against: str = ""


RELATIVE = frozenset({"grounding", "text"})
"""The families whose values can be judged against those of a baseline."""

PRIMARY = (
    "grounding/f1",
    "structured/field_f1",
    "text/bertscore_f1",
    "answers/exact_match",
    "text/meteor",
    "text/bleu",
)
"""Where a rule says "primary": the first of these that there is."""

DIFFERENCE = "grounding/precision_less_recall"
"""Precision less recall, whose band lies around 0."""

BANDS = {
    "grounding/f1": Band(0.6, 0.8),
    "grounding/precision": Band(0.6, 0.8),
    "grounding/recall": Band(0.6, 0.8),
    "grounding/iou": Band(0.4, 0.5),
    DIFFERENCE: Band(-0.15, 0.15),
    "grounding/parse_rate": Band(0.95, 0.98),
    "text/bertscore_f1": Band(0.3, 0.6),
    "text/bleu": Band(0.3, 0.6),
    "text/short_references": Band(0.3, 0.5),
    "structured/format_compliance": Band(0.8, 0.9),
    "structured/field_f1": Band(0.6, 0.8),
    "structured/swapped_rate": Band(0.02, 0.05),
    "structured/wrong_unit_rate": Band(0.02, 0.05),
    "structured/hallucinated_rate": Band(0.05, 0.1),
    "structured/consistency": Band(0.8, 0.9),
    "health/empty": Band(0.02, 0.05),
    "health/truncated": Band(0.02, 0.05),
    "health/repetition": Band(0.02, 0.05),
    "health/reasoning": Band(0.02, 0.05),
    "health/prompt_echo": Band(0.02, 0.05),
    "gap/primary": Band(0.05, 0.1),
    "boxes/size_ratio": Band(0.9, 1.1),
    "phrase/size_ratio": Band(0.9, 1.1),
    "annotator/size_ratio": Band(0.9, 1.1),
    "phrase/rare_gap": Band(0.05, 0.1),
    "answers/shared_opening": Band(0.3, 0.5),
    "references/shared_opening": Band(0.3, 0.5),
}
"""Defaults, not standards. `grounding/iou` is a share of the way from the threshold to 1; BERTScore
and BLEU are shares of the way from their floor to 1, where a floor is known."""

RAW_BERTSCORE = Band(0.8, 0.9)
"""For BERTScore's raw cosines without a floor; what is high depends on the encoder."""


def read_bands(given: Mapping[str, Sequence[float]]) -> dict[str, Band]:
    """Bands as a user writes them.

    Args:
        given: The lower and the upper edge, by a key of `BANDS`.

    Raises:
        ConfigurationError: A key is unknown, a pair is not two numbers in order, or that of a
            difference does not hold 0.

    Example:
        >>> read_bands({"grounding/f1": [0.5, 0.7]})
        {'grounding/f1': Band(low=0.5, high=0.7)}
    """
    for key, pair in given.items():
        if key not in BANDS:
            raise ConfigurationError(
                f"Expected `bands` for some of {', '.join(BANDS)}, but got {key!r}"
            )
        if len(pair) != 2 or not pair[0] <= pair[1]:
            raise ConfigurationError(
                f"Expected the band of {key!r} to be two numbers, low up to high, but got {pair!r}"
            )
        if key == DIFFERENCE and not pair[0] <= 0 <= pair[1]:
            raise ConfigurationError(
                f"Expected the band of {key!r} to hold 0, as [-0.15, 0.15], but got {pair!r}"
            )
    return {key: Band(*map(float, pair)) for key, pair in given.items()}
