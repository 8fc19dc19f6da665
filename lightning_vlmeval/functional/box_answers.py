"""How well answers could be read as boxes, beside how good the boxes are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lightning_vlmeval.errors import InputTypeError
from lightning_vlmeval.functional.scorer import Scorer, Scores, check_lengths, ratio
from lightning_vlmeval.parsing.box import Parsed
from lightning_vlmeval.table import Floats

# Issues after which the boxes are still those that the answer gives, repaired.
_REPAIRS = ("inverted", "clipped", "untagged")


@dataclass(frozen=True)
class BoxAnswerScorer(Scorer):
    """The shares of answers that gave boxes, said none, were repaired, were cut, or cannot be read.

    `preds` are what `BoxFormat.parse` returned; `target` is not looked at.

    - ``parse_rate``: gave a box or said none.
    - ``said_none``: said that there is nothing to find.
    - ``repaired``: had boxes that were sorted, clipped or read without their tags.
    - ``truncated``: ended inside a box or before its end.
    - ``malformed``: had boxes that could not be read and count as false.

    Without samples all are NaN.

    Example:
        >>> from lightning_vlmeval.parsing import box_format
        >>> parse = box_format("qwen3-vl").parse
        >>> answers = [parse("[]", (640, 480)), parse("I see a cat", (640, 480))]
        >>> rows = BoxAnswerScorer().rows(answers, [None, None])
        >>> scores = BoxAnswerScorer().from_sums(rows.sum(axis=0))
        >>> float(scores["parse_rate"]), float(scores["said_none"])
        (0.5, 0.5)
    """

    name: ClassVar[str] = "box_answers"
    columns = ("n", "parsed", "said_none", "repaired", "truncated", "malformed")
    keys = ("parse_rate", "said_none", "repaired", "truncated", "malformed")

    def rows(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """What each answer was, shape (n, 6).

        Args:
            preds: Parsed answers.
            target: Ignored.
            prompts: Ignored.
            truncated: Ignored: whether the boxes are whole is seen in the text.

        Raises:
            InputTypeError: A prediction is not a `Parsed`.
        """
        check_lengths(preds, target)
        for index, pred in enumerate(preds):
            if not isinstance(pred, Parsed):
                raise InputTypeError(f"Expected a `Parsed`, but got {type(pred).__name__}", index)
        rows = [
            (
                True,
                pred.ok,
                pred.said_none,
                any(pred.issues[issue] for issue in _REPAIRS),
                pred.issues["truncated"] > 0,
                pred.dropped > 0,
            )
            for pred in preds
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, len(self.columns))

    def from_sums(self, sums: Floats) -> Scores:
        """The shares.

        Args:
            sums: Shape (..., 6).
        """
        return {
            key: ratio(sums[..., place], sums[..., 0]) for place, key in enumerate(self.keys, 1)
        }
