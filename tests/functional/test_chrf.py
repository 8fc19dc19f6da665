"""chrF: by hand, against sacrebleu to the last bit, and its properties."""

import random
import re
from itertools import product, zip_longest

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_vlmeval.errors import ConfigurationError, InputError, InputTypeError
from lightning_vlmeval.functional.chrf import CHRFScorer
from lightning_vlmeval.table import Table

WORDS = "the The cat red don't (hi) 1,000 3.14 . , ... '' & 猫 漢字かな 한국어 ΑΣ İ é e\u0301 🙂 \ud800 \x00"
PIECES = (*WORDS.split(), "\n", "\t", "  ", "\u00a0", "\u3000", "\x1c", "\u200b")
OPTIONS = [
    {
        "char_order": char_order,
        "word_order": word_order,
        "beta": beta,
        "lowercase": lowercase,
        "whitespace": whitespace,
        "eps_smoothing": eps_smoothing,
    }
    for (char_order, word_order, beta), lowercase, whitespace, eps_smoothing in product(
        ((6, 0, 2), (6, 2, 2), (6, 3, 1), (1, 0, 3), (0, 2, 2), (3, 1, 0), (2, 0, 0.7)),
        *[(False, True)] * 3,
    )
]


def texts(rng):
    """A text of pieces with spaces between some of them, now and then of any characters."""
    if rng.random() < 0.1:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(12)))
    pieces = rng.sample(PIECES, 5)
    return "".join(rng.choice(pieces) + rng.choice(("", " ", " ")) for _ in range(rng.randrange(9)))


def corpus(seed, n):
    """Predictions with one to three references each."""
    rng = random.Random(seed)
    target = [[texts(rng) for _ in range(rng.choice((1, 1, 2, 3)))] for _ in range(n)]
    return [rng.choice((*references, texts(rng))[-2:]) for references in target], target


def scores(preds, target, **options):
    scorer = CHRFScorer(**options)
    return float(scorer.from_sums(scorer.rows(preds, target).sum(axis=0))["chrf"])


def test_by_hand():
    """2 of 3 letters are in the reference's 4; of the pairs "ca" and "ab" one is, of its 3.

    Precision (2/3 + 1/2) / 2 = 7/12, recall (2/4 + 1/3) / 2 = 5/12: 5PR / (4P + R) = 175 / 396.
    """
    scorer = CHRFScorer(char_order=2)
    rows = scorer.rows(["cab"], ["cart"])
    assert rows.tolist() == [[3, 4, 2, 2, 3, 1, 1]]
    assert float(scorer.from_sums(rows[0])["chrf"]) == pytest.approx(175 / 396)


def test_published_value():
    """The README of sacrebleu 2.6.0: chrF2 = 59.73."""
    preds = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
    target = [
        ["The dog bit the man.", "The dog had bit the man."],
        ["It was not unexpected.", "No one was surprised."],
        ["The man bit him first.", "The man had bitten the dog."],
    ]
    assert round(scores(preds, target), 4) == 0.5973


@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda options: ",".join(map(str, options.values()))
)
def test_equals_sacrebleu(options):
    """20,160 samples in all, of 56 option sets: rows, each sample's score and the corpus score."""
    preds, target = corpus(str(options), 360)
    scorer, original = CHRFScorer(**options), sacrebleu.CHRF(**options)
    streams = list(zip_longest(*target))
    rows = scorer.rows(preds, target)
    counts = original._extract_corpus_statistics(preds, streams)
    assert rows[:, :-1].tolist() == counts
    assert float(scorer.from_sums(rows.sum(axis=0))["chrf"]) == (
        original.corpus_score(preds, streams).score / 100
    )
    table = Table(scorer.columns, tuple(map(str, range(len(rows)))), rows)
    assert scorer.sample_scores(table)["chrf"].tolist() == [
        original._compute_f_score(one) / 100 for one in counts
    ]


def test_sentence_score_equals_sacrebleu():
    preds, target = corpus("sentence", 300)
    scorer = CHRFScorer()
    assert scorer.from_sums(scorer.rows(preds, target))["chrf"].tolist() == [
        sacrebleu.sentence_chrf(pred, references).score / 100
        for pred, references in zip(preds, target, strict=True)
    ]


@pytest.mark.parametrize(
    ("pred", "target", "plain", "smoothed"),
    [
        ("", "a cat", 0.0, 1e-16),
        ("a cat", "", 0.0, 1e-16),
        ("", "", 0.0, 1e-16),
        (" \n", "\t", 0.0, 1e-16),
        ("dog", "cat", 0.0, 1e-16),
        ("ab", "ab", 1.0, 2 / 6),
        ("猫", "猫", 1.0, 1 / 6),
    ],
)
def test_odd_samples(pred, target, plain, smoothed):
    assert scores([pred], [target]) == plain
    assert scores([pred], [target], eps_smoothing=True) == pytest.approx(smoothed, abs=1e-16)


def test_no_samples():
    scorer = CHRFScorer(word_order=2)
    rows = scorer.rows([], [])
    assert rows.shape == (0, 25)
    assert np.isnan(scorer.score(Table(scorer.columns, (), rows))["chrf"])
    assert scorer.sample_scores(Table(scorer.columns, (), rows))["chrf"].shape == (0,)


@pytest.mark.parametrize("eps_smoothing", [False, True])
def test_bootstrap_is_one_call(eps_smoothing):
    preds, target = corpus("bootstrap", 40)
    scorer = CHRFScorer(word_order=2, eps_smoothing=eps_smoothing)
    weights = np.random.default_rng(0).multinomial(40, [1 / 40] * 40, (2, 500))
    sums = weights @ scorer.rows(preds, target)
    together = scorer.from_sums(sums)["chrf"]
    assert together.tolist() == [
        [float(scorer.from_sums(one)["chrf"]) for one in half] for half in sums
    ]


def test_signature():
    version = sacrebleu.__version__
    assert str(CHRFScorer().signature()) == (
        f"chrf|beta:2|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}"
    )
    scorer = CHRFScorer(5, 2, 1.5, lowercase=True, whitespace=True, eps_smoothing=True)
    assert str(scorer.signature()) == (
        f"chrf|beta:1.5|case:lc|eff:no|nc:5|nw:2|space:yes|version:{version}"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"char_order": -1}, "Expected `char_order` to be an integer of at least 0, but got -1"),
        ({"word_order": 1.5}, "Expected `word_order` to be an integer of at least 0, but got 1.5"),
        (
            {"char_order": 0},
            "Expected `char_order` or `word_order` to be at least 1, but got 0 for both",
        ),
        ({"beta": -2}, "Expected `beta` to be 0 or more, but got -2"),
        ({"beta": float("nan")}, "Expected `beta` to be 0 or more, but got nan"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        CHRFScorer(**options)


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
        CHRFScorer().rows(preds, target)


SAMPLES = st.lists(
    st.tuples(
        st.text("ab é", max_size=12), st.lists(st.text("ab é", max_size=12), min_size=1, max_size=3)
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(SAMPLES, st.booleans(), st.data())
def test_properties(samples, eps_smoothing, data):
    """In [0, 1]; a row is its sample's alone; a text is all of itself."""
    preds, target = map(list, zip(*samples, strict=True))
    scorer = CHRFScorer(char_order=3, word_order=1, eps_smoothing=eps_smoothing)
    rows = scorer.rows(preds, target)
    assert 0 <= float(scorer.from_sums(rows.sum(axis=0))["chrf"]) <= 1
    cut = data.draw(st.integers(0, len(preds)))
    parts = [scorer.rows(preds[:cut], target[:cut]), scorer.rows(preds[cut:], target[cut:])]
    assert np.concatenate(parts).tolist() == rows.tolist()
    order = data.draw(st.permutations(range(len(preds))))
    shuffled = scorer.rows([preds[i] for i in order], [target[i] for i in order])
    assert shuffled.tolist() == rows[list(order)].tolist()
    plain = CHRFScorer(char_order=3, word_order=1)
    itself = [1.0 if pred.strip() else 0.0 for pred in preds]
    assert plain.from_sums(plain.rows(preds, preds))["chrf"].tolist() == itself
