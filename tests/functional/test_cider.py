"""CIDEr and CIDEr-D: by hand, against the originals, and to the bit in any order."""

import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_vlmeval.errors import ConfigurationError, InputError, InputTypeError
from lightning_vlmeval.functional.cider import CIDErScorer, caption_tokens
from lightning_vlmeval.functional.consensus import cider_scores
from lightning_vlmeval.table import Table

PINNED = json.loads((Path(__file__).parent / "data" / "cider.json").read_text())


def table_of(preds, target, scorer=None, ids=None):
    scorer = scorer or CIDErScorer()
    ids = ids or [f"{i:05}" for i in range(len(preds))]
    payloads = tuple(scorer.payloads(preds, target))
    return Table(scorer.columns, tuple(ids), scorer.rows(preds, target), payloads=payloads)


def scores(preds, target):
    return CIDErScorer().score(table_of(preds, target))


WORDS = (
    "a the red blue car dog cat man woman on in with of two three street table grass sits stands "
    "rides holding large small white black t-shirt 猫 café 3.5 's n't"
)


def parity_corpus():
    """2,400 answers with 1 to 5 references, as strings of tokens; what data/cider.json is made of.

    Copies, reversals, repetitions and halves of a reference, and empty texts on both sides.
    """
    rng = random.Random(7)
    words = WORDS.split()

    def below(n):
        return int(rng.random() * n)

    def sentence():
        return " ".join(words[int(len(words) * rng.random() ** 2)] for _ in range(1 + below(14)))

    def answer_to(references, kind):
        other, first = sentence(), references[0].split()
        copies = {
            0: references[0],
            1: " ".join(reversed(references[-1].split())),
            2: " ".join(first * 3),
            3: "",
        }
        if kind == 4:
            return " ".join(first[: 1 + below(6)] + sentence().split()[: below(5)])
        return copies.get(kind, other)

    samples = []
    for _ in range(2400):
        references = [sentence() for _ in range(1 + below(5))]
        answer = answer_to(references, below(8))
        if below(60) == 0:
            references[below(len(references))] = ""
        if below(200) == 0:
            references = [""]
        samples.append((answer, references))
    return samples


def test_equals_the_originals():
    samples = parity_corpus()
    scorer = CIDErScorer(tokenize=str.split)
    table = table_of([a for a, _ in samples], [r for _, r in samples], scorer)
    corpus, each = scorer.score(table), scorer.sample_scores(table)
    assert len(samples) == 2400
    for key in scorer.keys:
        np.testing.assert_allclose(each[key], PINNED[key]["samples"], rtol=0, atol=1e-9)
        assert corpus[key] == pytest.approx(PINNED[key]["corpus"], abs=1e-9)


def test_cider_by_hand():
    """N = 2. In the references "a" is in both samples (weight 0), all else in one (log 2 = w).

    "a cat a" against "a cat cat": the unigram vectors are (cat: w) and (cat: 2w), cosine 1; the
    bigrams "a cat", "cat a" and "a cat", "cat cat" share one of two, cosine 1/2; no trigram is
    shared. The answer to the second sample shares "dog" of "a dog", cosine 1, and no bigram.
    """
    result = scores(["a cat a", "dog"], ["a cat cat", "a dog"])
    assert result["cider"] == pytest.approx(10 * ((1 + 1 / 2) / 4 + 1 / 4) / 2)


def test_cider_d_by_hand():
    """As above: the dot product of "cat cat" and "a cat" is clipped, the length is punished.

    The answer "a cat cat" has cat 2w, the reference "a cat" w: min(2w, w) * w / (2w * w) = 1/2. Its
    bigrams "a cat", "cat cat" share one of two with "a cat": 1 / sqrt(2). It is one bigram longer.
    """
    result = scores(["a cat cat", "dog"], ["a cat", "a bird"])
    penalty = math.exp(-1 / 72)
    assert result["cider_d"] == pytest.approx(10 * (1 / 2 + 1 / math.sqrt(2)) / 4 * penalty / 2)
    assert result["cider"] == pytest.approx(10 * (1 + 1 / math.sqrt(2)) / 4 / 2)


def test_several_references_are_averaged():
    """Against "a cat" 1, 1, 0, 0 for n = 1 to 4; against "dog" nothing."""
    result = scores(["a cat", ""], [["a cat", "dog"], "bird"])
    assert result == pytest.approx({"cider": 10 * 2 / 4 / 2 / 2, "cider_d": 10 * 2 / 4 / 2 / 2})


# The rows of the docstring's table.
@pytest.mark.parametrize(
    ("preds", "target", "value"),
    [
        ([], [], math.nan),
        (["a cat"], ["a cat"], 0),
        (["a cat sat here"] * 2, ["a cat sat here"] * 2, 0),
        (["", "a dog"], ["a cat", "a cow"], 0),
        (["a cat", "cow"], ["", "a dog"], 0),
        (["", "."], ["", "!"], 0),
        (["a red cat", ""], ["a red cat", "dog"], 7.5 / 2),
        (["a red cat sat", ""], ["A red cat sat!", "dog"], 10 / 2),
    ],
)
def test_odd_input(preds, target, value):
    for result in scores(preds, target).values():
        assert result == pytest.approx(value, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("...", []),
        ("A man's T-shirt.", ["a", "man", "s", "t-shirt"]),
        ("a - b -- c-d-", ["a", "b", "c-d"]),
        ("3.5 m", ["3", "5", "m"]),
        ("snake_case", ["snake", "case"]),
        ("“Ça va”, dit-il…", ["ça", "va", "dit-il"]),
        ("猫と犬。", ["猫", "と", "犬"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("$5 😀", ["$5", "😀"]),
        ("\ud800 \0", ["\ud800", "\0"]),
    ],
)
def test_tokens(text, tokens):
    assert caption_tokens(text) == tokens


TEXT = st.text(st.sampled_from("ab c'猫"), max_size=14)
SAMPLES = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), max_size=8)


@given(SAMPLES, st.randoms())
def test_order_and_split_do_not_change_a_bit(samples, rng):
    scorer = CIDErScorer()
    preds, target = [a for a, _ in samples], [r for _, r in samples]
    table = table_of(preds, target, scorer)
    cut = rng.randrange(len(samples) + 1)
    payloads = scorer.payloads(preds[:cut], target[:cut]) + scorer.payloads(
        preds[cut:], target[cut:]
    )
    assert tuple(payloads) == table.payloads

    order = list(range(len(samples)))
    rng.shuffle(order)
    shuffled = table.take([*order, *order[:2]])  # with an id that comes twice
    first, second = scorer.score(table), scorer.score(shuffled)
    assert np.array_equal(list(first.values()), list(second.values()), equal_nan=True)
    each, moved = scorer.sample_scores(table), scorer.sample_scores(shuffled)
    for key in scorer.keys:
        assert np.array_equal(each[key][[*order, *order[:2]]], moved[key])
        assert ((each[key] >= 0) & (each[key] <= 10 + 1e-9)).all()


@given(SAMPLES)
def test_the_score_is_the_mean_of_the_samples(samples):
    scorer = CIDErScorer()
    table = table_of([a for a, _ in samples], [r for _, r in samples])
    each = scorer.sample_scores(table)
    for key, value in scorer.score(table).items():
        expected = each[key].mean() if samples else math.nan
        assert value == pytest.approx(expected, nan_ok=True)


def test_a_reference_as_answer_is_best():
    target = ["a red car on a road", "two dogs in the snow", "a man with a hat"]
    assert scores(target, target) == pytest.approx({"cider": 10, "cider_d": 10})


def test_hostile_text_scores():
    runaway = "the cat " * 50_000
    result = scores([runaway, "\ud800 \0", "a\nb"], ["the cat", "\ud800", "a b"])
    assert all(0 < value <= 10 for value in result.values())


def test_payloads_are_deterministic_bytes():
    payloads = CIDErScorer().payloads(["A cat"], [["the 猫", ""]])
    assert payloads == ['[["a","cat"],["the","猫"],[]]'.encode()]


def test_no_samples_of_the_core():
    assert [values.shape for values in cider_scores([])] == [(0,), (0,)]


def test_from_sums_is_undefined():
    found = CIDErScorer().from_sums(np.ones((2, 3, 1)))
    assert set(found) == {"cider", "cider_d"} == CIDErScorer.unbounded
    for values in found.values():
        assert values.shape == (2, 3)
        assert np.isnan(values).all()


@pytest.mark.parametrize(
    ("tokenize", "name"),
    [
        (None, "lightning_vlmeval.functional.cider.caption_tokens"),
        (str.split, "builtins.str.split"),
        (json.loads, "json.loads"),
    ],
)
def test_signature(tokenize, name):
    signature = str(CIDErScorer(tokenize=tokenize).signature())
    assert signature.startswith(f"cider|tokenize:{name}|version:")


def test_errors():
    with pytest.raises(ConfigurationError, match=re.escape("or None, but got 'ptb'")):
        CIDErScorer(tokenize="ptb")
    with pytest.raises(ConfigurationError, match=re.escape("a list of strings, but got 'a cat'")):
        CIDErScorer(tokenize=str.lower).payloads(["A cat"], ["a"])
    with pytest.raises(InputTypeError, match=re.escape("to be a string, but got NoneType")):
        CIDErScorer().rows([None], ["a"])
    table = Table(("num_samples",), ("x",), np.ones((1, 1)))
    with pytest.raises(InputError, match=re.escape("sample 'x' has none; make the table with")):
        CIDErScorer().score(table)
