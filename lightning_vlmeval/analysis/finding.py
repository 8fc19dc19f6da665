"""What a diagnosis says: a pattern, what it means, what to do, and what shows it."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["pattern", "note", "undecided"]


@dataclass(frozen=True)
class Number:
    """A value with its interval.

    Args:
        value: The value.
        low: The lower end of its interval; NaN where it has none.
        high: The upper end.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.low) or math.isnan(self.high):
            return f"{self.value:.3g}"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Finding:
    """One thing that an evaluation shows.

    Args:
        slug: Its name, which does not change.
        meaning: What it means.
        advice: What to do.
        numbers: The values that show it, by name.
        samples: Ids of the samples that show it, those that show it most first; at most 20.
        kind: A "pattern"; a "note", which is no verdict; or "undecided", a pattern that the values
            have and their intervals do not prove.
    """

    slug: str
    meaning: str
    advice: str
    numbers: dict[str, Number] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    kind: Kind = "pattern"

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON holds it; what is not known is None.

        Example:
            >>> found = Finding("loose-boxes", "Loose.", "Tighten.", {"grounding/iou": Number(0.6)})
            >>> found.as_dict()["numbers"]
            {'grounding/iou': [0.6, None, None]}
        """
        return {
            "slug": self.slug,
            "kind": self.kind,
            "meaning": self.meaning,
            "advice": self.advice,
            "numbers": {
                name: [
                    None if math.isnan(one) else one
                    for one in (number.value, number.low, number.high)
                ]
                for name, number in self.numbers.items()
            },
            "samples": list(self.samples),
        }

    def line(self) -> str:
        """The finding in one line of text.

        Example:
            >>> numbers = {"grounding/iou": Number(0.6, 0.55, 0.65)}
            >>> Finding("loose-boxes", "Boxes are loose.", "Tighten them.", numbers).line()
            'Boxes are loose. Tighten them. (grounding/iou 0.6 [0.55, 0.65])'
        """
        shown = ", ".join(f"{name} {number}" for name, number in self.numbers.items())
        return f"{self.meaning} {self.advice}" + (f" ({shown})" if shown else "")
