"""chrF: how many of an answer's character n-grams are right, equal to sacrebleu's."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

import numpy as np
import sacrebleu

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.scorer import Scores, TextScorer, check_texts, ratio
from lightning_vlmeval.table import Floats

# sacrebleu's value for a ratio of nothing.
_EPS = 1e-16


@dataclass(frozen=True)
class CHRFScorer(TextScorer):
    """The F-score of character n-grams, their precision and recall averaged over the orders.

    Equal to sacrebleu's score divided by 100, to the last bit. It needs no tokenizer, so it suits
    languages without spaces and answers of one word. With several references each sample counts
    with the one that gives its best score; the corpus score pools the n-grams of all samples.

    | sample or table | `chrf` |
    |---|---|
    | empty prediction, empty reference, or both | 0; with `eps_smoothing` up to 1e-16 |
    | no n-gram in common | 0; with `eps_smoothing` up to 1e-16 |
    | shorter than `char_order` | the orders that both texts have |
    | no sample at all | NaN |

    Args:
        char_order: The largest n of character n-grams.
        word_order: The largest n of word n-grams, 0 for none; 2 makes it chrF++.
        beta: How many times as much as precision recall weighs.
        lowercase: Ignore case.
        whitespace: Count spaces as characters.
        eps_smoothing: Average the F-scores of all orders, those without n-grams as 1e-16, as
            chrF++.py, NLTK and Moses do.

    Raises:
        ConfigurationError: An order or `beta` is negative, or both orders are 0.

    Example:
        >>> scorer = CHRFScorer(char_order=1)
        >>> rows = scorer.rows(["cats"], ["cat"])
        >>> dict(zip(scorer.columns, rows[0].tolist(), strict=True))
        {'pred_char_1': 4.0, 'target_char_1': 3.0, 'match_char_1': 3.0, 'num_samples': 1.0}
        >>> round(float(scorer.from_sums(rows[0])["chrf"]), 4)  # 5 * P * R / (4 * P + R)
        0.9375

    Popović, "chrF: character n-gram F-score for automatic MT evaluation", 2015, and "chrF++: words
    helping character n-grams", 2017.
    """

    name: ClassVar[str] = "chrf"

    char_order: int = 6
    word_order: int = 0
    beta: float = 2
    lowercase: bool = False
    whitespace: bool = False
    eps_smoothing: bool = False

    def __post_init__(self) -> None:
        for option in ("char_order", "word_order"):
            value = getattr(self, option)
            if not isinstance(value, int) or value < 0:
                raise ConfigurationError(
                    f"Expected `{option}` to be an integer of at least 0, but got {value!r}"
                )
        if not self.char_order + self.word_order:
            raise ConfigurationError(
                "Expected `char_order` or `word_order` to be at least 1, but got 0 for both"
            )
        if not 0 <= self.beta < float("inf"):
            raise ConfigurationError(f"Expected `beta` to be 0 or more, but got {self.beta!r}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The n-grams of prediction, reference and both for each order, and a 1."""
        orders = [f"char_{n}" for n in range(1, self.char_order + 1)]
        orders += [f"word_{n}" for n in range(1, self.word_order + 1)]
        return (
            *(f"{kind}_{order}" for order in orders for kind in ("pred", "target", "match")),
            "num_samples",
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """`chrf`, in [0, 1]."""
        return ("chrf",)

    def rows(
        self,
        preds: Sequence[str],
        target: Sequence[str | Sequence[str]],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """The n-gram counts of each sample, shape (n, 3 * (`char_order` + `word_order`) + 1).

        Args:
            preds: A text for each sample.
            target: A reference for each sample, or several; their number may differ.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: A prediction or a reference is not a string.
            InputError: The lengths differ, or a sample has no reference.
        """
        preds, references = check_texts(preds, target)
        if not preds:
            return np.empty((0, len(self.columns)))
        metric = sacrebleu.CHRF(
            char_order=self.char_order,
            word_order=self.word_order,
            beta=self.beta,  # type: ignore[arg-type]  # squared, so a float will do
            lowercase=self.lowercase,
            whitespace=self.whitespace,
            eps_smoothing=self.eps_smoothing,
        )
        # The first reference of each sample, then the second, ...: None where there are no more.
        streams = list(zip_longest(*references))
        # What sacrebleu's own significance tests start from; it is not public.
        counts = metric._extract_corpus_statistics(preds, streams)
        return np.hstack([np.array(counts, np.float64), np.ones((len(preds), 1))])

    def from_sums(self, sums: Floats) -> Scores:
        """The score of summed counts.

        Args:
            sums: Shape (..., 3 * (`char_order` + `word_order`) + 1).

        Returns:
            `chrf` of shape (...); NaN where there is no sample.
        """
        samples, orders = sums[..., -1], self.char_order + self.word_order
        counts = sums[..., :-1].reshape(*samples.shape, orders, 3)
        pred, target, match = np.moveaxis(counts, -1, 0)
        precision = ratio(match, pred, empty=_EPS)
        recall = ratio(match, target, empty=_EPS)
        if self.eps_smoothing:
            score = 100 * _total(self._f_score(precision, recall, empty=_EPS)) / orders
        else:
            both = (pred > 0) & (target > 0)
            effective = both.sum(axis=-1)
            precision = ratio(_total(np.where(both, precision, 0.0)), effective, empty=0.0)
            recall = ratio(_total(np.where(both, recall, 0.0)), effective, empty=0.0)
            score = 100 * self._f_score(precision, recall, empty=0.0)
        return {"chrf": np.where(samples != 0, score / 100, np.nan)}

    def _f_score(self, precision: Floats, recall: Floats, empty: float) -> Floats:
        factor = self.beta**2
        return ratio((1 + factor) * precision * recall, factor * precision + recall, empty)

    def options(self) -> tuple[tuple[str, str], ...]:
        """The options in sacrebleu's order and short names, after `beta`, part of its names."""
        return (
            ("beta", f"{self.beta:g}"),
            ("case", "lc" if self.lowercase else "mixed"),
            ("eff", "no" if self.eps_smoothing else "yes"),
            ("nc", str(self.char_order)),
            ("nw", str(self.word_order)),
            ("space", "yes" if self.whitespace else "no"),
            ("version", sacrebleu.__version__),
        )


def _total(values: Floats) -> Floats:
    """The sum over the orders, added one after the other as sacrebleu does: `sum` adds in pairs."""
    total: Floats = np.cumsum(values, axis=-1)[..., -1]
    return total
