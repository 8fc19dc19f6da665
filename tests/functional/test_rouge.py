"""ROUGE: by hand, against rouge-score to the last bit, and its properties."""

import copy
import itertools
import pickle
import random
import re
from importlib.metadata import version

import nltk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.tokenize.punkt import PunktSentenceTokenizer
from rapidfuzz.distance import LCSseq
from rouge_score.rouge_scorer import RougeScorer

from lightning_vlmeval.errors import (
    ConfigurationError,
    InputError,
    InputTypeError,
    MissingExtraError,
)
from lightning_vlmeval.functional.ngrams import Alphabet
from lightning_vlmeval.functional.rouge import ROUGEScorer, summary_lcs
from lightning_vlmeval.table import Table

KEYS = ("rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum")
TEXT = (
    "the The cat cats running runs generously generic flies a A red e.g. U.S. don't a_b x-y 1,000 "
    "3.14 -5 . , ... ! ? ' \" & &amp; # 猫 漢字かな 한국어 кот ΑΣ İ \u212a ß é e\u0301 "
    "naïve 🙂 ½ \u0661 \ud800 \x00"
)
PIECES = (*TEXT.split(" "), "\n", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u2028", "\x1c", "-\n")


def texts(rng, pieces=PIECES, length=12):
    """A text of pieces with spaces between some of them, now and then of any characters."""
    if rng.random() < 0.05:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(length)))
    some = rng.sample(pieces, min(5, len(pieces)))
    return "".join(
        rng.choice(some) + rng.choice(("", " ", " ", " ")) for _ in range(rng.randrange(length))
    )


def corpus(seed, n, **options):
    """Predictions with one to three references each."""
    rng = random.Random(seed)
    preds, target = [], []
    for _ in range(n):
        references = [texts(rng, **options) for _ in range(rng.choice((1, 1, 2, 3)))]
        kept = [piece for piece in rng.choice(references).split(" ") if rng.random() < 0.8]
        preds.append(rng.choice((" ".join(kept), references[0], texts(rng, **options))))
        target.append(references)
    return preds, target


def original(preds, target, **options):
    """rouge-score's values in the order of our columns."""
    scorer = RougeScorer(list(KEYS), **options)
    results = [scorer.score_multi(refs, pred) for pred, refs in zip(preds, target, strict=True)]
    return [[value for key in KEYS for value in result[key]] for result in results]


def values(preds, target, **options):
    return ROUGEScorer(KEYS, **options).rows(preds, target)[:, 1:].tolist()


def scores(preds, target, **options):
    scorer = ROUGEScorer(**options)
    sums = scorer.rows(preds, target).sum(axis=0)
    return {key: float(value) for key, value in scorer.from_sums(sums).items()}


def test_by_hand():
    """Three of five words, one of four pairs, "a red car" in order; nothing in the second."""
    result = scores(["There is a red car", "no"], ["a red-brown car", "yes"])
    expected = {
        "rouge1": (3 / 5, 3 / 4, 2 / 3),
        "rouge2": (1 / 4, 1 / 3, 2 / 7),
        "rougeL": (3 / 5, 3 / 4, 2 / 3),
        "rougeLsum": (3 / 5, 3 / 4, 2 / 3),
    }
    for key, measures in expected.items():
        for measure, value in zip(("precision", "recall", "fmeasure"), measures, strict=True):
            assert result[f"{key}_{measure}"] == pytest.approx(value / 2)


def test_paper_examples():
    """Lin (2004): in section 3.1 ROUGE-L of 3/4 and 2/4, in 3.2 a union of 4 of 5 words."""
    reference = "police killed the gunman"
    assert scores(["police kill the gunman"], [reference])["rougeL_recall"] == 3 / 4
    assert scores(["the gunman kill police"], [reference])["rougeL_recall"] == 2 / 4
    result = scores(["w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"], ["w1 w2 w3 w4 w5"])
    assert result["rougeLsum_recall"] == 4 / 5
    assert result["rougeLsum_precision"] == 4 / 10


def test_published_value():
    """The example of torchmetrics 1.9.0's ROUGEScore, which takes the same samples."""
    assert scores(["My name is John"], ["Is your name John"]) == {
        f"{key}_{measure}": value
        for key, value in (("rouge1", 0.75), ("rouge2", 0.0), ("rougeL", 0.5), ("rougeLsum", 0.5))
        for measure in ("precision", "recall", "fmeasure")
    }


@pytest.mark.parametrize("use_stemmer", [False, True])
def test_equals_rouge_score(use_stemmer):
    """16,000 samples of any text, each with one to three references."""
    preds, target = corpus(f"{use_stemmer}", 8000)
    assert values(preds, target, use_stemmer=use_stemmer) == original(
        preds, target, use_stemmer=use_stemmer
    )


def test_sentences_equal_rouge_score():
    """2,000 samples of many lines over few words: equally long subsequences are the rule there."""
    preds, target = corpus("lines", 2000, pieces=("a", "b", "c", "a b", "\n", "\n"), length=24)
    assert values(preds, target) == original(preds, target)


class Characters:
    """A tokenizer as rouge-score takes it; ours is its method. Line breaks are tokens too."""

    def tokenize(self, text):
        return list(text)


class Spaces:
    """One that gives a token, "", for an empty text."""

    def tokenize(self, text):
        return text.split(" ")


@pytest.mark.parametrize("tokenizer", [Characters(), Spaces()])
def test_tokenizer_equals_rouge_score(tokenizer):
    """2,000 samples in all."""
    preds, target = corpus("tokenizer", 1000, length=5)
    assert values(preds, target, tokenizer=tokenizer.tokenize) == original(
        preds, target, tokenizer=tokenizer
    )


def test_split_summaries_equals_rouge_score(monkeypatch):
    """500 samples, with NLTK's algorithm as it is without training data."""
    monkeypatch.setattr(nltk, "sent_tokenize", PunktSentenceTokenizer().tokenize)
    pieces = ("a cat.", "A dog.", "The cat sat", "e.g.", "!", "\n", "Red")
    preds, target = corpus("sentences", 500, pieces=pieces)
    ours = values(preds, target, split_summaries=True)
    assert ours == original(preds, target, split_summaries=True)
    assert ours != values(preds, target)


def test_each_key_takes_its_best_reference():
    result = scores(["a b c d"], [["a x y", "a b z w v u", "d c b a"]])
    assert result["rouge1_fmeasure"] == 1.0  # of "d c b a"
    assert result["rouge2_precision"] == 1 / 3  # of "a b z w v u"
    assert result["rouge2_recall"] == 1 / 5


def test_the_first_of_equal_references_counts():
    """Precision 1/4 and recall 1, or 2/4 and 2/6: the F-measure is 2/5 for both."""
    tie = ["a", "a b x y z w"]
    assert scores(["a b c d"], [tie])["rouge1_recall"] == 1.0
    assert scores(["a b c d"], [tie[::-1]])["rouge1_recall"] == 1 / 3


@pytest.mark.parametrize("key", ["rouge1", "rouge4", "rouge9", "rougeL", "rougeLsum"])
def test_a_key_alone(key):
    """Each key has the same values alone as with others."""
    preds, target = corpus("alone", 200)
    keys = ("rouge9", "rougeLsum", "rouge4", "rougeL", "rouge1")
    together = ROUGEScorer(keys).rows(preds, target)
    place = 1 + 3 * keys.index(key)
    alone = ROUGEScorer(key).rows(preds, target)
    assert alone[:, 1:].tolist() == together[:, place : place + 3].tolist()


@pytest.mark.parametrize(
    ("pred", "target", "value"),
    [
        ("", "a cat", 0.0),
        ("a cat", "", 0.0),
        ("", "", 0.0),
        ("...", "...", 0.0),
        ("猫", "猫", 0.0),
        ("\n\n", "\n", 0.0),
        ("a dog", "the cat", 0.0),
        ("cat\n", "\nCAT!", 1.0),
    ],
)
def test_odd_samples(pred, target, value):
    result = scores([pred], [target], rouge_keys=("rouge1", "rougeL", "rougeLsum"))
    assert set(result.values()) == {value}
    assert scores([pred], [target], rouge_keys="rouge2")["rouge2_fmeasure"] == 0.0


def test_a_tokenizer_reads_any_script():
    assert scores(["黒い猫"], ["白い猫"], tokenizer=list)["rouge1_fmeasure"] == pytest.approx(2 / 3)


def test_no_samples():
    scorer = ROUGEScorer()
    rows = scorer.rows([], [])
    assert rows.shape == (0, 13)
    result = scorer.score(Table(scorer.columns, (), rows))
    assert tuple(result) == scorer.keys
    assert np.isnan(list(result.values())).all()


def test_from_sums_is_vectorised():
    preds, target = corpus("vectorised", 30)
    scorer = ROUGEScorer()
    rows = scorer.rows(preds, target)
    weights = np.random.default_rng(0).multinomial(30, [1 / 30] * 30, (2, 500))
    together = scorer.from_sums(weights @ rows)
    assert tuple(together) == scorer.keys == scorer.columns[1:]
    assert together["rougeL_recall"].shape == (2, 500)
    one = scorer.from_sums(weights[1, 7] @ rows)
    assert {key: value[1, 7] for key, value in together.items()} == pytest.approx(one)


@pytest.mark.parametrize("use_stemmer", [False, True])
@pytest.mark.parametrize("limit", [0, 2000])
def test_forgetting_changes_nothing(limit, use_stemmer, monkeypatch):
    preds, target = corpus("memory", 300)
    scorer = ROUGEScorer(use_stemmer=use_stemmer)
    rows = scorer.rows(preds, target)
    assert scorer.rows(preds, target).tolist() == rows.tolist()
    monkeypatch.setattr(Alphabet, "limit", limit)
    assert scorer.rows(preds, target).tolist() == rows.tolist()


def test_many_tokens():
    """Tokens whose characters are lone surrogates or outside the first plane: still themselves."""
    scorer = ROUGEScorer()
    for first in range(0, 100_000, 5_000):
        words = [f"w{i}" for i in range(first, first + 5_000)]
        pred = " ".join(words[2500:] + words[:2500])
        row = scorer.rows([pred], [" ".join(words)])[0]
        assert row[scorer.columns.index("rouge1_recall")] == 1.0
        assert row[scorer.columns.index("rouge2_recall")] == 4998 / 4999
        assert row[scorer.columns.index("rougeL_recall")] == 0.5


def test_options_alone_are_the_scorer():
    """What is remembered is in no comparison, no text and no copy."""
    used = ROUGEScorer(use_stemmer=True)
    used.rows(["A cat"], ["a cat"])
    assert used == ROUGEScorer(use_stemmer=True)
    assert hash(used) == hash(ROUGEScorer(use_stemmer=True))
    assert repr(used) == repr(ROUGEScorer(use_stemmer=True))
    for twin in (pickle.loads(pickle.dumps(used)), copy.deepcopy(used), copy.copy(used)):
        assert vars(twin) == vars(ROUGEScorer(use_stemmer=True))
        assert twin.rows(["A cat"], ["a cat"]).tolist() == used.rows(["A cat"], ["a cat"]).tolist()


def test_signature():
    assert str(ROUGEScorer().signature()) == (
        "rouge|rouge_keys:rouge1,rouge2,rougeL,rougeLsum|use_stemmer:no|split_summaries:no|"
        f"tokenizer:default|version:{version('rouge-score')}"
    )
    scorer = ROUGEScorer(["rouge1"], use_stemmer=True, split_summaries=True)
    assert str(scorer.signature()) == (
        "rouge|rouge_keys:rouge1|use_stemmer:yes|split_summaries:yes|"
        f"tokenizer:default|version:{version('rouge-score')}"
    )


class Splitter:
    def __call__(self, text):
        return text.split()


@pytest.mark.parametrize(
    ("tokenizer", "name"),
    [
        (list, "builtins.list"),
        (str.split, "builtins.str.split"),
        (Characters().tokenize, f"{__name__}.Characters.tokenize"),
        (Splitter(), f"{__name__}.Splitter"),
    ],
)
def test_signature_names_the_tokenizer(tokenizer, name):
    assert ROUGEScorer(tokenizer=tokenizer).options()[3] == ("tokenizer", name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rouge_keys": ("rouge1", "rouge10")},
            "Expected `rouge_keys` to be of 'rouge1' to 'rouge9', 'rougeL' and 'rougeLsum', "
            "but got ('rouge1', 'rouge10')",
        ),
        ({"rouge_keys": "rouge0"}, "but got ('rouge0',)"),
        ({"rouge_keys": ()}, "but got ()"),
        (
            {"use_stemmer": True, "tokenizer": str.split},
            "Expected `use_stemmer` or `tokenizer`, but got both; let the tokenizer stem",
        ),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        ROUGEScorer(**options)


def test_missing_sentence_data(monkeypatch):
    def missing(text):
        raise LookupError("punkt_tab")

    monkeypatch.setattr(nltk, "sent_tokenize", missing)
    message = (
        "Expected NLTK's sentence data for `split_summaries=True`, but it is not installed; run "
        "`python -m nltk.downloader punkt_tab`, or put each sentence on a line of its own and "
        "leave `split_summaries=False`"
    )
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        ROUGEScorer(split_summaries=True).prepare()
    with pytest.raises(MissingExtraError, match=re.escape(message)):
        ROUGEScorer(split_summaries=True).rows(["a"], ["a"])
    ROUGEScorer().prepare()


@pytest.mark.parametrize(
    ("preds", "target", "error", "message"),
    [
        (
            [None],
            ["b"],
            InputTypeError,
            "Expected each prediction to be a string, but got NoneType",
        ),
        (["a"], [[]], InputError, "Expected at least one reference, but got an empty list"),
    ],
)
def test_samples_are_checked(preds, target, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ROUGEScorer().rows(preds, target)


LINES = st.lists(st.text("abc", max_size=8), max_size=4)


@settings(deadline=None)
@given(LINES, LINES)
def test_union_of_subsequences(pred, target):
    """Between the best line for each target line, and all; one line each is the plain LCS."""
    shared = summary_lcs(pred, target)
    assert shared <= min(sum(map(len, pred)), sum(map(len, target)))
    pairs = itertools.product(pred, target)
    assert shared >= max((LCSseq.similarity(*pair) for pair in pairs), default=0)
    if len(pred) == len(target) == 1:
        assert shared == LCSseq.similarity(pred[0], target[0])


SAMPLES = st.lists(
    st.tuples(
        st.text("ab .\né", max_size=12),
        st.lists(st.text("ab .\né", max_size=12), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(SAMPLES, st.data())
def test_properties(samples, data):
    """In [0, 1]; a row is its sample's alone; a text is all of itself."""
    preds, target = map(list, zip(*samples, strict=True))
    scorer = ROUGEScorer()
    rows = scorer.rows(preds, target)
    assert ((rows >= 0) & (rows <= 1)).all()
    cut = data.draw(st.integers(0, len(preds)))
    parts = [scorer.rows(preds[:cut], target[:cut]), ROUGEScorer().rows(preds[cut:], target[cut:])]
    assert np.concatenate(parts).tolist() == rows.tolist()
    order = data.draw(st.permutations(range(len(preds))))
    shuffled = scorer.rows([preds[i] for i in order], [target[i] for i in order])
    assert shuffled.tolist() == rows[list(order)].tolist()
    itself = ROUGEScorer(("rouge1", "rougeL", "rougeLsum")).rows(preds, preds)[:, 1:]
    expected = [[1.0 if re.search("[ab]", pred) else 0.0] * 9 for pred in preds]
    assert itself.tolist() == expected
