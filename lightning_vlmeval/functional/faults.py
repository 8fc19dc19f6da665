"""What can be wrong with an answer as text, whatever it was to say. All in linear time."""

import re
from collections.abc import Iterator

# A loop is long, or has many turns: four equal list items or table cells are no fault.
_LOOPS = ((4, 200), (8, 60))
_MIN_TURNS = min(turns for turns, _ in _LOOPS)
_MIN_CHARACTERS = min(characters for _, characters in _LOOPS)
# What rules, leaders and empty table cells are drawn with, and how much of it is a loop.
_LAYOUT = re.compile(r"[-=_.*|:+#~\s]+")
_MIN_LAYOUT = 500

_RUN = 8  # words
_COPIED = 0.5
_MIN_PROMPT = 2  # words
_TAG = re.compile(r"<[^<>\s]{1,64}>")
_ROLES = re.compile(r"\A(?:(?:system|user|human|question|prompt|instruction)\b[\s:>*]*)+")

_REASONING = re.compile(
    r"</?(?:seed:)?(?:think|thinking|thought|thoughts|reasoning)>|◁/?think▷|\[/?think\]"
    r"|<\|(?:begin|end)_of_thought\|>|<\|(?:start|end)_thinking\|>|<\|channel\|>analysis",
    re.IGNORECASE,
)

# Control characters but for tab, line feed and carriage return; lone surrogates; noncharacters;
# the mark of a byte that could not be decoded.
_NON_PRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffd-\uffff]"
)


def is_empty(text: str) -> bool:
    r"""Whether a text has nothing to see: no character but spaces, controls and invisible marks.

    Args:
        text: An answer.

    Example:
        >>> is_empty(" \n\u200b"), is_empty(".")
        (True, False)
    """
    return not any(character.isprintable() and character != " " for character in set(text))


def is_repetition(text: str) -> bool:
    """Whether an answer ends in a loop: one unit again and again, one turn perhaps cut off.

    The end of a text is a loop where it is 4 turns of a unit and 200 characters, or 8 turns and 60
    characters, white space before and after it left out. A unit of nothing but white space and
    ``-=_.*|:+#~`` (rules, dotted leaders, empty table cells) needs 500 characters. Thus "ha ha ha",
    "0 0 0 0", four equal rows and a list that is closed are no loops, and neither is anything whose
    numbers change. Time is linear in the length.

    Args:
        text: An answer.

    Example:
        >>> is_repetition("A red car, " + "a red car, " * 20), is_repetition("ha ha ha ha")
        (True, False)
    """
    end = text.rstrip()[::-1]
    if len(end) < _MIN_CHARACTERS:
        return False
    longest = len(end) // (_MIN_TURNS - 1)  # white space at an end can be most of a turn
    size = 1
    while size <= 2 * longest:
        # The smallest period of a loop is the way to the next copy of any piece as long as it.
        period = end.find(end[:size], 1, longest + size)
        if period < 0:
            return False
        if _has_loop(end, period):
            return True
        size *= 2
    return False


def _has_loop(end: str, period: int) -> bool:
    """Whether the text read from its end has this period for long enough."""
    unit = end[:period]
    gap = period - len(unit.rstrip())
    length = min(max(turns * period - gap, characters) for turns, characters in _LOOPS)
    if _LAYOUT.fullmatch(unit):
        length = max(length, _MIN_LAYOUT)
    return length <= len(end) and end[period:length] == end[: length - period]


def is_prompt_echo(text: str, prompt: str) -> bool:
    """Whether an answer repeats its prompt: begins with it, or holds half of a long one.

    Tags (``<image>``), case and the amount of white space do not matter. An answer begins with the
    prompt where all of it, two words at least, comes first, perhaps after the name of a role
    ("user:"). It holds half where of the prompt's runs of 8 words half are in the answer, word for
    word. False for an empty prompt. Time is linear in the lengths.

    Args:
        text: An answer.
        prompt: The text given to the model for it.

    Example:
        >>> is_prompt_echo("Is it red? Yes.", "<image>Is it red?"), is_prompt_echo("Red.", "Red?")
        (True, False)
    """
    answer, question = _plain(text), _plain(prompt)
    words = question.split()
    if len(words) < _MIN_PROMPT:
        return False
    if answer.startswith(question):
        after = answer[len(question) : len(question) + 1]
        if after in ("", " ") or not question[-1].isalnum():
            return True
    asked, said = set(_runs(words)), _runs(answer.split())
    return bool(asked) and len({run for run in said if run in asked}) >= _COPIED * len(asked)


def _plain(text: str) -> str:
    """The text without tags and the role it begins with, in lower case, with single spaces."""
    return _ROLES.sub("", " ".join(_TAG.sub(" ", text).lower().split()), count=1)


def _runs(words: list[str]) -> Iterator[tuple[str, ...]]:
    """Every run of 8 words."""
    return (tuple(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1))


def is_reasoning(text: str) -> bool:
    """Whether an answer has a marker of a model's reasoning in it, closed or not.

    ``<think>``, ``<thinking>``, ``<thought>``, ``<reasoning>``, ``<seed:think>``, ``[THINK]``,
    ``<|begin_of_thought|>``, ``<|START_THINKING|>``, ``<|channel|>analysis`` and Kimi's triangles;
    their ends too, in any case.

    Args:
        text: An answer.

    Example:
        >>> is_reasoning("It is red.</think>Red"), is_reasoning("I think it is red")
        (True, False)
    """
    return _REASONING.search(text) is not None


def is_non_printable(text: str) -> bool:
    r"""Whether a text has characters that no text should have.

    Control characters but for tab, line feed and carriage return; lone surrogates; noncharacters;
    and U+FFFD, which stands for bytes that are no UTF-8.

    Args:
        text: An answer.

    Example:
        >>> is_non_printable("caf\ufffd"), is_non_printable("a\tb")
        (True, False)
    """
    return _NON_PRINTABLE.search(text) is not None
