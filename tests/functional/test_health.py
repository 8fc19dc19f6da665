"""Output health: each fault from rows of examples, the rates, and hostile text."""

import itertools
import json
import math
import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_vlmeval.errors import InputError, InputTypeError
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.faults import (
    is_empty,
    is_non_printable,
    is_prompt_echo,
    is_reasoning,
    is_repetition,
)
from lightning_vlmeval.functional.health import (
    FLAGS,
    HealthScorer,
    health_flags,
    healthy_part,
    healthy_scores,
)
from lightning_vlmeval.table import Table


def boxes(n):
    return [{"bbox_2d": [7 * i, 11 * i, 7 * i + 50, 11 * i + 90], "label": "car"} for i in range(n)]


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u3000\xa0", "\u200b\ufeff", "\0\0", "\ud800"])
def test_empty(text):
    assert is_empty(text)


@pytest.mark.parametrize("text", [".", "a", " 0 ", "猫", "-", "\u200b.", "e\u0301", "</s>"])
def test_not_empty(text):
    assert not is_empty(text)


@pytest.mark.parametrize(
    "text",
    [
        "the " * 40,
        "A photo of a car. " + "It is red. " * 30 + "It i",  # cut off in a turn
        "<loc0434>" * 64,
        "<loc0012><loc0034><loc0100><loc0200> car ; " * 12,
        '{"label": "car"}, ' * 40,
        json.dumps({"boxes": [[0, 0, 0, 0]] * 60})[:-30],
        "!" * 64,
        "不知道。" * 20,
        "I am not sure. " * 8,
        ("I cannot tell what is in this picture since it is too dark to see. " * 4),
        "\n".join(["- label: car\n  color: red"] * 20),
        "0 " * 200,
        "a long line that comes back, word for word, as a paragraph of its own\n\n" * 5 + "  \n\n",
        ("x" + ("ab" * 24 + "y") * 3) * 4,  # its end has shorter periods, for a while
        "-" * 600,
        "x" * 60,
        "\0" * 100,
    ],
)
def test_repetition(text):
    assert is_repetition(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "ha ha ha",
        "ha ha ha ha ha ha ha",
        "0 0 0 0",
        "no no no no",
        "[[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]",
        "<loc0000><loc0000><loc0000><loc0000>",
        json.dumps(boxes(60)),
        json.dumps(boxes(60))[:-200],  # cut off, but its numbers change
        json.dumps([{"label": "car", "count": None}] * 30),  # equal items, and closed
        "| a | b | c | d | e | f | g | h |\n" + "|---" * 20 + "|",
        "Name: " + "_" * 120,
        "Total" + "." * 200 + "12",
        "Introduction " + ". " * 60,
        "=" * 80,
        "|   |   |   |\n" * 10,
        "- label: car\n  color: red\n" * 4,
        "| not visible " * 4 + "|",
        "very very very very very good",
        "the " * 200 + "end of the poem, which has another line",
        " ".join(f"{i}. a car" for i in range(300)),
        "1,0,0,0\n2,0,0,0\n3,0,0,0\n",
        " ".join(random.Random(0).choices("abcdefgh", k=4000)),
    ],
)
def test_no_repetition(text):
    assert not is_repetition(text)


def slow_repetition(text):
    """The definition: the smallest period of an end of the text, and how far it reaches."""
    text = text.rstrip()
    for period in range(1, len(text) // 3 + 1):
        reach = period + sum(
            1
            for _ in itertools.takewhile(
                lambda i, period=period: text[-1 - i] == text[-1 - i - period],
                range(len(text) - period),
            )
        )
        gap = period - len(text[-period:].lstrip())
        needed = min(max(4 * period - gap, 200), max(8 * period - gap, 60))
        if not text[-period:].strip("-=_.*|:+#~ \n"):
            needed = max(needed, 500)
        if reach >= needed:
            return True
    return False


@given(
    st.text("ab. ", max_size=30),
    st.text("ab.\n", min_size=1, max_size=40),
    st.integers(0, 70),
    st.text("ab.", max_size=4),
)
def test_repetition_equals_its_definition(before, unit, turns, after):
    text = before + unit * turns + after
    assert is_repetition(text) == slow_repetition(text)


LONG = "Describe this image in detail and give the number of cars that you can see in it."


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("What is this? A cat.", "What is this?"),
        ("What is this?A cat.", "What is this?"),
        ("what  is\nTHIS? a cat", "What is this?"),
        ("What is this?", "<image>\nWhat is this?"),
        ("user: What is this? assistant: a cat", "What is this?"),
        ("USER\n<|vision_start|>What is this?\nA cat", "What is this?"),
        ("red car red car", "red car"),
        (f"Sure! {LONG} There are two.", LONG),
        ("Sure: " + " ".join(LONG.split()[:12]), LONG),  # 5 of its 10 runs of 8 words
        (LONG + " " + LONG, LONG),
    ],
)
def test_prompt_echo(text, prompt):
    assert is_prompt_echo(text, prompt)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("", "What is this?"),
        ("A cat.", "What is this?"),
        ("This is a cat", "What is this?"),
        ("cat", "cat"),  # one word
        ("anything", ""),
        ("anything", "<image>"),
        ("red car<loc_1><loc_2>", "blue car"),
        ("red carpet", "red car"),
        ("Sure: " + " ".join(LONG.split()[:11]), LONG),
        ("The number of cars that you can see is two", LONG),
        ('{"make": "Audi", "year": 2020}', 'Fill in {"make": ..., "year": ...} as JSON, no prose.'),
        (
            "B. a red car on the left side of the road",
            "Which? A. a dog B. a red car on the left side of the road C. a bus with two floors D. a very long train of many cars that leaves the station in the rain",
        ),
    ],
)
def test_no_prompt_echo(text, prompt):
    assert not is_prompt_echo(text, prompt)


@pytest.mark.parametrize(
    "text",
    [
        "<think>It is red.</think>red",
        "It is red.</think>red",
        "<think>It is",
        "<THINKING> hm",
        "</thought>",
        "<reasoning>so",
        "<seed:think>so",
        "◁think▷so◁/think▷",
        "[THINK]so[/THINK]",
        "<|begin_of_thought|>",
        "<|START_THINKING|>",
        "<|channel|>analysis<|message|>The user",
    ],
)
def test_reasoning(text):
    assert is_reasoning(text)


@pytest.mark.parametrize(
    "text", ["I think", "<thin>", "think>", "<answer>red</answer>", "a < b", "[a]"]
)
def test_no_reasoning(text):
    assert not is_reasoning(text)


@pytest.mark.parametrize(
    "text", ["a\0", "\x1b[0m", "\x7f", "\x85", "caf\ufffd", "\ud83d", "\uffff", "\ufdd0"]
)
def test_non_printable(text):
    assert is_non_printable(text)


@pytest.mark.parametrize(
    "text", ["", "a\tb\r\nc", "é", "猫", "😀", "\u200d", "\xa0", "\ufeffa", "\ue000"]
)
def test_no_non_printable(text):
    assert not is_non_printable(text)


PREDS = ["red", "", "<think>so", "the " * 40, "Is it red? Yes", "caf\ufffd", "blue"]
PROMPTS = ["Is it red?"] * 6 + [""]
TRUNCATED = [False, False, True, True, False, False, False]


def test_by_hand():
    """Seven answers, one prompt missing; two of the answers have more than one fault."""
    flags = health_flags(PREDS, PROMPTS, TRUNCATED)
    expected = [[], ["empty"], ["truncated", "reasoning"], ["truncated", "repetition"]]
    expected += [["prompt_echo"], ["non_printable"], []]
    assert [[f for f, on in zip(FLAGS, row, strict=True) if on] for row in flags] == expected

    scorer = HealthScorer()
    rows = scorer.rows(PREDS, [None] * 7, prompts=PROMPTS, truncated=TRUNCATED)
    result = {key: float(value) for key, value in scorer.from_sums(rows.sum(axis=0)).items()}
    assert result == {
        "empty": 1 / 7,
        "truncated": 2 / 7,
        "repetition": 1 / 7,
        "prompt_echo": 1 / 6,  # one sample has no prompt
        "reasoning": 1 / 7,
        "non_printable": 1 / 7,
        "healthy": 2 / 7,
    }


def test_a_score_on_the_healthy_subset():
    rows = np.arange(7.0)[:, None]
    table = Table(("value",), tuple("abcdefg"), rows)
    healthy = ~health_flags(PREDS, PROMPTS, TRUNCATED).any(axis=1)
    assert table.take(np.flatnonzero(healthy).tolist()).ids == ("a", "g")


def test_what_was_not_given_is_nan():
    scorer = HealthScorer()
    scores = scorer.from_sums(scorer.rows(["a", ""], ["a", "a"]).sum(axis=0))
    undefined = {key for key, value in scores.items() if math.isnan(value)}
    assert undefined == {"truncated", "prompt_echo"}
    assert scores["healthy"] == 0.5
    scores = scorer.from_sums(scorer.rows(["a"], ["a"], prompts=[" "], truncated=[0]).sum(axis=0))
    assert math.isnan(scores["prompt_echo"])
    assert scores["truncated"] == 0


def test_no_samples_is_nan():
    scorer = HealthScorer()
    rows = scorer.rows([], [], prompts=[], truncated=[])
    assert rows.shape == (0, len(scorer.columns))
    assert all(math.isnan(value) for value in scorer.from_sums(rows.sum(axis=0)).values())
    assert health_flags([]).shape == (0, len(FLAGS))


@given(st.lists(st.sampled_from(PREDS), max_size=8), st.randoms())
def test_split_and_range(preds, rng):
    scorer = HealthScorer()
    prompts, cut = [rng.choice(PROMPTS) for _ in preds], [rng.random() < 0.5 for _ in preds]
    where = rng.randrange(len(preds) + 1)
    rows = scorer.rows(preds, preds, prompts=prompts, truncated=cut)
    parts = [
        scorer.rows(preds[p], preds[p], prompts=prompts[p], truncated=cut[p])
        for p in (slice(where), slice(where, None))
    ]
    assert np.array_equal(rows, np.concatenate(parts))
    scores = scorer.from_sums(rows)
    assert tuple(scores) == scorer.keys
    faults = np.stack([np.nan_to_num(scores[flag]) for flag in FLAGS], axis=-1)
    assert np.array_equal(scores["healthy"], ~faults.any(axis=-1))


@pytest.mark.parametrize(
    "piece", ["a", "\0", " ", "<", "<think", "[[", "ab" * 50 + "c", "1,", "\ud800", "answer "]
)
def test_a_runaway_answer_ends(piece):
    """A million characters: with quadratic time this would not end."""
    text = piece * (1_000_000 // len(piece))
    flags = health_flags([text, text + "?", "?" + text], [LONG * 100] * 3)
    assert flags.shape == (3, 6)


def test_signature():
    assert str(HealthScorer().signature()).startswith("health|version:")
    assert not HealthScorer.unbounded


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("text",), InputTypeError, "Expected `preds` to be a list of strings, but got one string"),
        ((["a", 3],), InputTypeError, "Expected `preds` to hold strings, but got int"),
        ((["a"], [None]), InputTypeError, "Expected `prompts` to hold strings, but got NoneType"),
        ((["a"], "a"), InputTypeError, "Expected `prompts` to be a list of strings, but got one"),
        (
            (["a"], ["a", "b"]),
            InputError,
            "`prompts` to have one element for each of 1 answers, but got 2",
        ),
        (
            (["a"], None, []),
            InputError,
            "`truncated` to have one element for each of 1 answers, but got 0",
        ),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        health_flags(*arguments)


def test_lengths_of_targets():
    with pytest.raises(InputError, match=re.escape("same length, but got 1 and 2")):
        HealthScorer().rows(["a"], ["a", "b"])


def scored(scorer, preds, target, ids=None):
    ids = tuple(ids or (f"s{i}" for i in range(len(preds))))
    return Table(scorer.columns, ids, scorer.rows(preds, target), ids, (b"beside",) * len(ids))


TEXTS = ["two red cars stand", "a dog", "", "<think> is it", "a cat sat there"]
REFERENCES = ["two red cars stood", "a dog", "a tree", "a man", "a cat sat here"]


def test_scores_of_the_healthy_part_are_those_of_the_healthy_answers_alone():
    scorer = BLEUScorer()
    part = healthy_part(scored(scorer, TEXTS, REFERENCES), scored(HealthScorer(), TEXTS, TEXTS))
    assert part.ids == part.groups == ("s0", "s1", "s4")
    assert part.payloads == (b"beside",) * 3
    alone = scored(scorer, [TEXTS[i] for i in (0, 1, 4)], [REFERENCES[i] for i in (0, 1, 4)])
    assert scorer.score(part) == scorer.score(alone)
    assert scorer.score(part)["bleu"] > scorer.score(scored(scorer, TEXTS, REFERENCES))["bleu"]


@pytest.mark.parametrize(
    ("ids", "health_ids", "healthy", "part"),
    [
        ("ab", "ab", [1, 1], None),  # all are healthy
        ("ab", "ab", [1, 0], ("a",)),
        ("ba", "ab", [1, 0], ("a",)),  # in any order
        ("ab", "ab", [0, 0], ()),
        ("", "ab", [1, 0], None),
        ("ab", "", [], None),  # nothing is known of them: boxes beside texts of another task
        ("ab", "cd", [0, 0], None),
        ("abc", "ab", [1, 0], ("a",)),
        ("abc", "bc", [1, 1], None),
    ],
)
def test_healthy_part(ids, health_ids, healthy, part):
    texts = ["text" if one else "" for one in healthy]
    health = scored(HealthScorer(), texts, texts, health_ids)
    table = Table(("n",), tuple(ids), np.ones((len(ids), 1)))
    found = healthy_part(table, health)
    assert (found if found is None else found.ids) == part


def test_healthy_scores():
    scorers = {"health": HealthScorer(), "bleu": BLEUScorer(), "boxes": BLEUScorer()}
    tables = {
        "health": scored(HealthScorer(), TEXTS, TEXTS),
        "bleu": scored(BLEUScorer(), TEXTS, REFERENCES),
        "boxes": scored(BLEUScorer(), ["a"], ["a"], ["box"]),  # of another task, of no known health
    }
    part = healthy_part(tables["bleu"], tables["health"])
    assert healthy_scores(scorers, tables) == {"bleu": scorers["bleu"].score(part)}
    del scorers["health"]
    assert healthy_scores(scorers, tables) == {}


def test_healthy_scores_where_all_answers_are_ill():
    tables = {
        "health": scored(HealthScorer(), [""], [""]),
        "bleu": scored(BLEUScorer(), [""], ["a"]),
    }
    scores = healthy_scores({"health": HealthScorer(), "bleu": BLEUScorer()}, tables)
    assert math.isnan(scores["bleu"]["bleu"])
