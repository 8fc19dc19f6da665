"""BLEU: by hand, against sacrebleu to the last bit, and its properties."""

import copy
import pickle
import random
import re
import sys
from itertools import product, zip_longest

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.tokenizers import tokenizer_ja_mecab

from lightning_vlmeval.errors import (
    ConfigurationError,
    InputError,
    InputTypeError,
    MissingExtraError,
)
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.ngrams import Alphabet
from lightning_vlmeval.table import Table

OFFLINE = ("13a", "none", "intl", "zh", "char")
SMOOTHINGS = (
    *(("none", None), ("exp", None), ("floor", None), ("add-k", None)),
    *(("floor", 0.0), ("floor", 0.35), ("add-k", 0.0), ("add-k", 0.5)),
)
TEXT = (
    "the The cat cats a A red e.g. U.S. don't a_b x-y 1,000 3.14 -5 10-20 .5 5. ,5 1.a a.1 $5 50% "
    "2² ½ \u0661 . , ... ., ! ? ' \" ( ] { ~ ` / \\ - _ @ # & ; < > &quot; &amp; &lt; &gt; &amp;lt; "
    "&amp;quot; &lt;skipped&gt; <skipped> <SKIPPED> <ski<skipped>pped> 猫 漢字かな \uff0c 。 「 한국어 "
    "\uff21 𠀀 кот ΑΣ ΑΣΑ İ ß é e\u0301 🙂 👨\u200d👩\u200d👧 ☃ € \ufeff \x00 \ud800 \udfff"
)
SPACES = (
    *("\n", "-\n", "\r\n", "-\r\n", "<skip-\nped>", "\t", " ", "\v", "\x1c", "\x85", "\u00a0"),
    *("\u2028", "\u3000", "\u200b"),
)
PIECES = (*TEXT.split(" "), *SPACES)


def texts(rng, length=12):
    """A text of pieces with spaces between some of them, now and then of any characters."""
    if rng.random() < 0.1:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(length)))
    pieces = rng.sample(PIECES, 6)
    return "".join(
        rng.choice(pieces) + rng.choice(("", " ", " ", " ")) for _ in range(rng.randrange(length))
    )


def corpus(seed, n, length=12):
    """Predictions with one to three references each."""
    rng = random.Random(seed)
    preds, target = [], []
    for _ in range(n):
        references = [texts(rng, length) for _ in range(rng.choice((1, 1, 2, 3)))]
        kept = [piece for piece in rng.choice(references).split(" ") if rng.random() < 0.8]
        preds.append(rng.choice((" ".join(kept), references[0], texts(rng, length))))
        target.append(references)
    return preds, target


def streams(target):
    """References as sacrebleu wants them: the first of each sample, then the second, ..."""
    return list(zip_longest(*target))


def scores(preds, target, **options):
    scorer = BLEUScorer(**options)
    return float(scorer.from_sums(scorer.rows(preds, target).sum(axis=0))["bleu"])


def sample_scores(scorer, preds, target):
    rows = scorer.rows(preds, target)
    table = Table(scorer.columns, tuple(map(str, range(len(rows)))), rows)
    return scorer.sample_scores(table)["bleu"].tolist()


def test_clipping_by_hand():
    """Example 2 of Papineni et al. (2002): "the" is twice in a reference, a pair of it never."""
    scorer = BLEUScorer(max_ngram_order=2)
    pred = "the the the the the the the"
    rows = scorer.rows([pred], [["the cat is on the mat", "there is a cat on the mat"]])
    assert rows.tolist() == [[2, 0, 7, 6, 7, 7, 1]]
    assert scores([pred], [["the cat is on the mat"]], max_ngram_order=1) == pytest.approx(2 / 7)


def test_brevity_by_hand():
    """Both precisions are 1, and 2 of 4 words are there: exp(1 - 4 / 2)."""
    assert scores(["the cat"], ["the cat is here"], max_ngram_order=2) == pytest.approx(np.exp(-1))


def test_published_values():
    """The README of sacrebleu 2.6.0: 17 and 18 tokens and 82.4/50.0/45.5/37.5 are BLEU 48.53.

    Without the first reference of the first sample it is 29.44.
    """
    preds = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    target = [
        ["The dog bit the man.", "The dog had bit the man."],
        ["It was not unexpected.", "No one was surprised."],
        ["The man bit him first.", "The man had bitten the dog."],
    ]
    sums = BLEUScorer().rows(preds, target).sum(axis=0)
    assert sums.tolist() == [14, 7, 5, 3, 17, 14, 11, 8, 17, 18, 3]
    # sacrebleu 2.6.0, sacrebleu.corpus_bleu(preds, [firsts, seconds]).score
    assert scores(preds, target) == 48.530827009929865 / 100
    assert round(scores(preds, [target[0][1:], *target[1:]]), 4) == 0.2944


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("tokenize", OFFLINE)
def test_rows_equal_sacrebleu(tokenize, lowercase):
    """20,000 samples in all, each with one to three references."""
    preds, target = corpus(f"{tokenize}{lowercase}", 2000)
    scorer = BLEUScorer(tokenize=tokenize, lowercase=lowercase)
    original = sacrebleu.BLEU(tokenize=tokenize, lowercase=lowercase)
    expected = np.array(original._extract_corpus_statistics(preds, streams(target)))
    rows = scorer.rows(preds, target)
    assert rows[:, :8].tolist() == expected[:, 2:].tolist()
    assert rows[:, 8:10].tolist() == expected[:, :2].tolist()


def test_rows_of_long_texts_equal_sacrebleu():
    """References of over 1,000 tokens, whose n-grams are found in another way, in 20 samples."""
    preds, target = corpus("long", 20, length=1500)
    assert max(len(text.split()) for references in target for text in references) > 1000
    original = sacrebleu.BLEU(max_ngram_order=6)
    expected = np.array(original._extract_corpus_statistics(preds, streams(target)))
    rows = BLEUScorer(max_ngram_order=6).rows(preds, target)
    assert rows[:, :12].tolist() == expected[:, 2:].tolist()


@pytest.mark.parametrize(("smooth_method", "smooth_value"), SMOOTHINGS)
@pytest.mark.parametrize("tokenize", OFFLINE)
def test_scores_equal_sacrebleu(tokenize, smooth_method, smooth_value):
    """Corpus and sentence scores of 160 option sets, of 30 samples each."""
    for lowercase, effective_order in product((False, True), repeat=2):
        options = {
            "tokenize": tokenize,
            "lowercase": lowercase,
            "smooth_method": smooth_method,
            "smooth_value": smooth_value,
        }
        preds, target = corpus(f"{options}{effective_order}", 30)
        scorer = BLEUScorer(**options, effective_order=effective_order)
        original = sacrebleu.BLEU(**options, effective_order=effective_order)
        expected = original.corpus_score(preds, streams(target)).score / 100
        sums = scorer.rows(preds, target).sum(axis=0)
        assert float(scorer.from_sums(sums)["bleu"]) == min(expected, 1.0)
        sentence = sacrebleu.BLEU(**options, effective_order=True).sentence_score
        assert sample_scores(scorer, preds, target) == [
            min(sentence(pred, references).score / 100, 1.0)
            for pred, references in zip(preds, target, strict=True)
        ]


@pytest.mark.parametrize("order", [1, 2, 4, 7])
@pytest.mark.parametrize("effective_order", [False, True])
@pytest.mark.parametrize(("smooth_method", "smooth_value"), SMOOTHINGS)
def test_from_sums_equals_sacrebleu(smooth_method, smooth_value, effective_order, order):
    """400 random sums in one call, 25,600 in all: zeros and early ends among them."""
    rng = np.random.default_rng(order)
    size = (20, 20, order)
    total = rng.integers(0, rng.choice([2, 5, 100, 100_000], (20, 20, 1)), size)
    correct = rng.integers(0, total + 1) * (rng.random(size) < 0.7)
    total *= np.logical_and.accumulate(rng.random(size) < 0.9, axis=-1)
    lengths = rng.integers(0, 50, (20, 20, 2))
    sums = np.concatenate([correct, total, lengths, np.ones((20, 20, 1))], axis=-1).astype(float)
    scorer = BLEUScorer("13a", smooth_method, smooth_value, False, effective_order, order)
    expected = [
        sacrebleu.BLEU.compute_bleu(
            correct=row[:order],
            total=row[order : 2 * order],
            sys_len=row[-3],
            ref_len=row[-2],
            smooth_method=smooth_method,
            smooth_value=smooth_value,
            effective_order=effective_order,
            max_ngram_order=order,
        ).score
        for row in sums.reshape(400, -1).astype(int).tolist()
    ]
    result = scorer.from_sums(sums)["bleu"]
    assert result.shape == (20, 20)
    assert result.ravel().tolist() == [min(score / 100, 1.0) for score in expected]


def test_perfect_score_is_one():
    """Where sacrebleu gives 100.00000000000004."""
    text = "a b c d e"
    assert sacrebleu.corpus_bleu([text], [[text]]).score > 100
    assert scores([text], [text]) == 1.0


@pytest.mark.parametrize(
    ("pred", "target", "sample", "whole"),
    [
        ("", "a cat", 0.0, 0.0),
        ("a cat", "", 0.0, 0.0),
        ("", "", 0.0, 0.0),
        (" \n", "\t", 0.0, 0.0),
        ("a dog", "the cat", 0.0, 0.0),
        ("A car", "A car", 1.0, 0.0),
        ("a b c d", "a b c d", 1.0, 1.0),
    ],
)
def test_odd_samples(pred, target, sample, whole):
    assert sample_scores(BLEUScorer(), [pred], [target]) == [sample]
    assert scores([pred], [target]) == whole
    assert scores([pred], [target]) == min(sacrebleu.corpus_bleu([pred], [[target]]).score / 100, 1)


def test_no_samples():
    scorer = BLEUScorer()
    rows = scorer.rows([], [])
    assert rows.shape == (0, len(scorer.columns))
    assert np.isnan(scorer.score(Table(scorer.columns, (), rows))["bleu"])
    assert scorer.sample_scores(Table(scorer.columns, (), rows))["bleu"].shape == (0,)


def test_bootstrap_is_one_call():
    """1,000 resamples at once equal 1,000 resamples one by one."""
    preds, target = corpus("bootstrap", 50)
    scorer = BLEUScorer()
    weights = np.random.default_rng(0).multinomial(50, [1 / 50] * 50, 1000)
    sums = weights @ scorer.rows(preds, target)
    together = scorer.from_sums(sums)["bleu"]
    assert together.tolist() == [float(scorer.from_sums(one)["bleu"]) for one in sums]
    assert len(set(together.tolist())) > 500


@pytest.mark.parametrize("limit", [0, 2000])
def test_forgetting_changes_nothing(limit, monkeypatch):
    preds, target = corpus("memory", 300)
    scorer = BLEUScorer()
    rows = scorer.rows(preds, target)
    assert scorer.rows(preds, target).tolist() == rows.tolist()
    monkeypatch.setattr(Alphabet, "limit", limit)
    assert BLEUScorer().rows(preds, target).tolist() == rows.tolist()
    assert scorer.rows(preds, target).tolist() == rows.tolist()


def test_many_tokens():
    """Characters that are lone surrogates, or outside the first plane, stand for one token too."""
    scorer = BLEUScorer(tokenize="none", max_ngram_order=2)
    words = [f"w{i}" for i in range(140_000)]
    for first in range(0, 140_000, 10_000):
        some = words[first : first + 10_000]
        rows = scorer.rows([" ".join(some)], [" ".join([*some[::-1], *some[:2]])])
        assert rows.tolist() == [[10_000, 1, 10_000, 9_999, 10_000, 10_002, 1]]
    rows = scorer.rows([" ".join(words[:70_000])], [" ".join(words[70_000:])])
    assert rows[0, :2].tolist() == [0, 0]


def test_options_alone_are_the_scorer():
    """What is remembered is in no comparison, no text and no copy."""
    used = BLEUScorer(lowercase=True)
    used.rows(["A cat"], ["a cat"])
    assert used == BLEUScorer(lowercase=True)
    assert hash(used) == hash(BLEUScorer(lowercase=True))
    assert repr(used) == repr(BLEUScorer(lowercase=True))
    for twin in (pickle.loads(pickle.dumps(used)), copy.deepcopy(used), copy.copy(used)):
        assert vars(twin) == vars(BLEUScorer(lowercase=True))
        assert twin.rows(["A cat"], ["a cat"]).tolist() == used.rows(["A cat"], ["a cat"]).tolist()


def test_signature():
    version = sacrebleu.__version__
    assert str(BLEUScorer().signature()) == (
        f"bleu|case:mixed|eff:no|tok:13a|smooth:exp|order:4|version:{version}"
    )
    scorer = BLEUScorer("intl", "floor", None, lowercase=True, effective_order=True)
    assert str(scorer.signature()) == (
        f"bleu|case:lc|eff:yes|tok:intl|smooth:floor[0.1]|order:4|version:{version}"
    )
    assert BLEUScorer(smooth_method="add-k", smooth_value=2).options()[3] == (
        "smooth",
        "add-k[2.0]",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"tokenize": "14a"},
            f"Expected `tokenize` to be one of {', '.join(sacrebleu.BLEU.TOKENIZERS)}, but got '14a'",
        ),
        (
            {"smooth_method": "add_k"},
            "Expected `smooth_method` to be one of none, floor, add-k, exp, but got 'add_k'",
        ),
        (
            {"smooth_method": "floor", "smooth_value": 1.5},
            "Expected `smooth_value` of 'floor' to be in [0, 1], but got 1.5",
        ),
        (
            {"smooth_method": "add-k", "smooth_value": -1},
            "Expected `smooth_value` of 'add-k' to be in [0, inf), but got -1",
        ),
        (
            {"smooth_method": "add-k", "smooth_value": float("inf")},
            "Expected `smooth_value` of 'add-k' to be in [0, inf), but got inf",
        ),
        (
            {"max_ngram_order": 0},
            "Expected `max_ngram_order` to be an integer of at least 1, but got 0",
        ),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        BLEUScorer(**options)


def test_missing_mecab(monkeypatch):
    monkeypatch.setattr(tokenizer_ja_mecab, "MeCab", None)
    message = (
        "Expected sacrebleu to load its tokenizer 'ja-mecab', but got RuntimeError: Japanese "
        "tokenization requires extra dependencies, but you do not have them installed. Please "
        "install them like so. pip install sacrebleu[ja]. It needs `pip install sacrebleu[ja]`"
    )
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        BLEUScorer(tokenize="ja-mecab").prepare()


def test_missing_sentencepiece(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    message = "It needs `pip install sentencepiece` and, once, a network to download its model"
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        BLEUScorer(tokenize="flores200").rows(["a"], ["a"])


@pytest.mark.parametrize(
    ("preds", "target", "error", "message"),
    [
        (
            ["a", 3],
            ["a", "b"],
            InputTypeError,
            "Expected each prediction to be a string, but got int",
        ),
        (["a"], [[]], InputError, "Expected at least one reference, but got an empty list"),
        (["a"], ["a", "b"], InputError, "to have the same length, but got 1 and 2"),
    ],
)
def test_samples_are_checked(preds, target, error, message):
    with pytest.raises(error, match=re.escape(message)):
        BLEUScorer().rows(preds, target)


SAMPLES = st.lists(
    st.tuples(
        st.text("ab .,1-\n", max_size=12),
        st.lists(st.text("ab .,1-\n", max_size=12), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(SAMPLES, st.data())
def test_properties(samples, data):
    """In [0, 1]; a row is its sample's alone; a text is all of itself."""
    preds, target = map(list, zip(*samples, strict=True))
    scorer = BLEUScorer(max_ngram_order=2)
    rows = scorer.rows(preds, target)
    assert 0 <= float(scorer.from_sums(rows.sum(axis=0))["bleu"]) <= 1
    cut = data.draw(st.integers(0, len(preds)))
    parts = [
        scorer.rows(preds[:cut], target[:cut]),
        BLEUScorer(max_ngram_order=2).rows(preds[cut:], target[cut:]),
    ]
    assert np.concatenate(parts).tolist() == rows.tolist()
    order = data.draw(st.permutations(range(len(preds))))
    shuffled = scorer.rows([preds[i] for i in order], [target[i][::-1] for i in order])
    assert shuffled.tolist() == rows[list(order)].tolist()
    itself = [1.0 if pred.split() else 0.0 for pred in preds]
    assert sample_scores(scorer, preds, preds) == itself
