"""A model's answer without what is not the answer: reasoning blocks and end-of-text tokens."""

import re
from typing import NamedTuple

# Characters that are read of one answer. 128 thousand tokens are about half of it.
MAX_LENGTH = 1_000_000

_REASONING = re.compile(
    r"(?P<open><think(?:ing)?>|◁think▷)|(?P<close></think(?:ing)?>|◁/think▷)", re.IGNORECASE
)
# Tokens that tokenizers put around a text. Marks of the box formats must not be among them.
_SPECIAL = re.compile(
    r"</?s>|<(?:eos|bos|pad|unk)>|</?answer>|<(?:start|end)_of_turn>|<\|?turn\|?>"
    r"|<\|(?:begin|end)_of_(?:text|sentence)\|>|<\|(?:end|start)oftext\|>|<\|im_(?:start|end)\|>"
    r"|<\|(?:eot_id|eom_id|eos|bos|pad|end|user|assistant|observation|system)\|>"
    r"|<\|(?:START|END)_OF_TURN_TOKEN\|>|<\uff5c(?:begin|end)\u2581of\u2581sentence\uff5c>"
)
_NONE = re.compile(
    r"""\W*(?:
        (?:no|none|null|nothing|n/?a|empty|not\ (?:found|present|visible|detected))\W*$
        | (?:none|nothing)\ (?:was\ |is\ )?(?:found|present|visible|detected)\b
        | no\ (?:such\ )?(?:objects?|instances?|match(?:es)?|boxe?s?|detections?|targets?)\b
        | there(?:\ is|\ are|'s)\ (?:no|none|not|nothing)\b | there\ (?:isn't|aren't)\b
        | no\b[^.\n]*\b(?:found|present|visible|detected|in\ the\ (?:image|picture|photo))\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)


class Answer(NamedTuple):
    """What of an answer is to be read.

    Args:
        text: The answer itself.
        unfinished: The text ended inside a reasoning block: the answer never began.
        overlong: The text was longer than `MAX_LENGTH`; the rest was not read.
    """

    text: str
    unfinished: bool
    overlong: bool


def answer_of(text: str) -> Answer:
    """The answer in a model's text: reasoning blocks and the tokens around a text are taken out.

    A closing tag without an opening one ends a block that began in the prompt.

    Args:
        text: What the model wrote.

    Example:
        >>> answer_of("<think>[1, 2]?</think>[]<|im_end|>").text
        '[]'
        >>> answer_of("[1, 2]? Yes.</think>[3, 4]").text
        '[3, 4]'
        >>> answer_of("<think>[1, 2]").unfinished
        True
    """
    kept: list[str] = []
    start, thinking = 0, False
    head = text[:MAX_LENGTH]
    for tag in _REASONING.finditer(head):
        if tag["close"] is None and not thinking:
            kept.append(head[start : tag.start()])
            thinking = True
        elif tag["close"] is not None:
            kept = kept if thinking else []
            start, thinking = tag.end(), False
    if not thinking:
        kept.append(head[start:])
    return Answer(_SPECIAL.sub("", "".join(kept)), thinking, len(text) > MAX_LENGTH)


def says_none(text: str) -> bool:
    """Whether a text says in words that there is nothing to find.

    Args:
        text: An answer in which no box was found.

    Example:
        >>> says_none("There are no cats in the image."), says_none("I cannot help with that.")
        (True, False)
    """
    return _NONE.match(text) is not None
