"""How far a short answer agrees with its references: the published measures, a text at a time."""

from collections import Counter
from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from lightning_vlmeval.functional.normalization import vqa_normalize, vqa_tidy

_ANLS_THRESHOLD = 0.5
_RELAXED_TOLERANCE = 0.05
# An answer is wholly right where this many of the other annotators gave it.
_VQA_AGREEMENT = 3
# A page against a page takes milliseconds; beyond this many cells only prefixes are aligned.
_MAX_CELLS = 10**10
_MAX_PREFIX = 10**5


def token_f1(pred: str, reference: str) -> float:
    """The harmonic mean of precision and recall over the words that two texts share, in [0, 1].

    Words are split at white space and counted as often as they occur. 1 where neither text has a
    word, 0 where one has none, as in SQuAD 2.0 (SQuAD 1.1 gives 0 for both, although it calls them
    an exact match).

    Args:
        pred: The answer, normalised or not.
        reference: What it should have been, likewise.

    Example:
        >>> token_f1("a red car", "red car")
        0.8
    """
    words, expected = Counter(pred.split()), Counter(reference.split())
    total = words.total() + expected.total()
    return 2 * (words & expected).total() / total if total else 1.0


def vqa_accuracy(pred: str, references: Sequence[str]) -> float:
    """How many annotators gave the answer, as VQA counts them: min(matches / 3, 1), in [0, 1].

    The mean of that over the sets which leave out one annotator each. Texts are normalised
    (`vqa_normalize`) only where the annotators differ: where all gave the very same text, the
    answer has to be that text, as in the original. With two annotators the score is 1/3 at most,
    with three 2/3. With one the formula would always give 0; here it is 1 where the normalised
    texts are equal, and 0 otherwise.

    Source: the evaluator of VQA (Antol et al. 2015), ``vqaEval.py``.

    Args:
        pred: The answer.
        references: The answers of all annotators, ten in VQA.

    Example:
        >>> vqa_accuracy("Two", ["2"] * 2 + ["three"] * 8)
        0.6
    """
    if len(references) == 1:
        return float(vqa_normalize(pred) == vqa_normalize(references[0]))
    pred, texts = vqa_tidy(pred), [vqa_tidy(reference) for reference in references]
    if len(set(texts)) > 1:
        pred, normal = vqa_normalize(pred), {text: vqa_normalize(text) for text in set(texts)}
        texts = [normal[text] for text in texts]
    matches = texts.count(pred)
    left_in = (len(texts) - matches) * min(matches, _VQA_AGREEMENT)
    left_out = matches * min(matches - 1, _VQA_AGREEMENT)
    return (left_in + left_out) / (_VQA_AGREEMENT * len(texts))


def edit_distance(first: str, second: str) -> int:
    """The fewest insertions, deletions and substitutions of code points that make two texts equal.

    Exact for texts whose lengths have a product of 10**10 at most. Beyond it (a runaway answer of
    megabytes against a reference of thousands of characters) the first 100,000 characters of both
    are aligned and what is left of the longer is added, which is an upper bound.

    Args:
        first: A text.
        second: Another.

    Example:
        >>> edit_distance("kitten", "sitting")
        3
    """
    if len(first) * len(second) <= _MAX_CELLS:
        return Levenshtein.distance(first, second)
    rest = max(len(first), len(second)) - _MAX_PREFIX
    return Levenshtein.distance(first[:_MAX_PREFIX], second[:_MAX_PREFIX]) + rest


def anls(pred: str, reference: str) -> float:
    """The normalised Levenshtein similarity of two texts, or 0 where it is below 0.5; in [0, 1].

    ``1 - distance / length``: the edit distance of the texts in lower case with single spaces, over
    the length of the longer text before that (in upper case). 1 for two empty texts. Exactly 0.5
    counts. All this is as in the evaluator of the Robust Reading Competition (ST-VQA, DocVQA,
    InfographicVQA); the formula of the paper (Biten et al. 2019) gives 0 at 0.5. Only, white space
    around the texts is dropped first: there it adds to the length, so that blanks after a wrong
    answer raise its score.

    Args:
        pred: The answer.
        reference: What it should have been.

    Example:
        >>> anls("12 Man st.", "12 Main St."), anls("no", "12 Main St.")
        (0.9090909090909091, 0.0)
    """
    pred, reference = pred.strip(), reference.strip()
    length = max(len(pred.upper()), len(reference.upper()))
    if not length:
        return 1.0
    plain, expected = (" ".join(text.lower().split()) for text in (pred, reference))
    similarity = 1 - edit_distance(plain, expected) / length
    return similarity if similarity >= _ANLS_THRESHOLD else 0.0


def relaxed_match(pred: str, reference: str) -> bool:
    """Whether a number is within 5 % of the reference, or a text equals it but for case.

    A text is a number if Python's `float` reads it, perhaps with a percent sign at its end
    ("25%" is 0.25, so it does not match "25"). Where the reference is 0 or no number, the texts
    have to be equal. White space around them is dropped first, which the original leaves to its
    caller.

    Source: ChartQA (Masry et al. 2022), as pix2struct's ``relaxed_correctness`` defines it.

    Args:
        pred: The answer.
        reference: What it should have been.

    Example:
        >>> relaxed_match("105", "100"), relaxed_match("106", "100"), relaxed_match("Red", "red")
        (True, False, True)
    """
    pred, reference = pred.strip(), reference.strip()
    number, expected = _number(pred), _number(reference)
    if number is not None and expected:
        return abs(number - expected) / abs(expected) <= _RELAXED_TOLERANCE
    return pred.lower() == reference.lower()


def _number(text: str) -> float | None:
    """The number that a text is; None where it is none."""
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
