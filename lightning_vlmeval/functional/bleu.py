"""BLEU: how much of an answer's wording its references have, equal to sacrebleu's."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from typing import Any, ClassVar

import numpy as np
import sacrebleu

from lightning_vlmeval.errors import ConfigurationError, MissingExtraError
from lightning_vlmeval.functional.ngrams import Alphabet, clipped_matches
from lightning_vlmeval.functional.scorer import Scores, TextScorer, check_texts, ratio
from lightning_vlmeval.table import Floats, Table

# The smoothing methods, and the value of those that take one.
_SMOOTH_VALUES = {"none": 0.0, "floor": 0.1, "add-k": 1.0, "exp": 0.0}

# The largest float.
_MAX = sys.float_info.max

# What a tokenizer of sacrebleu needs besides sacrebleu.
_NEEDS = {"ja-mecab": "`pip install sacrebleu[ja]`", "ko-mecab": "`pip install sacrebleu[ko]`"}
_SENTENCEPIECE = "`pip install sentencepiece` and, once, a network to download its model"


@dataclass(frozen=True)
class BLEUScorer(TextScorer):
    """The geometric mean of the clipped n-gram precisions, times a penalty for short answers.

    Equal to sacrebleu's score divided by 100, to the last bit; only where its rounding leads to
    100.00000000000004 is it 1. The corpus score pools the n-grams of all samples; it is not the
    mean of the samples' scores. These are sacrebleu's sentence BLEU, with `effective_order=True`
    whatever the option says, so that an answer of fewer than four tokens can score.

    | sample or table | `sample_scores` | corpus `bleu` |
    |---|---|---|
    | empty prediction, empty reference, or both | 0 | 0 if there is no other |
    | no n-gram in common | 0 | 0 if there is no other |
    | "A car" for "A car" | 1 | 0 if there is no other: it has no 4-gram |
    | no sample at all | | NaN |

    Args:
        tokenize: A tokenizer of sacrebleu: "13a", "none", "intl", "zh", "char", or one that needs
            further packages ("ja-mecab", "ko-mecab") or a model that sacrebleu downloads ("spm",
            "flores101", "flores200", "spBLEU-1K").
        smooth_method: What the precision of an order without matches is: "exp" 1 / (2 ** k * total)
            for the k-th such order, "floor" `smooth_value` / total, "none" 0, and so the score.
            "add-k" adds `smooth_value` to the matches and totals of all orders but the first.
        smooth_value: By default 0.1 for "floor" and 1 for "add-k"; the others take none.
        lowercase: Ignore case.
        effective_order: Leave out the orders that are longer than the longest prediction.
        max_ngram_order: The largest n.

    Raises:
        ConfigurationError: An option is unknown or out of its range.

    Example:
        >>> scorer = BLEUScorer(max_ngram_order=2)
        >>> rows = scorer.rows(["the red car"], [["a red car", "the car is red"]])
        >>> for column, value in zip(scorer.columns[:-1], rows[0].tolist()):
        ...     print(column, value)
        correct_1 3.0
        correct_2 1.0
        total_1 3.0
        total_2 2.0
        pred_length 3.0
        target_length 3.0
        >>> round(float(scorer.from_sums(rows[0])["bleu"]), 4)  # the root of 3/3 * 1/2
        0.7071

    Papineni et al., "BLEU: a method for automatic evaluation of machine translation", 2002; Post,
    "A call for clarity in reporting BLEU scores", 2018; Chen and Cherry, "A systematic comparison
    of smoothing techniques for sentence-level BLEU", 2014.
    """

    name: ClassVar[str] = "bleu"

    tokenize: str = "13a"
    smooth_method: str = "exp"
    smooth_value: float | None = None
    lowercase: bool = False
    effective_order: bool = False
    max_ngram_order: int = 4

    def __post_init__(self) -> None:
        for option, value, known in (
            ("tokenize", self.tokenize, tuple(sacrebleu.BLEU.TOKENIZERS)),
            ("smooth_method", self.smooth_method, tuple(_SMOOTH_VALUES)),
        ):
            if value not in known:
                raise ConfigurationError(
                    f"Expected `{option}` to be one of {', '.join(known)}, but got {value!r}"
                )
        # More than 1 would put a precision above 1.
        largest, interval = (1.0, "[0, 1]") if self.smooth_method == "floor" else (_MAX, "[0, inf)")
        if self.smooth_value is not None and not 0 <= self.smooth_value <= largest:
            raise ConfigurationError(
                f"Expected `smooth_value` of {self.smooth_method!r} to be in {interval}, "
                f"but got {self.smooth_value!r}"
            )
        if not isinstance(self.max_ngram_order, int) or self.max_ngram_order < 1:
            raise ConfigurationError(
                f"Expected `max_ngram_order` to be an integer of at least 1, "
                f"but got {self.max_ngram_order!r}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """The options alone: what is remembered is made again, and a tokenizer may not pickle."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def columns(self) -> tuple[str, ...]:
        """Matches and n-grams of each order, the lengths of prediction and reference, and a 1."""
        orders = range(1, self.max_ngram_order + 1)
        return (
            *(f"correct_{n}" for n in orders),
            *(f"total_{n}" for n in orders),
            "pred_length",
            "target_length",
            "num_samples",
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """`bleu`, in [0, 1]."""
        return ("bleu",)

    def prepare(self) -> None:
        """Load the tokenizer.

        Raises:
            MissingExtraError: It needs something that is not installed.
        """
        _load_tokenizer(self.tokenize)

    def rows(
        self,
        preds: Sequence[str],
        target: Sequence[str | Sequence[str]],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """The n-gram counts of each sample, shape (n, 2 * `max_ngram_order` + 3).

        With several references an n-gram counts as often as in the reference that has it most, and
        the reference length is the one closest to the prediction's, the shorter of two.

        Args:
            preds: A text for each sample.
            target: A reference for each sample, or several; their number may differ.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: A prediction or a reference is not a string.
            InputError: The lengths differ, or a sample has no reference.
            MissingExtraError: The tokenizer needs something that is not installed.
        """
        preds, references = check_texts(preds, target)
        order, encode = self.max_ngram_order, self._alphabet.encode
        counts: list[int] = []
        for pred, texts in zip(preds, references, strict=True):
            code, codes = encode(pred, texts)
            counts += clipped_matches(code, codes, order)
            counts += len(code), _closest_length(len(code), codes)
        table = np.array(counts, np.float64).reshape(-1, order + 2)
        rows = np.ones((len(preds), 2 * order + 3))
        rows[:, :order] = table[:, :order]
        rows[:, order : 2 * order] = np.maximum(table[:, order, None] - np.arange(order), 0)
        rows[:, 2 * order : -1] = table[:, order:]
        return rows

    def from_sums(self, sums: Floats) -> Scores:
        """The score of summed counts.

        Args:
            sums: Shape (..., 2 * `max_ngram_order` + 3).

        Returns:
            `bleu` of shape (...); NaN where there is no sample.
        """
        order = self.max_ngram_order
        correct, total = sums[..., :order], sums[..., order : 2 * order]
        pred_length, target_length, samples = np.moveaxis(sums[..., 2 * order :], -1, 0)
        precisions, effective = self._precisions(correct, total)
        shortness = 1 - ratio(target_length, pred_length, empty=float("inf"))
        exponents = np.where(pred_length < target_length, shortness, 0.0)
        # sacrebleu uses `math`, whose exp and log may differ from numpy's in the last bit.
        scores = [
            math.exp(exponent) * _geometric_mean(values[: int(n)])
            for exponent, values, n in zip(
                exponents.ravel().tolist(),
                precisions.reshape(-1, order).tolist(),
                effective.ravel().tolist(),
                strict=True,
            )
        ]
        bleu = np.minimum(np.array(scores, np.float64).reshape(samples.shape) / 100, 1.0)
        bleu = np.where((correct != 0).any(axis=-1), bleu, 0.0)
        return {"bleu": np.where(samples != 0, bleu, np.nan)}

    def _precisions(self, correct: Floats, total: Floats) -> tuple[Floats, Floats]:
        """The smoothed precisions in percent, and how many orders count."""
        smooth = self._smooth_value
        if self.smooth_method == "add-k":
            more = np.arange(self.max_ngram_order) > 0
            correct, total = correct + smooth * more, total + smooth * more
        # The orders end at the first without n-grams.
        counted = np.logical_and.accumulate(total != 0, axis=-1)
        missed = counted & (correct == 0)
        if self.smooth_method == "exp":
            correct = np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), correct)
        elif self.smooth_method == "floor":
            correct = np.where(missed, smooth, correct)
        precisions = ratio(100.0 * correct, np.where(counted, total, 0.0), empty=0.0)
        orders = counted.sum(axis=-1)
        limited = self.effective_order & (orders > 0)
        return precisions, np.where(limited, orders, self.max_ngram_order)

    def sample_scores(self, table: Table) -> Scores:
        """Each sample's sentence BLEU, with `effective_order=True`.

        Args:
            table: Rows that this scorer made.
        """
        return replace(self, effective_order=True).from_sums(table.rows)

    def options(self) -> tuple[tuple[str, str], ...]:
        """The options in sacrebleu's order and short names."""
        smooth = self.smooth_method
        if smooth in {"floor", "add-k"}:
            smooth += f"[{self._smooth_value!r}]"
        return (
            ("case", "lc" if self.lowercase else "mixed"),
            ("eff", "yes" if self.effective_order else "no"),
            ("tok", _load_tokenizer(self.tokenize).signature()),
            ("smooth", smooth),
            ("order", str(self.max_ngram_order)),
            ("version", sacrebleu.__version__),
        )

    @property
    def _smooth_value(self) -> float:
        value = self.smooth_value
        return _SMOOTH_VALUES[self.smooth_method] if value is None else float(value)

    @cached_property
    def _alphabet(self) -> Alphabet:
        return Alphabet(self._tokens, self._words if self.tokenize == "13a" else None)

    def _words(self, text: str) -> list[str] | None:
        """The words, where 13a tokenizes each on its own: two things it removes from lines."""
        if self.lowercase:
            text = text.lower()
        return None if "-\n" in text or "<skipped>" in text else text.split()

    def _tokens(self, text: str) -> Sequence[str]:
        """The tokens of a text, or of one of its words."""
        if self.tokenize == "13a":
            # What most words are, and what its regular expressions would give for them.
            if text.isalnum():
                return (text,)
            if text[-1] in ".," and text[:-1].isalnum():
                return text[:-1], text[-1]
        line = text.lower() if self.lowercase else text
        tokens: str = _load_tokenizer(self.tokenize)(line.rstrip())
        return tokens.split()


def _closest_length(length: int, references: Sequence[str]) -> int:
    """The reference length that is closest to the prediction's; the shorter of two that are."""
    if len(references) == 1:
        return len(references[0])
    return min((abs(length - len(text)), len(text)) for text in references)[1]


def _geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean, with the rounding of sacrebleu; 0 where a value is 0."""
    return math.exp(sum(map(math.log, values)) / len(values)) if all(values) else 0.0


@cache
def _load_tokenizer(name: str) -> Any:
    """The tokenizer that sacrebleu has under this name."""
    try:
        return sacrebleu.BLEU(tokenize=name).tokenizer
    except (ImportError, RuntimeError, OSError) as error:
        needs = _NEEDS.get(name, _SENTENCEPIECE)
        raise MissingExtraError(
            f"Expected sacrebleu to load its tokenizer {name!r}, but got "
            f"{type(error).__name__}: {' '.join(str(error).split())}. It needs {needs}"
        ) from error
