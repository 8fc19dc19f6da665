"""How many samples have a property, as tables, so that such shares have intervals and evidence too."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lightning_vlmeval.functional.box_parts import BoxParts
from lightning_vlmeval.functional.field_breakdown import structure_of
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.normalization import squad_normalize
from lightning_vlmeval.functional.scorer import Scorer, Scores, ratio
from lightning_vlmeval.table import Floats, Table

# The words that texts are said to begin with.
_OPENING = 3

# Texts in a format begin alike by its rules.
_MARKUP = ("{", "[", "<", "(", "`", "-")

# Longer references of one question rightly differ.
_SHORT_ANSWER = 5

# The least F1 of two annotations of the same that agree.
_AGREE = 0.5

# BLEU counts groups of up to four tokens.
_BLEU_ORDER = 4


@dataclass(frozen=True)
class ShareScorer(Scorer):
    """The share of samples that have a property, of those asked; NaN where none is.

    `preds` says of each sample whether it has the property, `target` whether it is asked.

    Example:
        >>> rows = ShareScorer().rows([1, 0, 0], [1, 1, 0])
        >>> float(ShareScorer().from_sums(rows.sum(axis=0))["share"])
        0.5
    """

    name: ClassVar[str] = "share"
    columns = ("count", "of")
    keys = ("share",)

    def rows(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """Whether each sample has the property, and whether it is asked, shape (n, 2).

        Args:
            preds: Of each sample, whether it has the property.
            target: Of each sample, whether it is asked.
            prompts: Not used.
            truncated: Not used.
        """
        asked = np.asarray(target, bool)
        return np.column_stack([np.asarray(preds, bool) & asked, asked]).astype(float)

    def from_sums(self, sums: Floats) -> Scores:
        """The share.

        Args:
            sums: Shape (..., 2).
        """
        return {"share": ratio(sums[..., 0], sums[..., 1])}


def _table(ids: Sequence[str], has: Sequence[Any], asked: Sequence[Any]) -> Table:
    return Table(ShareScorer.columns, tuple(ids), ShareScorer().rows(has, asked))


def short_references(bleu: Table) -> Table:
    """Which references have fewer than four tokens.

    Args:
        bleu: The rows of `BLEUScorer`.
    """
    length = bleu.rows[:, bleu.columns.index("target_length")]
    return _table(bleu.ids, (length < _BLEU_ORDER).tolist(), [True] * len(bleu))


def common_structures(structured: Table) -> Table:
    """Which answers that can be read have the most frequent structure.

    Args:
        structured: The rows of `StructuredOutputScorer`, with their payloads.
    """
    structures = [structure_of(payload) for payload in structured.payloads]
    counts = Counter(one for one in structures if one)
    common = max(counts, key=lambda one: counts[one]) if counts else None
    return _table(
        structured.ids, [one == common for one in structures], list(map(bool, structures))
    )


def shared_opening(texts: Mapping[str, Sequence[str]]) -> tuple[str, Table] | None:
    """The three words that most samples' texts begin with, and which samples' do.

    Asked are samples of which every text has more than three words and is not markup (JSON, tags).

    Args:
        texts: One or several of each sample, by its id.

    Returns:
        None where no sample is asked.

    Example:
        >>> texts = {"a": ["The answer is two."], "b": ["The answer is red."], "c": ["I see no cat."]}
        >>> words, table = shared_opening(texts)
        >>> words, ShareScorer().score(table)["share"]
        ('the answer is', 0.6666666666666666)
    """
    openings = {name: {_opening(text) for text in several} for name, several in texts.items()}
    asked = [bool(one) and None not in one for one in openings.values()]
    found = [one for one, ask in zip(openings.values(), asked, strict=True) if ask]
    counts = Counter(str(opening) for one in found for opening in one)
    if not counts:
        return None
    common = max(counts, key=lambda opening: (counts[opening], opening))
    has = [common in one for one in openings.values()]
    return common, _table(list(texts), has, asked)


def _opening(text: str) -> str | None:
    words = text.casefold().split()
    if len(words) <= _OPENING or words[0].startswith(_MARKUP):
        return None
    return " ".join(words[:_OPENING])


def conflicting_references(
    references: Mapping[str, Sequence[str]],
    prompts: Mapping[str, str],
    images: Mapping[str, str],
) -> Table | None:
    """Which samples share image and prompt with another, and no reference.

    Texts are compared in SQuAD's normalisation. Asked are samples with a known image and prompt that
    are not the only ones of it, and whose references have at most five words: longer ones of the
    same image rightly differ.

    Args:
        references: Of each sample, by its id.
        prompts: The text given to the model for each.
        images: What image each is of.

    Returns:
        None where no sample is asked.

    Example:
        >>> table = conflicting_references(
        ...     {"a": ["two"], "b": ["3"], "c": ["red"]},
        ...     {"a": "How many?", "b": "How many?", "c": "What colour?"},
        ...     {"a": "1.jpg", "b": "1.jpg", "c": "1.jpg"},
        ... )
        >>> table.ids, table.rows[:, 0].tolist()
        (('a', 'b'), [1.0, 1.0])
    """
    answers: dict[tuple[str, str], dict[str, set[str]]] = {}
    for name, texts in references.items():
        short = all(len(text.split()) <= _SHORT_ANSWER for text in texts)
        if not (short and texts and images.get(name) and prompts.get(name, "").strip()):
            continue
        question = (images[name], " ".join(prompts[name].casefold().split()))
        answers.setdefault(question, {})[name] = {squad_normalize(text) for text in texts}
    found: dict[str, bool] = {}
    for several in answers.values():
        if len(several) < 2:
            continue
        for name, mine in several.items():
            found[name] = any(not mine & other for other in several.values())
    return _table(list(found), list(found.values()), [True] * len(found)) if found else None


def conflicting_boxes(
    parts: BoxParts, prompts: Mapping[str, str], images: Mapping[str, str]
) -> Table | None:
    """Which samples annotate a phrase otherwise than another sample of the same image does.

    Two annotations conflict where, at an IoU of 0.5, fewer than half of their boxes agree (F1). Boxes
    without a phrase are compared among samples of one prompt.

    Args:
        parts: The boxes by phrase.
        prompts: The text given to the model for each sample.
        images: What image each is of.

    Returns:
        None where no phrase of an image is annotated twice.
    """
    same: dict[tuple[str, str], list[int]] = {}
    for i, (sample, label) in enumerate(zip(parts.samples, parts.labels, strict=True)):
        phrase = label or prompts.get(sample, "").strip()
        if phrase and images.get(sample):
            same.setdefault((images[sample], phrase), []).append(i)
    pairs = [
        (i, j)
        for several in same.values()
        for i, j in itertools.combinations(several, 2)
        if parts.samples[i] != parts.samples[j]
    ]
    if not pairs:
        return None
    scorer = GroundingScorer()
    boxes = [one["boxes"] for one in parts.target]
    rows = scorer.rows([boxes[i] for i, _ in pairs], [boxes[j] for _, j in pairs])
    agreement = scorer.from_sums(rows)["f1"].tolist()
    found: dict[str, bool] = {}
    for pair, f1 in zip(pairs, agreement, strict=True):
        for i in pair:
            found[parts.samples[i]] = found.get(parts.samples[i], False) or f1 < _AGREE
    return _table(list(found), list(found.values()), [True] * len(found))
