"""ROUGE: how many of a reference's words, word pairs and word sequences an answer has."""

import importlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

from lightning_vlmeval.errors import ConfigurationError, MissingExtraError
from lightning_vlmeval.functional.ngrams import Alphabet, clipped_matches
from lightning_vlmeval.functional.scorer import Scores, TextScorer, check_texts, ratio
from lightning_vlmeval.signature import qualified_name
from lightning_vlmeval.table import Floats

# Of an ASCII text: letters and digits as they are, everything else a space.
_ALPHANUMERIC = bytes(
    code if chr(code) in "abcdefghijklmnopqrstuvwxyz0123456789" else ord(" ") for code in range(256)
)

# Where a pair's counts begin: the common subsequence and the lengths of both texts; the same of
# their sentences; the common n-grams, those of order n at _NGRAMS + n.
_WHOLE, _SUMMARY, _NGRAMS = 0, 3, 5

# The least that a key's common, predicted and target counts are, so that nothing divides by 0.
_LEAST = np.array([0, 1, 1])


@dataclass(frozen=True)
class ROUGEScorer(TextScorer):
    """Precision, recall and F-measure of shared n-grams or subsequences, averaged over the samples.

    Each sample's values equal rouge-score's to the last bit. "rouge1" to "rouge9" count n-grams;
    "rougeL" the longest common subsequence of the whole texts; "rougeLsum" the union of those of
    each reference sentence with all sentences of the prediction. Where both texts have one
    sentence, "rougeLsum" is "rougeL". With several references each key takes the one with the best
    F-measure, the first of equals, and its precision and recall.

    Tokens are runs of a-z and 0-9 after lowercasing: everything else, accented letters too, only
    separates them, so a text in another script has no token and scores 0. Give such text a
    `tokenizer`.

    | sample or table | every key |
    |---|---|
    | prediction or reference empty or without a token, or both | 0 |
    | no token in common | 0 |
    | under n tokens | 0 for "rougen" |
    | no sample at all | NaN |

    Args:
        rouge_keys: What to score: "rouge1" to "rouge9", "rougeL", "rougeLsum".
        use_stemmer: Stem words of four and more characters with NLTK's Porter stemmer.
        split_summaries: Let NLTK find the sentences for "rougeLsum"; otherwise lines are sentences.
        tokenizer: Gives the tokens of a text, in place of the default.

    Raises:
        ConfigurationError: A key is unknown, or both `use_stemmer` and `tokenizer` are given.

    Example:
        >>> scorer = ROUGEScorer(rouge_keys=("rouge1", "rougeL"))
        >>> rows = scorer.rows(["a car that is red"], ["the red car"])
        >>> scores = scorer.from_sums(rows.sum(axis=0))
        >>> scores["rouge1_precision"].item(), scores["rouge1_fmeasure"].item()
        (0.4, 0.5)
        >>> scores["rougeL_precision"].item(), scores["rougeL_fmeasure"].item()
        (0.2, 0.25)

    Lin, "ROUGE: a package for automatic evaluation of summaries", 2004.
    """

    name: ClassVar[str] = "rouge"

    rouge_keys: tuple[str, ...] = ("rouge1", "rouge2", "rougeL", "rougeLsum")
    use_stemmer: bool = False
    split_summaries: bool = False
    tokenizer: Callable[[str], Sequence[str]] | None = None

    def __post_init__(self) -> None:
        keys = (self.rouge_keys,) if isinstance(self.rouge_keys, str) else tuple(self.rouge_keys)
        object.__setattr__(self, "rouge_keys", keys)
        if not keys or not all(re.fullmatch("rouge([1-9]|L|Lsum)", key) for key in keys):
            raise ConfigurationError(
                f"Expected `rouge_keys` to be of 'rouge1' to 'rouge9', 'rougeL' and 'rougeLsum', "
                f"but got {keys!r}"
            )
        if self.use_stemmer and self.tokenizer is not None:
            raise ConfigurationError(
                "Expected `use_stemmer` or `tokenizer`, but got both; let the tokenizer stem"
            )

    def __getstate__(self) -> dict[str, Any]:
        """The options alone: what is remembered is made again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def columns(self) -> tuple[str, ...]:
        """A 1, then the value of each key."""
        return ("num_samples", *self.keys)

    @property
    def keys(self) -> tuple[str, ...]:
        """`rouge1_precision`, `rouge1_recall`, `rouge1_fmeasure`, ..., in [0, 1]."""
        measures = ("precision", "recall", "fmeasure")
        return tuple(f"{key}_{measure}" for key in self.rouge_keys for measure in measures)

    def prepare(self) -> None:
        """Load the stemmer and the sentence splitter, where they are used.

        Raises:
            MissingExtraError: `split_summaries` without NLTK's sentence data.
        """
        _ = self._alphabet
        self._sentences("")

    def rows(
        self,
        preds: Sequence[str],
        target: Sequence[str | Sequence[str]],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """The values of each sample, shape (n, 1 + 3 * number of `rouge_keys`).

        Args:
            preds: A text for each sample.
            target: A reference for each sample, or several; their number may differ.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: A prediction or a reference is not a string.
            InputError: The lengths differ, or a sample has no reference.
            MissingExtraError: `split_summaries` without NLTK's sentence data.
        """
        preds, references = check_texts(preds, target)
        alphabet, order = self._alphabet, max(self._orders)
        counts: list[int] = []
        for pred, texts in zip(preds, references, strict=True):
            code, codes = alphabet.encode(pred, texts)
            for text, reference in zip(texts, codes, strict=True):
                whole = LCSseq.similarity(code, reference), len(code), len(reference)
                counts += whole
                counts += self._summary(pred, text) or whole
                counts += clipped_matches(code, [reference], order)
        values = self._measures(np.array(counts, np.float64).reshape(-1, _NGRAMS + 1 + order))
        if len(values) > len(preds):
            values = _best(values, [len(texts) for texts in references])
        rows = np.ones((len(preds), 1 + 3 * len(self.rouge_keys)))
        rows[:, 1:] = values.reshape(-1, 3 * len(self.rouge_keys))
        return rows

    def from_sums(self, sums: Floats) -> Scores:
        """The mean of each key.

        Args:
            sums: Shape (..., 1 + 3 * number of `rouge_keys`).

        Returns:
            Each key with its mean, shape (...); NaN where there is no sample.
        """
        means = np.moveaxis(ratio(sums[..., 1:], sums[..., :1]), -1, 0)
        return dict(zip(self.keys, means, strict=True))

    def options(self) -> tuple[tuple[str, str], ...]:
        """The options, a tokenizer by its qualified name."""
        return (
            ("rouge_keys", ",".join(self.rouge_keys)),
            ("use_stemmer", "yes" if self.use_stemmer else "no"),
            ("split_summaries", "yes" if self.split_summaries else "no"),
            ("tokenizer", "default" if self.tokenizer is None else qualified_name(self.tokenizer)),
            ("version", version("rouge-score")),
        )

    @cached_property
    def _alphabet(self) -> Alphabet:
        if self.tokenizer is not None:
            return Alphabet(self.tokenizer)
        if not self.use_stemmer:
            return Alphabet(_words)
        tokenizers = importlib.import_module("rouge_score.tokenizers")  # imports nltk: a second
        return Alphabet(tokenizers.DefaultTokenizer(use_stemmer=True).tokenize, _words)

    @cached_property
    def _orders(self) -> tuple[int, ...]:
        """The n of each key; 0 for subsequences."""
        return tuple(int(key[5:]) if key[5:].isdigit() else 0 for key in self.rouge_keys)

    @cached_property
    def _places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where each key's common, predicted and target counts are, and what these exceed it by."""
        orders = np.array(self._orders)
        begin = np.array([_SUMMARY if key == "rougeLsum" else _WHOLE for key in self.rouge_keys])
        common = np.where(orders > 0, _NGRAMS + orders, begin)
        # A text has n - 1 fewer n-grams than tokens.
        excess = np.maximum(orders - 1, 0)[:, None] * np.array([0, 1, 1])
        return np.stack([common, begin + 1, begin + 2], axis=1), excess

    def _measures(self, counts: Floats) -> Floats:
        """Precision, recall and F-measure of each pair and key, shape (pairs, keys, 3)."""
        places, excess = self._places
        counts = np.maximum(counts[:, places] - excess, _LEAST)
        values = np.empty_like(counts)
        np.divide(counts[..., :1], counts[..., 1:], values[..., :2])
        precision, recall = values[..., 0], values[..., 1]
        # The sum is 0 only where both are, and then the F-measure is.
        total = np.maximum(precision + recall, np.finfo(np.float64).tiny)
        np.divide(2 * precision * recall, total, values[..., 2])
        return values

    def _summary(self, pred: str, target: str) -> Sequence[int]:
        """The counts of the two texts' sentences; nothing where they are those of the texts."""
        if "rougeLsum" not in self.rouge_keys:
            return ()
        one_line = "\n" not in pred and "\n" not in target
        if one_line and pred and target and not self.split_summaries:
            return ()
        ours = [self._alphabet.code(sentence) for sentence in self._sentences(pred)]
        theirs = [self._alphabet.reference(sentence) for sentence in self._sentences(target)]
        return summary_lcs(ours, theirs), sum(map(len, ours)), sum(map(len, theirs))

    def _sentences(self, text: str) -> list[str]:
        """The sentences that are not empty."""
        if not self.split_summaries:
            return [line for line in text.split("\n") if line]
        nltk = importlib.import_module("nltk")  # takes a second: only where it is needed
        try:
            return [sentence for sentence in nltk.sent_tokenize(text) if sentence]
        except LookupError as error:
            raise MissingExtraError(
                "Expected NLTK's sentence data for `split_summaries=True`, but it is not installed;"
                " run `python -m nltk.downloader punkt_tab`, or put each sentence on a line of its"
                " own and leave `split_summaries=False`"
            ) from error


def _words(text: str) -> list[str]:
    """The tokens of rouge-score's default tokenizer without stemmer."""
    return text.lower().encode("ascii", "replace").translate(_ALPHANUMERIC).decode().split()


def _best(values: Floats, numbers: Sequence[int]) -> Floats:
    """For each sample and key the reference with the best F-measure, the first of equals.

    Args:
        values: Shape (pairs, keys, 3).
        numbers: How many pairs, one for each reference, each sample has.
    """
    sample = np.repeat(np.arange(len(numbers)), numbers)
    first = np.cumsum(numbers) - numbers
    order = [np.lexsort((-fmeasure, sample))[first] for fmeasure in values[:, :, 2].T]
    best: Floats = values[np.stack(order, axis=-1), np.arange(values.shape[1])]
    return best


def summary_lcs(pred: Sequence[str], target: Sequence[str]) -> int:
    """How many tokens of the target's sentences are in the union of their LCS with `pred`'s.

    A token counts at most as often as the prediction has it.

    Args:
        pred: The prediction's sentences, a character for each token.
        target: The target's.

    Example:
        Section 3.2 of Lin (2004): the union of "12" and "135" is four tokens of the target.

        >>> summary_lcs(["12678", "13895"], ["12345"])
        4
    """
    found = Counter(
        sentence[place]
        for sentence in target
        for place in set().union(*(_lcs_places(sentence, other) for other in pred))
    )
    return (found & Counter("".join(pred))).total()


def _lcs_places(target: str, pred: str) -> set[int]:
    """Which places of the target are in the longest common subsequence that rouge-score takes.

    Of several that are equally long it takes the one found from the end, by going back in the
    target wherever that loses nothing. The table is that of Hyyrö (2004): a bit for each place of
    the target, 0 where that place makes the subsequence with the prediction so far one longer.
    """
    masks: dict[str, int] = {}
    for place, token in enumerate(target):
        masks[token] = masks.get(token, 0) | 1 << place
    everywhere = (1 << len(target)) - 1
    row, table = everywhere, []
    for token in pred:
        match = row & masks.get(token, 0)
        row = ((row + match) | (row - match)) & everywhere
        table.append(row)
    found, place, position = set(), len(target) - 1, len(pred) - 1
    while place >= 0 and position >= 0:
        if target[place] == pred[position]:
            found.add(place)
            place, position = place - 1, position - 1
        elif table[position] >> place & 1:
            place -= 1
        else:
            position -= 1
    return found
