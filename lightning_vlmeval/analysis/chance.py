"""What a text score is worth by chance: the floor from which its way to 1 is measured."""

from collections.abc import Sequence

import numpy as np

from lightning_vlmeval.functional.scorer import Scorer, check_texts
from lightning_vlmeval.table import Table


def chance_floor(
    scorer: Scorer, preds: Sequence[str], target: Sequence[str | Sequence[str]], *, seed: int = 0
) -> dict[str, float]:
    """The scores of answers held against the references of other samples.

    Raw BERTScore sits in a narrow high range, and BLEU is above 0 where all answers are of one
    template; what answers get from references that are not theirs is what they get for nothing.

    Args:
        scorer: A scorer of texts.
        preds: The answers.
        target: The references of each.
        seed: Decides whose references an answer gets; never its own.

    Returns:
        Each key; NaN for fewer than two samples.

    Raises:
        InputTypeError: A text is not a string.
        InputError: The lengths differ, or a sample has no reference.

    Example:
        >>> from lightning_vlmeval.functional.answers import AnswerScorer
        >>> answers = ["red", "red", "red", "two"]
        >>> chance_floor(AnswerScorer(), answers, answers)["exact_match"]  # two reds get a third
        0.5
    """
    texts, references = check_texts(preds, target)
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    others: list[list[str]] = [[]] * len(texts)
    for one, other in zip(order, order[1:] + order[:1], strict=True):
        others[one] = references[other]
    if len(texts) < 2:
        texts, others = [], []
    rows, payloads = scorer.tabulate(texts, others)
    ids = tuple(map(str, range(len(texts))))
    return scorer.score(Table(scorer.columns, ids, rows, payloads=tuple(payloads or ())))
