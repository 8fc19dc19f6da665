"""Short answers: exact match, token F1, VQA accuracy, ANLS, relaxed accuracy, choices, CER."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lightning_vlmeval import __version__
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.agreement import (
    anls,
    edit_distance,
    relaxed_match,
    token_f1,
    vqa_accuracy,
)
from lightning_vlmeval.functional.choices import (
    choice_targets,
    read_choice,
    read_yes_no,
    yes_no_target,
)
from lightning_vlmeval.functional.normalization import squad_normalize
from lightning_vlmeval.functional.scorer import Scorer, Scores, check_texts, ratio
from lightning_vlmeval.table import Floats


def _edits(pred: str, references: Sequence[str]) -> tuple[int, int]:
    """The edit distance to the closest reference, and its length: the longest of equally close."""
    distance, length = min((edit_distance(pred, one), -len(one)) for one in references)
    return distance, -length


def _yes_no_counts(pred: str, references: Sequence[str]) -> tuple[bool, bool, bool, bool]:
    """Whether the target is yes or no, and then: a true, a false positive, a false negative."""
    target = yes_no_target(references)
    if target is None:
        return False, False, False, False
    says_yes = read_yes_no(pred) == "yes"
    return (
        True,
        says_yes and target == "yes",
        says_yes and target == "no",
        (not says_yes and target == "yes"),
    )


def _choice_counts(pred: str, references: Sequence[str]) -> tuple[bool, bool]:
    """Whether the target is a letter, and then: whether the answer gives it."""
    letters = choice_targets(references)
    return letters is not None, letters is not None and read_choice(pred) in letters


@dataclass(frozen=True)
class AnswerScorer(Scorer):
    """Accuracies of short answers: eleven ways to say how often the answer is the reference.

    A key is the mean over the samples, and takes the best of several references, unless it says
    otherwise. All are in [0, 1] and higher is better, but for `cer`.

    - ``exact_match``, ``token_f1``: of the texts normalised as in SQuAD (`squad_normalize`).
    - ``vqa_accuracy``: over all annotators' answers together (`vqa_accuracy`).
    - ``anls``: with the threshold 0.5 (`anls`).
    - ``relaxed_accuracy``: numbers within 5 % (`relaxed_match`).
    - ``yes_precision``, ``yes_recall``, ``yes_f1``, ``yes_rate``: over the samples of which more
      than half of the references are yes, or no (`yes_no_target`); the answer is read as POPE does
      (`read_yes_no`). The rate is the share of these answers that say yes. Where none does, though
      one should, precision, recall and F1 are 0.
    - ``choice_accuracy``: over the samples whose references are single letters A-Z, perhaps in
      brackets: the share of answers that give one of them (`read_choice`).
    - ``cer``: the character error rate, lower is better: the sum of the edit distances over the sum
      of the references' lengths, in code points of the texts as they came. Of several references
      the closest counts (of equally close ones the longest). An answer longer than its reference
      can bring it above 1.

    ANLS*, for lists and mappings of answers, is not here: several references mean alternatives.

    | answer | reference | exact_match | token_f1 | vqa | anls | relaxed | yes_rate | choice | cer |
    |---|---|---|---|---|---|---|---|---|---|
    | "" | "" | 1 | 1 | 1 | 1 | 1 | NaN | NaN | NaN |
    | "" | "cat" | 0 | 0 | 0 | 0 | 0 | NaN | NaN | 1 |
    | "cat" | "" | 0 | 0 | 0 | 0 | 0 | NaN | NaN | NaN |
    | "The" | "a" | 1 | 1 | 1 | 0 | 0 | NaN | NaN | 3 |
    | "" | "yes" | 0 | 0 | 0 | 0 | 0 | 0 | NaN | 1 |
    | "" | "B" | 0 | 0 | 0 | 0 | 0 | NaN | 0 | 1 |
    | no samples | | NaN | NaN | NaN | NaN | NaN | NaN | NaN | NaN |

    Args:
        normalize: Whether exact match and token F1 normalise as SQuAD does; if not, the texts are
            compared as they came, and split at white space.

    Raises:
        ConfigurationError: An option has a wrong value.

    Example:
        >>> scorer = AnswerScorer()
        >>> rows = scorer.rows(["The car.", "yes"], [["car", "truck"], "No"])
        >>> scores = scorer.from_sums(rows.sum(axis=0))
        >>> {key: float(scores[key]) for key in ("exact_match", "token_f1", "yes_precision")}
        {'exact_match': 0.5, 'token_f1': 0.5, 'yes_precision': 0.0}
    """

    normalize: bool = True

    name: ClassVar[str] = "answers"
    unbounded: ClassVar[frozenset[str]] = frozenset({"cer"})

    def __post_init__(self) -> None:
        if not isinstance(self.normalize, bool):
            raise ConfigurationError(
                f"Expected `normalize` to be True or False, but got {self.normalize!r}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The number of samples, five sums of scores, and counts for the other keys."""
        return (
            *("num_samples", "exact_match", "token_f1", "vqa_accuracy", "anls", "relaxed_accuracy"),
            *("num_yes_no", "num_yes_tp", "num_yes_fp", "num_yes_fn"),
            *("num_choices", "num_choices_right", "num_edits", "num_characters"),
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The eleven scores."""
        return (
            *("exact_match", "token_f1", "vqa_accuracy", "anls", "relaxed_accuracy"),
            *("yes_precision", "yes_recall", "yes_f1", "yes_rate", "choice_accuracy", "cer"),
        )

    def options(self) -> tuple[tuple[str, str], ...]:
        """Whether SQuAD's normalisation is on, and the version of this package."""
        return ("normalize", "squad" if self.normalize else "none"), ("version", __version__)

    def rows(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """The statistics of each sample, float64 of shape (n, 14).

        Args:
            preds: One answer a sample.
            target: For each sample a reference, or several.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: An answer or a reference is not a string.
            InputError: The lengths differ, or a sample has no reference.
        """
        texts, references = check_texts(preds, target)
        rows = [self._row(*pair) for pair in zip(texts, references, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.columns))

    def _row(self, pred: str, references: list[str]) -> tuple[float, ...]:
        """The row of one sample."""
        text, expected = pred, references
        if self.normalize:
            text, expected = squad_normalize(pred), [squad_normalize(one) for one in references]
        return (
            1.0,
            float(text in expected),
            max(token_f1(text, one) for one in expected),
            vqa_accuracy(pred, references),
            max(anls(pred, one) for one in references),
            float(any(relaxed_match(pred, one) for one in references)),
            *_yes_no_counts(pred, references),
            *_choice_counts(pred, references),
            *_edits(pred, references),
        )

    def from_sums(self, sums: Floats) -> Scores:
        """The scores of column sums.

        Args:
            sums: Shape (..., 14).

        Returns:
            Each key with its score, shape (...); NaN where no sample is of its kind.
        """
        column = dict(zip(self.columns, np.moveaxis(np.asarray(sums, float), -1, 0), strict=True))
        means = {key: ratio(column[key], column["num_samples"]) for key in self.keys[:5]}
        tp, fp, fn = (column[f"num_yes_{kind}"] for kind in ("tp", "fp", "fn"))
        said = tp + fp
        return {
            **means,
            # 0, not undefined, where none says yes and one should.
            "yes_precision": ratio(tp, np.where(said == 0, fn, said)),
            "yes_recall": ratio(tp, tp + fn),
            "yes_f1": ratio(2 * tp, 2 * tp + fp + fn),
            "yes_rate": ratio(said, column["num_yes_no"]),
            "choice_accuracy": ratio(column["num_choices_right"], column["num_choices"]),
            "cer": ratio(column["num_edits"], column["num_characters"]),
        }
