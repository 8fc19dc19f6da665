"""SQuAD's and VQA's official normalisations of a short answer."""

import re
import string

_SQUAD_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_SQUAD_PUNCTUATION = str.maketrans("", "", string.punctuation)

# VQA's evaluator restores these where one apostrophe is missing: "dont", "couldn'tve".
_CONTRACTIONS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've
might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't
would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _vqa_words() -> dict[str, str]:
    """What VQA's evaluator puts in the place of a word."""
    words = {
        contraction[:at] + contraction[at + 1 :]: contraction
        for contraction in _CONTRACTIONS.split()
        for at, character in enumerate(contraction)
        if character == "'"
    }
    words["somebody'd"] = "somebodyd"  # the wrong way round in the evaluator
    words["none"] = "0"
    words.update((name, str(number)) for number, name in enumerate(_NUMBERS))
    return words


_VQA_WORDS = _vqa_words()
_VQA_ARTICLES = frozenset({"a", "an", "the"})
_VQA_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"[0-9],[0-9]")
_PERIOD = re.compile(r"\.(?![0-9])")
# The evaluator passes a flag where `re.sub` takes a count, so that 32 periods at most are removed.
_MAX_PERIODS = 32


def squad_normalize(text: str) -> str:
    """The text in lower case, without ASCII punctuation, articles and superfluous white space.

    The order is SQuAD's: lower case, then punctuation, then the words "a", "an" and "the". Letters
    of any script stay; "U.S." becomes "us" and "a-b" becomes "ab". An empty text, or one of nothing
    but punctuation and articles, becomes "".

    Source: the evaluation script of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018).

    Args:
        text: An answer or a reference.

    Example:
        >>> squad_normalize("The  cat's mat, again!")
        'cats mat again'
    """
    bare = text.lower().translate(_SQUAD_PUNCTUATION)
    return " ".join(_SQUAD_ARTICLES.sub(" ", bare).split())


def vqa_tidy(text: str) -> str:
    r"""The text with a space for each newline and tab, and without white space around it.

    All that VQA's evaluator does to the answers of a question on which its annotators agree.

    Args:
        text: An answer or a reference.

    Example:
        >>> vqa_tidy(" Two\tdogs\n")
        'Two dogs'
    """
    return text.replace("\n", " ").replace("\t", " ").strip()


def vqa_normalize(text: str) -> str:
    r"""The text as VQA's evaluator compares it: punctuation, numbers, articles, contractions.

    Each of ``;/[]"{}()=+\_-><@`,?!`` becomes a space, or nothing if it has a space beside it
    somewhere in the text, or if the text has a comma between two digits. A period goes unless a
    digit follows (32 of them at most, a slip of the evaluator that is kept). Then lower case;
    "none" and "zero" to "ten" become digits, "a", "an" and "the" go, and a contraction gets a
    missing apostrophe back. Digits are ASCII's. An empty text stays "".

    Source: the evaluator of VQA (Antol et al. 2015), ``vqaEval.py``, as Python 2 runs it.

    Args:
        text: An answer or a reference.

    Example:
        >>> vqa_normalize("The two dogs, dont bark!")
        "2 dogs don't bark"
    """
    tidy = vqa_tidy(text)
    in_number = _COMMA_IN_NUMBER.search(tidy) is not None
    table = {
        ord(mark): "" if in_number or f"{mark} " in tidy or f" {mark}" in tidy else " "
        for mark in _VQA_PUNCTUATION
    }
    bare = _PERIOD.sub("", tidy.translate(table), count=_MAX_PERIODS)
    words = [_VQA_WORDS.get(word, word) for word in bare.lower().split()]
    return " ".join(word for word in words if word not in _VQA_ARTICLES)
