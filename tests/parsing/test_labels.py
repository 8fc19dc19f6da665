"""Which phrase a label names."""

import re

import pytest

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.parsing import LabelMatcher

CASES = [
    ("auto", ["x", ""], ["cat"], ["cat", "cat"], {}),
    ("auto", ["x"], ["cat", "cat"], ["cat"], {}),
    ("phrase", ["x"], ["cat"], ["cat"], {}),
    ("labels", ["x", ""], ["cat"], [None, None], {"unmatched": 2}),
    ("labels", ["cat"], ["cat"], ["cat"], {}),
    ("auto", ["The Cat."], ["cat", "dog"], ["cat"], {"lenient": 1}),
    ("auto", ["cat", "a cat"], ["a cat", "cat"], ["cat", "a cat"], {}),
    ("auto", ["THE CAT"], ["a cat", "cat"], ["a cat"], {"lenient": 1}),
    (
        "auto",
        ["traffic_light", "traffic-light"],
        ["traffic light", "x"],
        ["traffic light"] * 2,
        {"lenient": 2},
    ),
    ("auto", ["mans hat"], ["the man's hat", "x"], ["the man's hat"], {"lenient": 1}),
    ("auto", ["STRASSE"], ["straße", "x"], ["straße"], {"lenient": 1}),
    ("auto", ["theater"], ["ater", "x"], [None], {"unmatched": 1}),
    ("auto", ["a", "?"], ["the", "cat"], [None, None], {"unmatched": 2}),
    ("auto", ["the"], ["the", "cat"], ["the"], {}),
    ("auto", [], ["cat", "dog"], [], {}),
    ("auto", ["cat"], [], [None], {"unmatched": 1}),
    ("phrase", ["cat"], [], [None], {"unmatched": 1}),
]


@pytest.mark.parametrize(("mode", "labels", "phrases", "wanted", "issues"), CASES)
def test_match(mode, labels, phrases, wanted, issues):
    matched = LabelMatcher(mode).match(labels, phrases)
    assert matched.phrases == wanted
    assert matched.issues == issues


@pytest.mark.parametrize(
    ("option", "label"),
    [("ignore_case", "Cat"), ("ignore_articles", "the cat"), ("ignore_punctuation", "cat.")],
)
def test_each_leniency_can_be_switched_off(option, label):
    assert LabelMatcher().match([label], ["cat", "dog"]).phrases == ["cat"]
    assert LabelMatcher(**{option: False}).match([label], ["cat", "dog"]).phrases == [None]


def test_errors():
    with pytest.raises(ConfigurationError, match="one of auto, phrase, labels, but got 'fuzzy'"):
        LabelMatcher("fuzzy")
    message = re.escape("""one phrase in each sample with mode="phrase", but got ['cat', 'dog']""")
    with pytest.raises(InputError, match=message):
        LabelMatcher("phrase").match(["cat"], ["cat", "dog"])
