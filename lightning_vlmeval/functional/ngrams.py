"""Texts as strings with a character for each token, so that an n-gram is a substring."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from sys import getsizeof
from typing import ClassVar

# The character of no token, so that no n-gram crosses it.
_BETWEEN = "\0"

# From this many tokens on, a set of n-grams is searched faster than a text (measured).
_LONG = 1000

# What a dictionary's entry takes besides its two objects, in bytes.
_ENTRY = 100


class Alphabet:
    """The tokens of a text as a string, in which each token is always the same character.

    Words and references are remembered, since they come again at the next evaluation. What is
    remembered follows from their content alone; it is forgotten as a whole, between two samples,
    where it has grown beyond `limit` bytes. So it never changes which n-grams are equal. One sample
    can have up to 1,114,111 different tokens.

    Args:
        tokenize: The tokens of a text or, where `split` gives words, of a word.
        split: The words of a text whose tokens are the tokens of its words in turn, or None where
            the text has to be tokenized as a whole, as all are without `split`.

    Example:
        >>> pred, references = Alphabet(str.split).encode("a cat", ["a dog and a cat"])
        >>> len(pred), len(references[0]), pred in references[0]
        (2, 5, True)
    """

    limit: ClassVar[int] = 64 * 2**20
    """About how many bytes are remembered at most."""

    def __init__(
        self,
        tokenize: Callable[[str], Iterable[str]],
        split: Callable[[str], Sequence[str] | None] | None = None,
    ) -> None:
        self._tokenize = tokenize
        self._split = split
        self._forget()

    def encode(self, pred: str, references: Sequence[str]) -> tuple[str, list[str]]:
        """A sample's texts; those of different samples do not compare.

        Args:
            pred: The prediction.
            references: Its references, which are remembered.
        """
        if self._characters.size + self._words.size + self._references.size > self.limit:
            self._forget()
        return self.code(pred), [self._references[text] for text in references]

    def code(self, text: str) -> str:
        """One more text of the sample that was encoded last.

        Args:
            text: Any text.
        """
        words = None if self._split is None else self._split(text)
        if words is not None:
            return "".join(map(self._words.__getitem__, words))
        return "".join(map(self._characters.__getitem__, self._tokenize(text)))

    def reference(self, text: str) -> str:
        """As `code`, and remembered.

        Args:
            text: A text that will come again.
        """
        return self._references[text]

    def _word(self, word: str) -> str:
        return "".join(map(self._characters.__getitem__, self._tokenize(word)))

    def _forget(self) -> None:
        self._characters = _Remembered(lambda token: chr(len(self._characters) + 1))
        self._words = _Remembered(self._word)
        self._references = _Remembered(self.code)


class _Remembered(dict[str, str]):
    """Values made from their keys when first asked for; `size` is about what they take in bytes."""

    def __init__(self, make: Callable[[str], str]) -> None:
        super().__init__()
        self.size = 0
        self._make = make

    def __missing__(self, key: str) -> str:
        value = self[key] = self._make(key)
        self.size += _ENTRY + getsizeof(key) + getsizeof(value)
        return value


def clipped_matches(pred: str, references: Sequence[str], max_order: int) -> list[int]:
    """How many n-grams of `pred` are in a reference, for each n from 1 to `max_order`.

    An n-gram counts at most as often as it is in the reference that has it most often: the
    numerator of the modified precision of Papineni et al. (2002).

    Args:
        pred: The tokens of the prediction, a character each.
        references: The tokens of each reference; at least one.
        max_order: The largest n.

    Example:
        >>> clipped_matches("aaab", ["aab", "b"], 2)
        [3, 2]
    """
    if pred in references:
        return [max(len(pred) - n, 0) for n in range(max_order)]
    matches = [0] * max_order
    text = _BETWEEN.join(references)
    tokens = set(pred).intersection(text)
    starts = [i for i, token in enumerate(pred) if token in tokens]
    for n in range(1, max_order + 1):
        if n > 1:
            known = text if len(text) < _LONG else {text[i : i + n] for i in range(len(text))}
            # An n-gram can be known only where both the (n-1)-grams in it are.
            inside = set(starts)
            starts = [i for i in starts if i + 1 in inside and pred[i : i + n] in known]
        if not starts:
            break
        grams = tokens if n == 1 else {pred[i : i + n] for i in starts}
        if len(grams) == len(starts):
            matches[n - 1] = len(starts)
        else:
            matches[n - 1] = _clip([pred[i : i + n] for i in starts], references)
    return matches


def _clip(grams: Sequence[str], references: Sequence[str]) -> int:
    """The number of known n-grams, each counted at most as often as a reference has it."""
    surplus = (
        max(0, count - max(_occurrences(gram, text) for text in references))
        for gram, count in Counter(grams).items()
        if count > 1
    )
    return len(grams) - sum(surplus)


def _occurrences(gram: str, text: str) -> int:
    """How often an n-gram starts in a text: they may overlap, which `str.count` leaves out."""
    if len(gram) == 1:
        return text.count(gram)
    count, start = 0, text.find(gram)
    while start >= 0:
        count, start = count + 1, text.find(gram, start + 1)
    return count
