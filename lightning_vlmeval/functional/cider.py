"""CIDEr and CIDEr-D: TF-IDF weighted n-grams in common with the references of a whole data set."""

import json
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lightning_vlmeval import __version__
from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.functional.consensus import cider_scores
from lightning_vlmeval.functional.scorer import Scorer, Scores, check_texts
from lightning_vlmeval.signature import qualified_name
from lightning_vlmeval.table import Floats, Table

# Chinese and Japanese have no spaces: each of their characters is a token.
_UNSPACED = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF))
_UNSPACED_PLANES = (0x20000, 0x3FFFF)


class _Separators(dict[int, int | str]):
    """A table for `str.translate`, filled as characters come: spaces for punctuation."""

    def __missing__(self, code: int) -> int | str:
        character = chr(code)
        separate: int | str = code
        if character != "-" and unicodedata.category(character).startswith("P"):
            separate = " "
        elif any(first <= code <= last for first, last in (*_UNSPACED, _UNSPACED_PLANES)):
            separate = f" {character} "
        self[code] = separate
        return separate


_SEPARATORS = _Separators()


def caption_tokens(text: str) -> list[str]:
    """The tokens of a caption: lower case, split at white space and punctuation.

    Every character of Unicode's punctuation categories separates and is dropped, but for a hyphen
    inside a word. Each Chinese or Japanese character is a token. This stands in for the Java
    tokenizer of coco-caption, which also splits words such as "don't", and keeps "3.5" whole.

    Args:
        text: A caption.

    Example:
        >>> caption_tokens("A man's T-shirt - red, 猫.")
        ['a', 'man', 's', 't-shirt', 'red', '猫']
    """
    words = (word.strip("-") for word in text.lower().translate(_SEPARATORS).split())
    return [word for word in words if word]


@dataclass(frozen=True)
class CIDErScorer(Scorer):
    """Consensus of an answer with its references: the mean cosine of their TF-IDF n-gram vectors.

    For n from 1 to 4, a text is the vector of its n-grams, each counted and weighted by
    ``log(N / max(1, df))``: N is the number of samples of the table, and df the number of samples
    that have the n-gram in a reference. The score is the mean over n and over the references,
    times 10.

    - ``cider``: the cosine of the two vectors (Vedantam et al. 2015, on the scale of the authors'
      code, without stemming).
    - ``cider_d``: as ``Cider`` of coco-caption and pycocoevalcap, which is CIDEr-D: the answer's
      weights are clipped to the reference's, and ``exp(-d**2 / (2 * 6**2))`` is a penalty for the
      difference d of their lengths, in bigrams.

    Both are from 0 to 10, and higher is better. The weights come from all references of the table,
    so that no sum of rows gives the scores: `payloads` are what they are computed from, `score` and
    `sample_scores` need the whole table, and `from_sums` gives NaN. Each id counts once, and the
    order of the table does not matter, to the last bit. Scores of tables with different samples do
    not compare.

    | case | score |
    |---|---|
    | no samples | NaN |
    | one sample, or n-grams that all samples have | 0: log(1), nothing tells samples apart |
    | an empty answer or reference, or both | 0, as in the originals |
    | an answer of fewer than n words | 0 for this n, so that one of 3 words has 7.5 at most |

    Args:
        tokenize: What splits a text into tokens; None for `caption_tokens`.

    Raises:
        ConfigurationError: `tokenize` cannot be called.

    Example:
        >>> scorer = CIDErScorer()
        >>> answers, references = ["a red car", "a dog"], ["a red car", "the cat"]
        >>> table = Table(
        ...     scorer.columns,
        ...     ("1", "2"),
        ...     scorer.rows(answers, references),
        ...     payloads=tuple(scorer.payloads(answers, references)),
        ... )
        >>> scorer.score(table)
        {'cider': 3.75, 'cider_d': 3.75}
    """

    tokenize: Callable[[str], Sequence[str]] | None = None

    name: ClassVar[str] = "cider"
    unbounded: ClassVar[frozenset[str]] = frozenset({"cider", "cider_d"})

    def __post_init__(self) -> None:
        if self.tokenize is not None and not callable(self.tokenize):
            raise ConfigurationError(
                "Expected `tokenize` to be a function from a text to its tokens, or None, "
                f"but got {self.tokenize!r}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The number of samples; the rest is in the payloads."""
        return ("num_samples",)

    @property
    def keys(self) -> tuple[str, ...]:
        """CIDEr and CIDEr-D."""
        return ("cider", "cider_d")

    def options(self) -> tuple[tuple[str, str], ...]:
        """The tokenizer's name, and the version of this package."""
        name = qualified_name(self.tokenize or caption_tokens)
        return ("tokenize", name), ("version", __version__)

    def rows(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """A one for each sample, float64 of shape (n, 1).

        Args:
            preds: One text a sample.
            target: For each sample a reference, or several.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: A prediction or a reference is not a string.
            InputError: The lengths differ, or a sample has no reference.
        """
        texts, _ = check_texts(preds, target)
        return np.ones((len(texts), 1))

    def payloads(self, preds: Sequence[Any], target: Sequence[Any]) -> list[bytes]:
        """The tokens of each sample's answer and references, as compact JSON.

        Args:
            preds: One text a sample.
            target: For each sample a reference, or several.

        Raises:
            InputTypeError: A prediction or a reference is not a string.
            InputError: The lengths differ, or a sample has no reference.
            ConfigurationError: `tokenize` gave something that is not a list of strings.
        """
        texts, references = check_texts(preds, target)
        return [
            json.dumps(
                [self._tokens(text) for text in (pred, *several)],
                ensure_ascii=False,
                separators=(",", ":"),
            ).encode("utf-8", "surrogatepass")
            for pred, several in zip(texts, references, strict=True)
        ]

    def _tokens(self, text: str) -> list[str]:
        """The tokens of a text, checked."""
        tokens = (self.tokenize or caption_tokens)(text)
        if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
            raise ConfigurationError(
                f"Expected `tokenize` to return a list of strings, but got {tokens!r}"[:300]
            )
        return list(tokens)

    def from_sums(self, sums: Floats) -> Scores:
        """NaN of shape (...): the scores are no function of sums.

        Args:
            sums: Shape (..., 1).
        """
        shape = np.shape(sums)[:-1]
        return {key: np.full(shape, np.nan) for key in self.keys}

    def score(self, table: Table) -> dict[str, float]:
        """The mean of the samples' scores, from 0 to 10; NaN without samples.

        Args:
            table: Rows and payloads that this scorer made; of an id's rows the first counts.

        Raises:
            InputError: A sample has no payload.
        """
        scores = self.sample_scores(table.canonical())
        return {
            key: math.fsum(values) / len(values) if len(values) else math.nan
            for key, values in scores.items()
        }

    def sample_scores(self, table: Table) -> Scores:
        """Each sample's scores, shape (n,), with the weights that the whole table gives.

        Args:
            table: Rows and payloads that this scorer made.

        Raises:
            InputError: A sample has no payload.
        """
        unique = table.canonical()
        scores = cider_scores([_sentences(unique, i) for i in range(len(unique))])
        place = {sample_id: i for i, sample_id in enumerate(unique.ids)}
        order = np.array([place[sample_id] for sample_id in table.ids], dtype=np.intp)
        return {key: values[order] for key, values in zip(self.keys, scores, strict=True)}


def _sentences(table: Table, index: int) -> list[list[str]]:
    """The tokens of a sample's answer and of its references."""
    if not table.payloads[index]:
        raise InputError(
            "Expected the tokens of each sample beside its row, but sample "
            f"{table.ids[index]!r} has none; make the table with the scorer's `payloads`"
        )
    sentences: list[list[str]] = json.loads(table.payloads[index].decode("utf-8", "surrogatepass"))
    return sentences
