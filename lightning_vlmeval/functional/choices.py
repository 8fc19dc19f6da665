"""Which choice an answer makes: yes or no, or a letter."""

import re
import string
from collections.abc import Sequence
from typing import Literal

_NEGATIVE = frozenset({"no", "not"})

# A letter stands alone with no other beside it, but for Chinese and Japanese, which have no spaces.
_BEFORE, _AFTER = r"(?<!')(?<![^\W\u3040-\u9fff])", r"(?!')(?![^\W\u3040-\u9fff])"
_STATEMENT = re.compile(
    rf"""(?:\b(?i:answer)(?:\s{{1,9}}(?i:is))?|\\boxed)[\s:=>*_"'(\[{{]{{1,20}}([A-Z]){_AFTER}"""
)
_START = re.compile(r"\W{0,99}([A-Za-z])(?:[.):\]]+(?:\s|$)|\W*\n)")
_OPTION = re.compile(rf"""\b(?i:option|choice)[\s:*"'(\[]{{1,20}}([A-Z]){_AFTER}""")
_WHOLE = re.compile(r"\W*([A-Za-z])\W*")
_BRACKETED = re.compile(r"[(\[]([A-Z])[)\]]")
_ALONE = re.compile(rf"{_BEFORE}([B-HJ-Z]){_AFTER}")
_LETTER_TARGET = re.compile(r"\s*[(\[]?([A-Z])[)\].:]?\s*")


def read_yes_no(text: str) -> Literal["yes", "no"] | None:
    """Whether an answer says yes or no, as POPE reads it: no where it has a "no" or a "not".

    Only the first sentence counts (up to a full stop), without commas. An answer with neither word
    is a yes: "There is one" and "I cannot see it" are. Three slips of the original are mended: it
    overlooks "NO", a "no" at a line's end and "No!" (here case does not matter, any white space
    splits and punctuation around a word is dropped), and it takes a blank answer for a yes (here it
    is neither).

    Source: ``evaluate.py`` of POPE (Li et al. 2023).

    Args:
        text: An answer.

    Returns:
        ``"yes"`` or ``"no"``, or None where the first sentence is blank.

    Example:
        >>> read_yes_no("No, there is none. Yes?"), read_yes_no("It is."), read_yes_no(" ")
        ('no', 'yes', None)
    """
    sentence = text.partition(".")[0]
    words = sentence.replace(",", "").lower().split()
    if not words:
        return None
    negative = any(word.strip(string.punctuation) in _NEGATIVE for word in words)
    return "no" if negative else "yes"


def yes_no_target(references: Sequence[str]) -> Literal["yes", "no"] | None:
    """What more than half of the references say, if that is yes or no; None otherwise.

    A reference says yes where it is that word alone, in any case, perhaps with a full stop.

    Args:
        references: The sample's references, at least one.

    Example:
        >>> yes_no_target(["Yes.", "yes", "no"]), yes_no_target(["yes", "no"])
        ('yes', None)
    """
    words = [reference.strip().rstrip(".!").lower() for reference in references]
    if 2 * words.count("yes") > len(words):
        return "yes"
    return "no" if 2 * words.count("no") > len(words) else None


def read_choice(text: str) -> str | None:
    r"""The letter of a multiple choice that an answer gives, in upper case; None where unclear.

    The first rule that finds one decides:

    1. the answer is one letter and no other letter or digit: ``b``, ``(B)``, ``**B**.``
    2. the last ``answer is B``, ``Answer: (B)``, ``<answer>B`` or ``\boxed{B}``
    3. it begins with a letter as of a list: ``B. a cat``, ``(b) a cat``, ``B`` alone on the line
    4. the last ``option B`` or ``choice B``
    5. all single capitals in brackets are the same one: ``it must be (B)``
    6. all single capitals but ``A`` and ``I``, which are words, are the same one: ``I think B``

    Args:
        text: An answer.

    Example:
        >>> [read_choice(t) for t in ("(C)", "A is wrong, the answer is B.", "A cat", "B or C")]
        ['C', 'B', None, None]
    """
    if whole := _WHOLE.fullmatch(text):
        return whole[1].upper()
    if stated := _STATEMENT.findall(text):
        return str(stated[-1])
    if start := _START.match(text):
        return start[1].upper()
    if options := _OPTION.findall(text):
        return str(options[-1])
    for pattern in (_BRACKETED, _ALONE):
        letters = set(pattern.findall(text))
        if letters:
            return str(letters.pop()) if len(letters) == 1 else None
    return None


def choice_targets(references: Sequence[str]) -> frozenset[str] | None:
    """The letters that the references accept; None where one of them is not a single letter A-Z.

    Args:
        references: The sample's references, at least one.

    Example:
        >>> sorted(choice_targets(["(B)", "C."])), choice_targets(["B", "a cat"])
        (['B', 'C'], None)
    """
    matches = [_LETTER_TARGET.fullmatch(reference) for reference in references]
    letters = frozenset(match[1] for match in matches if match)
    return letters if all(matches) else None
