"""METEOR: by hand, against NLTK to the last bit, and its properties."""

import copy
import pickle
import random
import re
from importlib.metadata import version

import nltk
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.meteor_score import meteor_score

from lightning_vlmeval.errors import (
    ConfigurationError,
    InputError,
    InputTypeError,
    MissingExtraError,
)
from lightning_vlmeval.functional import meteor, wordnet
from lightning_vlmeval.functional.meteor import METEORScorer
from tests.functional.test_wordnet import SYNSETS, needs_wordnet, nltk_wordnet, write_database

ODD = (
    *("İ", "ΑΣ", "Straße", "STRASSE", "é", "e\u0301", "猫", ".", "'", "don't", "🙂", "\ud800"),
    *("\u200b", "ﬁ", "½", "_", "hot_dog"),
)
SPACES = (" ", " ", " ", " ", "  ", "\n", "\t", "\u00a0", "\u3000", "\x1c", "\x85")


@pytest.fixture(scope="module")
def reader():
    with nltk_wordnet() as reader:
        yield reader


@pytest.fixture
def small(tmp_path):
    """A scorer with a database of a few words, for which no WordNet need be installed."""
    return METEORScorer(wordnet=write_database(tmp_path / "wordnet"))


def value(scorer, pred, target) -> float:
    return float(scorer.rows([pred], [target])[0, 1])


@pytest.mark.parametrize(
    ("pred", "target", "score"),
    [
        # F * (1 - 0.5 (chunks / matches) ** 3), F = P R / (0.9 P + 0.1 R)
        ("the cat sat on the mat", "the cat sat on the mat", 1 - 0.5 / 6**3),
        ("on the mat sat the cat", "the cat sat on the mat", 0.5),
        ("the cat was sat on the mat", "the cat sat on the mat", 60 / 61 * (1 - 0.5 / 3**3)),
        ("the cats sat", "the cat sat", 1 - 0.5 / 3**3),  # by stem
        ("the car moves", "the auto go", 1 - 0.5 / 3**3),  # by synonym
        ("the ship moves", "the auto go", 2 / 3 * (1 - 0.5)),  # two matches, two chunks
        ("car", "auto", 0.5),
        ("car", "automobile", 0.0),  # its stem, "automobil", is no word: NLTK has 0 too
        ("a b", "a", 0.5 / (0.45 + 0.1) * 0.5),  # P = 1/2, R = 1
        ("a", "a b", 0.5 / (0.9 + 0.05) * 0.5),  # P = 1, R = 1/2
        ("The CAR", "the car", 1 - 0.5 / 2**3),
        # The last word of the stem is taken, "runs" before "fast": one chunk.
        ("running fast", "runs run runs fast", 0.5 / (0.9 + 0.05) * (1 - 0.5 / 2**3)),
    ],
)
def test_by_hand(small, pred, target, score):
    """The first three are the example of the article "METEOR" in Wikipedia: .9977, .5, .9654."""
    assert value(small, pred, target) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("pred", "target", "score"),
    [
        ("", "a car", 0.0),
        ("a car", "", 0.0),
        ("", "", 0.0),
        (" \n", "a car", 0.0),
        ("two dogs", "a car", 0.0),
        ("car", "car", 0.5),
    ],
)
def test_empty_and_odd(small, pred, target, score):
    assert value(small, pred, target) == score


def test_no_samples_is_nan(small):
    rows = small.rows([], [])
    assert rows.shape == (0, 2)
    assert np.isnan(small.from_sums(rows.sum(axis=0))["meteor"])


def test_best_reference_counts(small):
    assert value(small, "the car", ["two dogs", "the car", "the auto stops"]) == value(
        small, "the car", "the car"
    )


def test_mean_over_samples_vectorised(small):
    rows = small.rows(["car", "the car", ""], ["car", "the car", "car"])
    assert small.from_sums(rows.sum(0))["meteor"] == pytest.approx((0.5 + 0.9375 + 0) / 3)
    assert small.from_sums(rows)["meteor"].tolist() == [0.5, 0.9375, 0.0]
    assert small.from_sums(np.stack([rows, rows]))["meteor"].shape == (2, 3)


@needs_wordnet
@pytest.mark.parametrize(
    ("pred", "target", "score"),
    [
        # Two examples of NLTK's own documentation.
        (
            "It is a guide to action which ensures that the military always obeys the commands of "
            "the party",
            "It is a guide to action that ensures that the military will forever heed Party commands",
            0.6944,
        ),
        ("non matching hypothesis", "this is a cat", 0.0),
        # Synonyms, which are not of one stem.
        ("car", "auto", 0.5),
        ("the auto halted", "the car stopped", 1 - 0.5 / 3**3),
    ],
)
def test_with_the_installed_wordnet(pred, target, score):
    assert value(METEORScorer(), pred, target) == pytest.approx(score, abs=5e-5)


def vocabulary(rng, reader):
    """Words with inflections and synonyms of each other, so that all three stages have work."""
    groups = []
    for lemma in rng.sample(sorted(reader.all_lemma_names()), 1500):
        words = [n for s in reader.synsets(lemma) for n in s.lemma_names() if "_" not in n]
        if len(set(words)) > 1:
            groups.append(words + [word + rng.choice(("s", "ed", "ing", "ly")) for word in words])
    return groups


def random_pair(rng, groups, length):
    """A reference, and an answer that copies, inflects, replaces, repeats, drops and moves words."""
    picked = [rng.choice(groups) for _ in range(rng.randrange(length))]
    reference = [rng.choice(ODD if rng.random() < 0.05 else group) for group in picked]
    answer = [
        word
        if rng.random() < 0.4
        else rng.choice(rng.choice(groups) if rng.random() < 0.2 else group)
        for word, group in zip(reference, picked, strict=True)
        if rng.random() < 0.9
    ]
    answer += rng.choices(answer + reference, k=rng.randrange(3)) if answer else []
    if rng.random() < 0.3:
        rng.shuffle(answer)
    return (
        "".join(word + rng.choice(SPACES) for word in answer),
        "".join(
            (word.upper() if rng.random() < 0.1 else word) + rng.choice(SPACES)
            for word in reference
        ),
    )


@needs_wordnet
def test_equals_nltk(reader, tmp_path):
    """20,000 random pairs, to the last bit; synonyms decide many of them."""
    rng = random.Random(0)
    groups = vocabulary(rng, reader)
    starts = range(len(groups) - 50)
    pairs = [random_pair(rng, groups[rng.choice(starts) :][:50], 4 + i % 17) for i in range(20_000)]
    preds, target = zip(*pairs, strict=True)
    ours = METEORScorer().rows(preds, target)[:, 1]
    for pred, reference, score in zip(preds, target, ours, strict=True):
        want = meteor_score([reference.split()], pred.split(), wordnet=reader)
        assert score == want, (pred, reference)
    empty = write_database(tmp_path / "empty", dict.fromkeys(SYNSETS, ()))
    without = METEORScorer(wordnet=empty).rows(preds, target)[:, 1]
    assert (ours != without).sum() > 4000


@needs_wordnet
def test_equals_nltk_with_other_options_and_several_references(reader):
    rng = random.Random(1)
    groups = vocabulary(rng, reader)[:60]
    for _ in range(400):
        alpha, beta, gamma = (
            rng.choice((0, 0.5, 0.9, 1)),
            rng.choice((0, 1, 2.5)),
            rng.choice((0, 0.3, 1)),
        )
        pairs = [random_pair(rng, groups, 8) for _ in range(4)]
        answer, references = pairs[0][0], [reference for _, reference in pairs]
        want = meteor_score(
            [list(text) for text in references],
            list(answer),
            wordnet=reader,
            alpha=alpha,
            beta=beta,
            gamma=gamma,
        )
        assert value(METEORScorer(alpha, beta, gamma, tokenize=list), answer, references) == want


def letters(text: str) -> list[str]:
    return re.findall(r"\w", text)


def test_tokenize_gives_the_words(small, tmp_path):
    scorer = METEORScorer(tokenize=letters, wordnet=small.wordnet)
    assert value(scorer, "A,b;C", "a-b-c") == pytest.approx(1 - 0.5 / 27)
    assert ("tokenize", f"{__name__}.letters") in scorer.options()
    assert ("tokenize", "builtins.list") in METEORScorer(
        tokenize=list, wordnet=small.wordnet
    ).options()


@pytest.mark.parametrize(
    ("tokenize", "words"), [(str.upper, "'A CAR'"), (len, "5"), (lambda _: [1, 2], "[1, 2]")]
)
def test_tokenize_must_give_strings(small, tokenize, words):
    scorer = METEORScorer(tokenize=tokenize, wordnet=small.wordnet)
    message = f"Expected `tokenize` to give a list of strings, but got {words} for 'a car'"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        scorer.rows(["a car"], ["a car"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "Expected `alpha` to be a number from 0 to 1, but got 1.5"),
        ({"alpha": float("nan")}, "Expected `alpha` to be a number from 0 to 1, but got nan"),
        ({"beta": -1}, "Expected `beta` to be a number from 0 to inf, but got -1"),
        ({"gamma": "0.5"}, "Expected `gamma` to be a number from 0 to 1, but got '0.5'"),
        (
            {"tokenize": "13a"},
            "Expected `tokenize` to be a function from a text to its words, or None, but got '13a'",
        ),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        METEORScorer(**options)


def test_wrong_samples_are_named(small):
    with pytest.raises(
        InputTypeError, match="prediction to be a string, but got NoneType"
    ) as error:
        small.rows(["a", None], ["a", "b"])
    assert error.value.index == 1
    with pytest.raises(InputError, match="at least one reference") as error:
        small.rows(["a"], [[]])
    assert error.value.index == 0
    with pytest.raises(InputError, match="same length, but got 1 and 2"):
        small.rows(["a"], ["a", "b"])


def test_without_wordnet(monkeypatch):
    """A run is told before it begins; what is stored can still be scored."""
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.delenv("WNSEARCHDIR", raising=False)
    monkeypatch.delenv("WNHOME", raising=False)
    monkeypatch.setattr(wordnet, "_SYSTEM_FOLDERS", ())
    meteor._synonyms.cache_clear()
    scorer = METEORScorer()
    for use in (scorer.prepare, scorer.signature, lambda: scorer.rows(["a car"], ["an auto"])):
        with pytest.raises(MissingExtraError, match=r"Run `python -m nltk\.downloader wordnet`"):
            use()
    assert scorer.from_sums(np.array([2.0, 1.0]))["meteor"] == 0.5


def test_wrong_folder_is_told_by_prepare(tmp_path):
    with pytest.raises(ConfigurationError, match="Expected `wordnet` to be a folder"):
        METEORScorer(wordnet=str(tmp_path)).prepare()


def test_signature(small):
    small.prepare()
    assert str(small.signature()) == (
        f"meteor|alpha:0.9|beta:3.0|gamma:0.5|tokenize:split|wordnet:3.0|version:{version('nltk')}"
    )


def test_copies_are_equal(small):
    for other in (pickle.loads(pickle.dumps(small)), copy.deepcopy(small)):
        assert other == small
        assert hash(other) == hash(small)
        assert value(other, "the car", "the automobile") == value(
            small, "the car", "the automobile"
        )


WORDS = st.lists(st.sampled_from(["car", "cars", "auto", "go", "went", "move", "a", "İ"]))


@given(st.lists(st.tuples(WORDS, WORDS), max_size=6), st.integers(0, 6))
def test_properties(tmp_path_factory, samples, cut):
    """Rows of a whole are the rows of its parts, in [0, 1], whatever the case of the letters."""
    scorer = METEORScorer(wordnet=_shared_database(tmp_path_factory))
    preds = [" ".join(pred) for pred, _ in samples]
    target = [" ".join(words) for _, words in samples]
    rows = scorer.rows(preds, target)
    parts = [scorer.rows(preds[:cut], target[:cut]), scorer.rows(preds[cut:], target[cut:])]
    assert (rows == np.concatenate(parts)).all()
    assert ((rows >= 0) & (rows <= 1)).all()
    assert (rows == scorer.rows([pred.upper() for pred in preds], target)).all()


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True))
def test_identity_bears_the_penalty_of_one_chunk(words):
    text = " ".join(words)
    assert value(METEORScorer(), text, text) == pytest.approx(1 - 0.5 / len(words) ** 3)


_database: list[str] = []


def _shared_database(tmp_path_factory) -> str:
    if not _database:
        _database.append(write_database(tmp_path_factory.mktemp("shared") / "wordnet"))
    return _database[0]
