"""The arithmetic of CIDEr: cosines of TF-IDF n-gram vectors, for all samples at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lightning_vlmeval.functional.scorer import ratio
from lightning_vlmeval.table import Floats

Ints = NDArray[np.int64]

_MAX_ORDER = 4
_SIGMA = 6.0
_SCALE = 10.0


def cider_scores(samples: Sequence[Sequence[Sequence[str]]]) -> tuple[Floats, Floats]:
    """CIDEr and CIDEr-D of each sample, both of shape (n,) and from 0 to 10.

    A function of the samples in their order: another order can change the last bit.

    Args:
        samples: For each sample the tokens of its answer, and then of each of its references.

    Example:
        >>> cider, cider_d = cider_scores([[["a", "cat"], ["a", "cat"]], [["dog"], ["a", "dog"]]])
        >>> cider.round(4).tolist(), cider_d.round(4).tolist()
        ([5.0, 2.5], [5.0, 2.4655])
    """
    sentences = [tokens for several in samples for tokens in several]
    lengths = np.array([len(tokens) for tokens in sentences], dtype=np.int64)
    sample = np.repeat(
        np.arange(len(samples)), np.array([len(several) for several in samples], dtype=np.int64)
    )
    is_answer = np.diff(sample, prepend=-1) > 0
    cosines = np.zeros((2, len(sentences)))
    for grams, sentence in _grams(sentences, lengths):
        cosines += _cosines(grams, sentence, sample, is_answer)
    bigrams = np.maximum(lengths - 1, 0)
    difference = (bigrams - bigrams[is_answer][sample]).astype(np.float64)
    cosines[1] *= np.exp(-(difference**2) / (2 * _SIGMA**2))
    num_references = np.bincount(sample[~is_answer], minlength=len(samples)).astype(np.float64)
    plain, clipped = (
        np.bincount(sample, values, minlength=len(samples)).astype(np.float64)
        for values in cosines / _MAX_ORDER
    )
    return _SCALE * ratio(plain, num_references), _SCALE * ratio(clipped, num_references)


def _grams(sentences: Sequence[Sequence[str]], lengths: Ints) -> list[tuple[Ints, Ints]]:
    """For n from 1 to 4, a number for each n-gram in the text, and the sentence that it is in."""
    numbers: dict[str, int] = {}
    tokens = np.array(
        [numbers.setdefault(token, len(numbers)) for tokens in sentences for token in tokens],
        dtype=np.int64,
    )
    sentence = np.repeat(np.arange(len(sentences)), lengths)
    grams, starts = tokens, np.arange(len(tokens))
    found = [(grams, sentence)]
    for order in range(1, _MAX_ORDER):
        fits = starts < len(tokens) - order
        grams, starts = grams[fits], starts[fits]
        fits = sentence[starts] == sentence[starts + order]
        grams, starts = grams[fits], starts[fits]
        longer = grams * len(numbers) + tokens[starts + order]
        grams = np.unique(longer, return_inverse=True)[1].astype(np.int64)
        found.append((grams, sentence[starts]))
    return found


def _cosines(grams: Ints, sentence: Ints, sample: Ints, is_answer: NDArray[np.bool_]) -> Floats:
    """The cosine of each reference with its answer, plain and clipped, shape (2, sentences)."""
    size = int(grams.max(initial=0)) + 1
    keys, counts = np.unique(sentence * size + grams, return_counts=True)
    sentence, gram = keys // size, keys % size
    ours = is_answer[sentence]
    in_sample = sample[sentence] * size + gram
    answers, wanted = in_sample[ours], in_sample[~ours]
    in_references = np.sort(wanted)
    documents = in_references[np.diff(in_references, prepend=-1) > 0]
    frequency = np.bincount(documents % size, minlength=size)
    num_samples = max(int(is_answer.sum()), 1)
    # Not a difference of logarithms: an n-gram that every sample has weighs exactly nothing.
    weights = counts * np.log(num_samples / np.maximum(frequency[gram], 1))
    norms = np.sqrt(np.bincount(sentence, weights**2, minlength=len(sample)))

    # Each n-gram that a reference shares with the answer, with its weight in both.
    position = np.searchsorted(answers, wanted)
    shared = np.append(answers, -1)[position] == wanted
    theirs = weights[ours][position[shared]]
    own, place = weights[~ours][shared], sentence[~ours][shared]
    products = np.stack([theirs * own, np.minimum(theirs, own) * own])
    dots: Floats = np.stack(
        [np.bincount(place, row, minlength=len(sample)).astype(np.float64) for row in products]
    )
    return ratio(dots, norms * norms[is_answer][sample], empty=0.0)
