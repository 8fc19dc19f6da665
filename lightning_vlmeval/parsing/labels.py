"""Which phrase of a sample a box is for: all of them where there is one, else the one it names."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from lightning_vlmeval.errors import ConfigurationError, InputError

LabelMode = Literal["auto", "phrase", "labels"]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_JOINERS = re.compile(r"[-_/\u2010-\u2015]")


@dataclass(frozen=True)
class MatchedLabels:
    """What each box is for.

    Args:
        phrases: For each box the phrase as the sample has it; None where no phrase fits.
        issues: "lenient": labels that fit only after normalisation; "unmatched": labels that fit no
            phrase.
    """

    phrases: list[str | None] = field(default_factory=list)
    issues: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class LabelMatcher:
    """The rule by which the labels in an answer are matched with the phrases of its sample.

    In phrase mode a sample has one phrase, every box is for it, and what the model calls the box is
    not looked at: many formats write no label, or words from the running text. Otherwise a label
    fits a phrase that is the same text, and else one that is the same after normalisation.

        labels          phrases      mode    phrases of the boxes    issues
        ["x", ""]       ["cat"]      auto    ["cat", "cat"]
        ["x", ""]       ["cat"]      labels  [None, None]            unmatched 2
        ["The Cat."]    ["cat", ..]  auto    ["cat"]                 lenient 1
        ["a", "?"]      ["the", ..]  auto    [None, None]            unmatched 2
        []              any          any     []
        any             []           any     None for each           unmatched, one for each

    Args:
        mode: "phrase" for one phrase in every sample; "labels" to always compare; "auto" for phrase
            mode in samples with one phrase (equal phrases count once).
        ignore_case: Compare without case.
        ignore_articles: Leave out a, an, the.
        ignore_punctuation: Leave out punctuation; hyphens, underscores and slashes become spaces.

    Raises:
        ConfigurationError: `mode` is another word.

    Example:
        >>> LabelMatcher().match(["The traffic-light", "dog", "bird"], ["traffic light", "dog"])
        MatchedLabels(phrases=['traffic light', 'dog', None], \
issues=Counter({'lenient': 1, 'unmatched': 1}))
    """

    mode: LabelMode = "auto"
    ignore_case: bool = True
    ignore_articles: bool = True
    ignore_punctuation: bool = True

    def __post_init__(self) -> None:
        if self.mode not in get_args(LabelMode):
            raise ConfigurationError(
                f"Expected `mode` to be one of {', '.join(get_args(LabelMode))}, "
                f"but got {self.mode!r}"
            )

    def normalize(self, label: str) -> str:
        """A label as it is compared; runs of white space are always one space.

        Args:
            label: Any text.

        Example:
            >>> LabelMatcher().normalize("The man's T-shirt.")
            'mans t shirt'
        """
        text = unicodedata.normalize("NFKC", label)
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_punctuation:
            text = _JOINERS.sub(" ", text)
            text = "".join(char for char in text if not unicodedata.category(char).startswith("P"))
        if self.ignore_articles:
            text = _ARTICLES.sub(" ", text)
        return " ".join(text.split())

    def match(self, labels: Sequence[str], phrases: Sequence[str]) -> MatchedLabels:
        """The phrase that each box is for.

        Args:
            labels: What the model calls each box, "" where it does not.
            phrases: The phrases of the sample, or the labels of its targets.

        Raises:
            InputError: In "phrase" mode, the sample has several phrases.
        """
        distinct = dict.fromkeys(phrases)
        if self.mode == "phrase" and len(distinct) > 1:
            raise InputError(
                f'Expected one phrase in each sample with mode="phrase", but got {list(distinct)!r}: '
                'use mode="auto"'
            )
        if self.mode != "labels" and len(distinct) == 1:
            return MatchedLabels([*distinct] * len(labels))
        normalized = {self.normalize(phrase): phrase for phrase in reversed(distinct)}
        normalized.pop("", None)
        matched = MatchedLabels()
        for label in labels:
            phrase = label if label in distinct else normalized.get(self.normalize(label))
            if phrase is None:
                matched.issues["unmatched"] += 1
            elif phrase != label:
                matched.issues["lenient"] += 1
            matched.phrases.append(phrase)
        return matched
