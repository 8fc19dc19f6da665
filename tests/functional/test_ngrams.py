"""Texts as strings of tokens: what is remembered, and n-grams against plain counting."""

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_vlmeval.functional.ngrams import Alphabet, clipped_matches


def test_a_sample_by_hand():
    """The pair "a cat" is in the first reference; "a" is twice in the second, and no pair is."""
    alphabet = Alphabet(str.split)
    pred, references = alphabet.encode("a a a cat", ["there is a cat", "a dog, a cow"])
    assert [len(text) for text in (pred, *references)] == [4, 4, 4]
    assert clipped_matches(pred, references, 3) == [3, 1, 0]
    assert clipped_matches(pred, references[1:], 2) == [2, 0]
    assert alphabet.code("cat a") == pred[3] + pred[0]
    assert alphabet.reference("cat a") == alphabet.code("cat a")


def test_words_are_tokenized_once_and_some_texts_whole():
    seen = []

    def tokenize(text):
        seen.append(text)
        return text.split("-")

    alphabet = Alphabet(tokenize, lambda text: None if "!" in text else text.split())
    first, second, whole = map(alphabet.code, ("x-y z", "z x-y", "x-y-z !"))
    assert seen == ["x-y", "z", "x-y-z !"]
    assert first == whole[:2] + second[0]


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(Alphabet, "limit", 50_000)
    alphabet = Alphabet(str.split)
    for i in range(2000):
        alphabet.encode(f"w{i} x{i} y{i}", [f"z{i} " * 20])
        held = (alphabet._characters, alphabet._words, alphabet._references)
        size = sum(sys.getsizeof(text) for part in held for pair in part.items() for text in pair)
        assert size <= sum(part.size for part in held) < 53_000  # the limit and one sample


TOKENS = st.lists(st.sampled_from("abcd"), max_size=12)


@settings(deadline=None)
@given(TOKENS, st.lists(TOKENS, min_size=1, max_size=3), st.integers(1, 5))
def test_clipped_matches_by_counting(pred, references, max_order):
    def count(tokens, gram):
        return sum(tokens[i : i + len(gram)] == gram for i in range(len(tokens) - len(gram) + 1))

    expected = []
    for n in range(1, max_order + 1):
        grams = {tuple(pred[i : i + n]) for i in range(len(pred) - n + 1)}
        expected.append(
            sum(
                min(count(pred, list(gram)), max(count(text, list(gram)) for text in references))
                for gram in grams
            )
        )
    joined = ["".join(tokens) for tokens in references]
    assert clipped_matches("".join(pred), joined, max_order) == expected
