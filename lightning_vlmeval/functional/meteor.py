"""METEOR, equal to NLTK's: words matched as they are, then by stem, then by WordNet's synonyms."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from operator import itemgetter
from typing import ClassVar

import numpy as np

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.scorer import Scores, TextScorer, check_texts, ratio
from lightning_vlmeval.functional.wordnet import find_wordnet, open_wordnet, wordnet_version
from lightning_vlmeval.signature import qualified_name
from lightning_vlmeval.table import Floats

# How many words' stems and synonyms, and how many references' words, are remembered.
_REMEMBERED = 2**16

# The last of a list of positions.
_last = itemgetter(-1)

# Words by position.
Words = Sequence[str] | Mapping[int, str]


@dataclass(frozen=True)
class METEORScorer(TextScorer):
    """The mean over samples of METEOR: a weighted F of matched words, less a penalty for their order.

    A word of the answer is matched with an equal word of the reference, else with one of the same
    stem (Porter's), else with one whose stem is a WordNet synonym of its stem; the last words choose
    first, and take the last word that is free. With m matches in c chunks (runs in the same order on
    both sides), P = m / words of the answer and R = m / words of the reference::

        meteor = P R / (alpha P + (1 - alpha) R) * (1 - gamma (c / m) ** beta)

    This is `nltk.translate.meteor_score.meteor_score` on the same words, to the last bit: as there, a
    stem that is no word, as "automobil", has no synonyms. Of several references the best counts.
    Letter case is ignored.

    | sample | METEOR |
    |---|---|
    | an empty answer or reference, or both | 0 |
    | no word matches | 0 |
    | the same single word | 0.5: one chunk for one match bears the whole penalty |
    | no sample at all | NaN |

    WordNet's database is read when a synonym is first looked for; `prepare` reads it at once, so that
    a run without it fails before it begins.

    Args:
        alpha: The weight of precision against recall in F, in [0, 1]; NLTK's 0.9 nearly means recall.
        beta: How steeply the penalty grows with the share of chunks, 0 or more.
        gamma: The largest penalty, in [0, 1].
        tokenize: From a text to its words; None splits at white space. It is given the text as it
            is, and its words are lowercased afterwards.
        wordnet: The folder (or zip file) of WordNet's database; None looks where NLTK and operating
            systems put it.

    Raises:
        ConfigurationError: An option is out of its range.

    Source: Lavie and Agarwal, "METEOR: An Automatic Metric for MT Evaluation with High Levels of
    Correlation with Human Judgments", 2007; NLTK's `meteor_score`.

    Example:
        Three matches (one of them by stem) in one chunk: F is 1, the penalty 0.5 * (1 / 3) ** 3.

        >>> METEORScorer().rows(["The cats sat"], ["the cat sat"]).round(4)
        array([[1.    , 0.9815]])
    """

    alpha: float = 0.9
    beta: float = 3.0
    gamma: float = 0.5
    tokenize: Callable[[str], Sequence[str]] | None = None
    wordnet: str | None = None

    name: ClassVar[str] = "meteor"
    columns: ClassVar[tuple[str, ...]] = ("n", "meteor")
    keys: ClassVar[tuple[str, ...]] = ("meteor",)

    def __post_init__(self) -> None:
        for name, limit in (("alpha", 1.0), ("beta", np.inf), ("gamma", 1.0)):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and 0 <= value <= limit):
                raise ConfigurationError(
                    f"Expected `{name}` to be a number from 0 to {limit:g}, but got {value!r}"
                )
        if self.tokenize is not None and not callable(self.tokenize):
            raise ConfigurationError(
                f"Expected `tokenize` to be a function from a text to its words, or None, "
                f"but got {self.tokenize!r}"
            )

    def prepare(self) -> None:
        """Read WordNet's database now.

        Raises:
            MissingExtraError: WordNet is not installed; the message says how to get it.
            ConfigurationError: The folder `wordnet` holds no database.
        """
        _synonyms(self.wordnet)

    def rows(
        self,
        preds: Sequence[str],
        target: Sequence[str | Sequence[str]],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """One and the METEOR of each sample, shape (n, 2).

        Args:
            preds: The answers.
            target: For each sample a reference, or several.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: An answer or a reference is not a string.
            InputError: The lengths differ, or a sample has no reference.
            MissingExtraError: A synonym is looked for, and WordNet is not installed.
            ConfigurationError: `tokenize` gave something other than strings.
        """
        preds, references = check_texts(preds, target)
        scores = []
        for answer, texts in zip(preds, references, strict=True):
            words = _words(answer, self.tokenize)
            best = 0.0
            for text in texts:
                best = max(best, self._score(words, _reference(text, self.tokenize)))
            scores.append(best)
        return np.column_stack([np.ones(len(scores)), np.asarray(scores, dtype=np.float64)])

    def from_sums(self, sums: Floats) -> Scores:
        """The mean METEOR, in [0, 1].

        Args:
            sums: Shape (..., 2).

        Returns:
            The key "meteor", shape (...).
        """
        return {"meteor": ratio(sums[..., 1], sums[..., 0])}

    def options(self) -> tuple[tuple[str, str], ...]:
        """The options, the version of the WordNet that is found, and NLTK's.

        Raises:
            MissingExtraError: WordNet is not installed.
        """
        return (
            ("alpha", str(self.alpha)),
            ("beta", str(self.beta)),
            ("gamma", str(self.gamma)),
            ("tokenize", "split" if self.tokenize is None else qualified_name(self.tokenize)),
            ("wordnet", wordnet_version(find_wordnet(self.wordnet))),
            ("version", version("nltk")),
        )

    def _score(self, answer: Sequence[str], reference: Sequence[str]) -> float:
        """The METEOR of an answer's words against one reference's."""
        matches = _align(answer, reference, self.wordnet)
        count = len(matches)
        if not count:
            return 0.0
        chunks = count
        for i, j in matches.items():
            # A match continues a chunk where the words before both of its words are a match.
            if matches.get(i - 1) == j - 1:
                chunks -= 1
        precision, recall = count / len(answer), count / len(reference)
        f_mean = (precision * recall) / (self.alpha * precision + (1 - self.alpha) * recall)
        return float((1 - self.gamma * (chunks / count) ** self.beta) * f_mean)


def _align(answer: Sequence[str], reference: Sequence[str], wordnet: str | None) -> dict[int, int]:
    """The position in the reference of each matched word of the answer, by its position."""
    matches: dict[int, int] = {}
    free: dict[str, list[int]] = {}
    for j, word in enumerate(reference):
        if word in free:
            free[word].append(j)
        else:
            free[word] = [j]
    left = _match(answer, range(len(answer) - 1, -1, -1), free, matches)
    if left and len(matches) < len(reference):
        stem = _stemmer()
        free = _by_stem(free, stem)
        stems = {i: stem(answer[i]) for i in left}
        left = _match(stems, left, free, matches)
        if left and len(matches) < len(reference):
            _match_synonyms(stems, left, free, matches, _synonyms(wordnet))
    return matches


def _match(
    words: Words, order: Iterable[int], free: dict[str, list[int]], matches: dict[int, int]
) -> list[int]:
    """Match each word with the last free one that equals it; where the words are that find none."""
    left = []
    for i in order:
        positions = free.get(words[i])
        if positions:
            matches[i] = positions.pop()
        else:
            left.append(i)
    return left


def _by_stem(free: dict[str, list[int]], stem: Callable[[str], str]) -> dict[str, list[int]]:
    """The free positions, ascending, under the stems of their words."""
    stems: dict[str, list[int]] = {}
    for word, positions in free.items():
        if positions:
            key = stem(word)
            stems[key] = sorted(stems[key] + positions) if key in stems else positions
    return stems


def _match_synonyms(
    words: Words,
    order: Iterable[int],
    free: dict[str, list[int]],
    matches: dict[int, int],
    synonyms: Callable[[str], frozenset[str]],
) -> None:
    """Match each word with the last free one that is a synonym of it."""
    for i in order:
        known = synonyms(words[i])
        if not known.isdisjoint(free):
            found = [positions for word, positions in free.items() if positions and word in known]
            if found:
                matches[i] = max(found, key=_last).pop()


def _words(text: str, tokenize: Callable[[str], Sequence[str]] | None) -> Sequence[str]:
    """A text's words in lower case."""
    if tokenize is None:
        return text.lower().split()  # no letter's case depends on what is beyond a space
    words = tokenize(text)
    if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
        raise ConfigurationError(
            f"Expected `tokenize` to give a list of strings, but got {words!r} for {text!r}"[:300]
        )
    return [word.lower() for word in words]


@lru_cache(maxsize=_REMEMBERED)
def _reference(text: str, tokenize: Callable[[str], Sequence[str]] | None) -> tuple[str, ...]:
    """A reference's words; interned, so that a word of many references is held once."""
    return tuple(map(sys.intern, _words(text, tokenize)))


@lru_cache(maxsize=1)
def _stemmer() -> Callable[[str], str]:
    """Porter's stemmer with NLTK's extensions, as its METEOR has it."""
    # NLTK takes more than a second to import: only when a stem is asked for.
    porter = importlib.import_module("nltk.stem.porter").PorterStemmer()
    return lru_cache(maxsize=_REMEMBERED)(porter.stem)


@lru_cache(maxsize=2)
def _synonyms(wordnet: str | None) -> Callable[[str], frozenset[str]]:
    """The synonyms of a word in the database that the option names."""
    return lru_cache(maxsize=_REMEMBERED)(open_wordnet(find_wordnet(wordnet)).synonyms)
