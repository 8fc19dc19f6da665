"""Reading a choice out of an answer and out of references: yes or no, or a letter.

That yes and no are read as POPE reads them is shown with the scores, in test_answers.py.
"""

import pytest

from lightning_vlmeval.functional.choices import (
    choice_targets,
    read_choice,
    read_yes_no,
    yes_no_target,
)


@pytest.mark.parametrize("text", ["NO", "No!", "No\nThere is none", "**No**", "It is\tnot"])
def test_yes_no_where_pope_slips(text):
    """POPE takes these for a yes: it looks for "no", "No" and "not" between single spaces."""
    assert read_yes_no(text) == "no"


@pytest.mark.parametrize(
    ("references", "target"),
    [
        (["Yes"], "yes"),
        ([" NO. "], "no"),
        (["yes", "no"], None),
        (["yes"] * 6 + ["no"] * 4, "yes"),
        (["yes"] * 5 + ["maybe"] * 5, None),
        (["yes it is"], None),
        ([""], None),
    ],
)
def test_yes_no_target(references, target):
    assert yes_no_target(references) == target


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        (" (b) ", "B"),
        ("**B**.", "B"),
        ("A", "A"),
        ("B. a cat", "B"),
        ("(c) a cat", "C"),
        ("b) a cat", "B"),
        ("B\nbecause A is wrong", "B"),
        ("The answer is B", "B"),
        ("The answer is A.", "A"),
        ("A: red\nB: blue\nAnswer: (B)", "B"),
        ("Answer: A? No. The correct answer is **D**", "D"),
        ("<think>A or B</think><answer>C</answer>", "C"),
        ("so \\boxed{D}", "D"),
        ("Option C is the one", "C"),
        ("the correct answer is option C", "C"),
        ("it must be (B), I think", "B"),
        ("I think B is right", "B"),
        ("答案是B。", "B"),
        ("答案:C", "C"),
        ("B or C", None),
        ("(B) or (C)", "B"),  # as the head of a list
        ("either (B) or (C)", None),
        ("all but (a)", None),
        ("A cat", None),
        ("I see a cat", None),
        ("cat", None),
        ("U.S. flag", None),
        ("", None),
        ("42", None),
        ("The answer is Blue", None),
        ("É", None),
    ],
)
def test_read_choice(text, letter):
    assert read_choice(text) == letter


@pytest.mark.parametrize(
    ("references", "letters"),
    [
        (["B"], {"B"}),
        (["(B)"], {"B"}),
        (["[C]"], {"C"}),
        (["D."], {"D"}),
        (["B", "C"], {"B", "C"}),
        (["b"], None),
        (["B", "a cat"], None),
        (["BC"], None),
        ([""], None),
    ],
)
def test_choice_targets(references, letters):
    assert choice_targets(references) == (None if letters is None else frozenset(letters))
