"""Short answers: by hand, against the original scripts, and their properties."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_vlmeval.errors import ConfigurationError, InputError, InputTypeError
from lightning_vlmeval.functional.agreement import (
    anls,
    edit_distance,
    relaxed_match,
    token_f1,
    vqa_accuracy,
)
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.choices import read_yes_no
from lightning_vlmeval.table import Table, exact_sums

DATA = Path(__file__).parent / "data"
ANSWERS = json.loads((DATA / "answers.json").read_text())
VQA = json.loads((DATA / "vqa.json").read_text())
MEANS = ("exact_match", "token_f1", "vqa_accuracy", "anls", "relaxed_accuracy")
NAN = float("nan")


def scores(preds, target, **options):
    scorer = AnswerScorer(**options)
    sums = exact_sums(scorer.rows(preds, target))
    return {key: float(value) for key, value in scorer.from_sums(sums).items()}


def column(preds, target, name):
    scorer = AnswerScorer()
    return scorer.rows(preds, target)[:, scorer.columns.index(name)]


def test_by_hand():
    """Four samples: a car, a count by three annotators, a yes/no question, a choice."""
    result = scores(
        ["The car.", "two", "No, it is blue.", "(B) a cat"],
        [["red car", "truck"], ["2", "2", "three"], "yes", "B"],
    )
    assert result == pytest.approx(
        {
            "exact_match": 0.0,
            "token_f1": (2 / 3 + 0 + 0 + 2 / 3) / 4,  # {car}/{red, car}; {b}/{b, cat}
            # {2, 2}: leaving out one of them 1/3, leaving out the third 2/3
            "vqa_accuracy": (0 + (1 / 3 + 1 / 3 + 2 / 3) / 3 + 0 + 0) / 4,
            "anls": (1 - 4 / 8) / 4,  # the car. - red car: three letters and the full stop
            "relaxed_accuracy": 0.0,
            "yes_precision": 0.0,
            "yes_recall": 0.0,
            "yes_f1": 0.0,
            "yes_rate": 0.0,
            "choice_accuracy": 1.0,
            # to red car; to 2; to yes, of which the s stays; to B
            "cer": (4 + 3 + 14 + 8) / (7 + 1 + 3 + 1),
        }
    )


# The rows of the docstring's table.
@pytest.mark.parametrize(
    ("pred", "target", "means", "yes_rate", "choice", "cer"),
    [
        ("", "", (1, 1, 1, 1, 1), NAN, NAN, NAN),
        ("", "cat", (0, 0, 0, 0, 0), NAN, NAN, 1),
        ("cat", "", (0, 0, 0, 0, 0), NAN, NAN, NAN),
        ("The", "a", (1, 1, 1, 0, 0), NAN, NAN, 3),
        ("", "yes", (0, 0, 0, 0, 0), 0, NAN, 1),
        ("", "B", (0, 0, 0, 0, 0), NAN, 0, 1),
    ],
)
def test_odd_input(pred, target, means, yes_rate, choice, cer):
    result = scores([pred], [target])
    assert tuple(result[key] for key in MEANS) == means
    found = (result["yes_rate"], result["choice_accuracy"], result["cer"])
    assert found == pytest.approx((yes_rate, choice, cer), nan_ok=True)


def test_no_samples_is_nan():
    scorer = AnswerScorer()
    assert scorer.rows([], []).shape == (0, len(scorer.columns))
    result = scores([], [])
    assert tuple(result) == scorer.keys
    assert all(math.isnan(value) for value in result.values())


@pytest.mark.parametrize(
    ("name", "place"),
    [("exact_match", 0), ("token_f1", 2), ("anls", 3), ("relaxed_accuracy", 4)],
)
def test_equals_the_original_scripts(name, place):
    cases = ANSWERS["cases"]
    assert len(cases) == 1200
    expected = np.array([values[place] for _, _, values in cases], dtype=float)
    found = column([pred for pred, _, _ in cases], [texts for _, texts, _ in cases], name)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_token_f1_differs_from_squad_1_only_where_nothing_is_left():
    """SQuAD 1.1 gives 0 to two texts without a word, which it calls an exact match."""
    differs = 0
    for pred, references, (exact, first, second, *_) in ANSWERS["cases"]:
        if first != second:
            differs += 1
            assert (exact, first, second) == (1, 0, 1), (pred, references)
    assert differs == 31


def test_vqa_accuracy_equals_the_evaluator():
    assert len(VQA["accuracy"]) == 700
    assert sum(len(references) == 10 for _, references, _ in VQA["accuracy"]) >= 350
    for pred, references, expected in VQA["accuracy"]:
        assert vqa_accuracy(pred, references) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("pred", "references", "score"),
    [
        ("two", ["2"], 1),  # one annotator: normalised and equal
        ("three", ["2"], 0),
        ("2", ["2", "2"], 1 / 3),
        ("2", ["2", "2", "2"], 2 / 3),
        ("2", ["2"] * 4, 1),
        ("two", ["2"] * 10, 0),  # all agree: nothing is normalised
        ("two", ["2"] * 9 + ["3"], 1),
        ("2", ["2"] * 3 + ["3"] * 7, (3 * 2 / 3 + 7) / 10),
        ("2", ["2"] * 1 + ["3"] * 9, 9 * (1 / 3) / 10),
        ("4", ["2"] * 5 + ["3"] * 5, 0),
    ],
)
def test_vqa_accuracy_by_hand(pred, references, score):
    assert vqa_accuracy(pred, references) == pytest.approx(score)


def test_yes_no_equals_pope():
    pope = ANSWERS["pope"]
    texts = [text for text, _, _ in pope["cases"]]
    assert len(texts) == 600
    assert [read_yes_no(text) for text in texts] == [said for _, _, said in pope["cases"]]
    result = scores(texts, [label for _, label, _ in pope["cases"]])
    for key, name in (("precision",) * 2, ("recall",) * 2, ("f1",) * 2, ("rate", "yes_ratio")):
        assert result[f"yes_{key}"] == pytest.approx(pope[name], abs=1e-12)


@pytest.mark.parametrize("text", ["", " \n", "...", ", ."])
def test_a_blank_answer_is_neither(text):
    """POPE takes it for a yes, so that a model that says nothing has a recall of 1."""
    assert read_yes_no(text) is None
    assert scores([text], ["yes"])["yes_recall"] == 0


@pytest.mark.parametrize(
    ("said", "target", "expected"),
    [
        ("yes yes no no", "yes no yes no", (0.5, 0.5, 0.5, 0.5)),
        ("yes yes yes no", "yes yes no yes", (2 / 3, 2 / 3, 2 / 3, 0.75)),
        ("no no", "yes yes", (0, 0, 0, 0)),  # none says yes, though it should
        ("yes yes", "no no", (0, NAN, 0, 1)),
        ("no no", "no no", (NAN, NAN, NAN, 0)),
        ("yes no", "car dog", (NAN, NAN, NAN, NAN)),
    ],
)
def test_yes_no_by_hand(said, target, expected):
    result = scores(said.split(), target.split())
    found = [result[f"yes_{key}"] for key in ("precision", "recall", "f1", "rate")]
    assert found == pytest.approx(expected, nan_ok=True)


def test_choice_accuracy_counts_letters_only():
    result = scores(["(B)", "C", "no idea", "B"], ["B", "B", ["B", "C"], "a cat"])
    assert result["choice_accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("pred", "reference", "score"),
    [
        ("ab", "abcd", 0.5),  # exactly the threshold counts
        ("ab", "abcde", 0),
        ("AB  cd", "ab cd", 1),
        ("x ", "x", 1),
        ("x ", "y", 0),  # 0.5 in the original, 0.8 with four blanks: white space adds to the length
        ("ab\ncde", "ab cdf", 1 - 1 / 6),
        ("ab   cde", "ab cdf", 1 - 1 / 8),  # the length is of the text as it came
    ],
)
def test_anls_by_hand(pred, reference, score):
    assert anls(pred, reference) == pytest.approx(score)


@pytest.mark.parametrize(
    ("pred", "reference", "right"),
    [
        ("105", "100", True),
        ("105.0001", "100", False),
        ("-95", "-100", True),
        ("95", "-100", False),
        ("0", "0", True),
        ("0.0", "0", False),  # the reference is 0: the texts have to be equal
        ("25%", "0.25", True),
        ("25", "25%", False),
        ("inf", "inf", False),
        ("nan", "nan", False),
        ("1,000", "1000", False),
        ("Red", "red", True),
        (" red\n", "red", True),  # the original leaves white space to its caller
    ],
)
def test_relaxed_match_by_hand(pred, reference, right):
    assert relaxed_match(pred, reference) is right


def test_cer_equals_torchmetrics():
    cases = ANSWERS["cases"]
    found = scores([pred for pred, _, _ in cases], [texts[0] for _, texts, _ in cases])["cer"]
    assert found == pytest.approx(ANSWERS["cer"], rel=1e-6)  # a float32


def test_cer_takes_the_closest_reference():
    scorer = AnswerScorer()
    rows = scorer.rows(["abc", "abc"], [["abd", "xyz", ""], ["ab", "abcd"]])
    assert rows[:, -2:].tolist() == [[1, 3], [1, 4]]  # of equally close ones the longest
    assert scores(["a long answer"], ["a"])["cer"] == 12  # may exceed 1


def test_edit_distance_is_an_upper_bound_beyond_its_limit():
    """Only the first 100,000 characters are aligned: enough for the one, too few for the other."""
    short = "ba" * 20_000
    assert edit_distance("ab" * 150_000, short) == 300_000 - 40_000
    assert edit_distance("x" * 300_000 + short, short) == 340_000  # 300,000 if it were aligned


def test_normalize_off_compares_texts_as_they_came():
    assert scores(["The car."], ["the car"], normalize=False)["exact_match"] == 0
    assert scores(["The car."], ["The car."], normalize=False)["exact_match"] == 1
    assert scores(["The red car"], ["red car"], normalize=False)["token_f1"] == 0.8


def test_the_best_reference_counts():
    result = scores(["106"], [["blue", "The 106.", "105"]])
    assert [result[key] for key in ("exact_match", "token_f1", "relaxed_accuracy")] == [1, 1, 1]


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "\ufeffcat", "😀" * 3, "\u202ecat"])
def test_hostile_text_scores(text):
    result = scores([text, "cat"], ["cat", text])
    assert result["exact_match"] == 0
    assert all(0 <= result[key] <= 1 for key in MEANS)


@pytest.mark.parametrize("letter", ["a", "9", ".", "(", " ", "answer is (", "1,", "no ", "\ud800"])
def test_a_runaway_answer_scores(letter):
    """100,000 characters for every rule: with quadratic time this would not end."""
    rows = AnswerScorer().rows([letter * (100_000 // len(letter))] * 3, ["yes", "B", "cat " * 50])
    assert np.isfinite(rows).all()


TEXT = st.text(st.sampled_from("aThe n.,5%yYoB() é"), max_size=12)
SAMPLE = st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=4))


@given(st.lists(SAMPLE, max_size=6), st.randoms())
def test_range_order_and_split(samples, rng):
    scorer = AnswerScorer()
    preds, target = [pred for pred, _ in samples], [references for _, references in samples]
    rows = scorer.rows(preds, target)
    cut = rng.randrange(len(samples) + 1)
    parts = [scorer.rows(preds[part], target[part]) for part in (slice(cut), slice(cut, None))]
    assert np.array_equal(rows, np.concatenate(parts))

    ids = [str(i) for i in range(len(samples))]
    table = Table(scorer.columns, tuple(ids), rows)
    rng.shuffle(ids)
    assert np.array_equal(
        list(scorer.score(table).values()),
        list(scorer.score(table.take([int(i) for i in ids])).values()),
        equal_nan=True,
    )
    for key, values in scorer.sample_scores(table).items():
        known = values[~np.isnan(values)]
        assert values.shape == (len(samples),)
        assert ((known >= 0) & ((known <= 1) | (key == "cer"))).all()


@given(TEXT)
def test_a_text_is_its_own_answer(text):
    result = scores([text], [text])
    assert [result[key] for key in ("exact_match", "token_f1", "vqa_accuracy", "anls")] == [1] * 4


@given(TEXT, TEXT)
def test_token_f1_is_symmetric_and_1_where_exact(pred, reference):
    assert token_f1(pred, reference) == token_f1(reference, pred)
    result = scores([pred], [reference])
    assert result["exact_match"] <= result["token_f1"] + 1e-12


@given(SAMPLE, TEXT)
def test_another_reference_never_hurts(sample, other):
    pred, references = sample
    before, after = scores([pred], [references]), scores([pred], [[*references, other]])
    for key in ("exact_match", "token_f1", "anls", "relaxed_accuracy"):
        assert after[key] >= before[key]


def test_from_sums_is_vectorised():
    scorer = AnswerScorer()
    rows = scorer.rows(["yes", "B", "cat", "no"], ["no", "B", "car", "no"])
    weights = np.array([[[1, 1, 1, 1], [2, 0, 1, 1]], [[0, 0, 0, 4], [0, 0, 0, 0]]], dtype=float)
    stacked = scorer.from_sums(weights @ rows)
    assert set(stacked) == set(scorer.keys)
    for place in np.ndindex(2, 2):
        for key, value in scorer.from_sums(weights[place] @ rows).items():
            np.testing.assert_array_equal(stacked[key][place], value)


def test_signature():
    assert str(AnswerScorer().signature()).startswith("answers|normalize:squad|version:")
    assert AnswerScorer(normalize=False).signature().differences(AnswerScorer().signature()) == [
        "normalize: none and squad"
    ]


def test_errors():
    with pytest.raises(ConfigurationError, match=re.escape("True or False, but got 'yes'")):
        AnswerScorer(normalize="yes")
    with pytest.raises(InputTypeError, match=re.escape("to be a string, but got int")) as error:
        AnswerScorer().rows(["a", 3], ["a", "3"])
    assert error.value.index == 1
    with pytest.raises(InputError, match=re.escape("one reference, but got an empty list")):
        AnswerScorer().rows(["a"], [[]])
    with pytest.raises(InputError, match=re.escape("same length, but got 1 and 2")):
        AnswerScorer().rows(["a"], ["a", "b"])
