"""The normalisations against the original scripts, whose outputs are pinned in data/."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_vlmeval.functional.normalization import squad_normalize, vqa_normalize, vqa_tidy

VQA = json.loads((Path(__file__).parent / "data" / "vqa.json").read_text())


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("", ""),
        ("The", ""),
        ("a an the A", ""),
        ("...", ""),
        ("The cat's  mat!", "cats mat"),
        ("U.S.", "us"),
        ("red-blue", "redblue"),
        ("theatre and an anthem", "theatre and anthem"),
        ("¿Dónde?", "¿dónde"),  # only ASCII punctuation goes
        ("a\u3000猫\n", "猫"),
        ("the_end", "theend"),
        ("\ud800 a", "\ud800"),
    ],
)
def test_squad_by_hand(text, normal):
    assert squad_normalize(text) == normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("", ""),
        ("Two", "2"),
        ("None", "0"),
        ("the dont", "don't"),
        ("red/blue", "red blue"),
        ("red / blue", "red blue"),  # the slash goes, two spaces become one
        ("t-shirt", "t shirt"),
        ("t-shirt - red", "tshirt red"),  # one hyphen beside a space: all of them close up
        ("1,000", "1000"),
        ("1,000 a/b", "1000 ab"),  # a comma in a number: all punctuation closes up
        ("3.5 m.", "3.5 m"),
        ("." * 40, "." * 8),  # 32 periods go
        ("somebody'd", "somebodyd"),
        ("\tTwo\ndogs ", "2 dogs"),
        ("\u0662,\u0663", "\u0662 \u0663"),  # digits are ASCII's
        ("x\ud800!", "x\ud800"),
    ],
)
def test_vqa_by_hand(text, normal):
    assert vqa_normalize(text) == normal


def test_vqa_equals_the_evaluator():
    assert len(VQA["normalized"]) == 1200
    assert [vqa_normalize(text) for text, _ in VQA["normalized"]] == [
        n for _, n in VQA["normalized"]
    ]


def test_vqa_tidy_keeps_what_is_inside():
    assert vqa_tidy("\n The\tred  cat.\r\n") == "The red  cat."


@given(st.text(st.sampled_from("aThen o.,-'3é \n"), max_size=30))
def test_no_superfluous_space(text):
    for normal in (squad_normalize(text), vqa_normalize(text)):
        assert normal == " ".join(normal.split())


@given(st.text(st.sampled_from("aThen o.,-'3é \n"), max_size=30))
def test_squad_ignores_case_and_punctuation(text):
    assert squad_normalize(text.upper() + "!") == squad_normalize(text)
