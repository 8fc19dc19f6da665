"""Texts against reference texts as stateful metrics."""

from collections.abc import Callable, Sequence
from typing import Any

from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.chrf import CHRFScorer
from lightning_vlmeval.functional.cider import CIDErScorer
from lightning_vlmeval.functional.meteor import METEORScorer
from lightning_vlmeval.functional.rouge import ROUGEScorer
from lightning_vlmeval.metrics.table_metric import TableMetric

Tokenizer = Callable[[str], Sequence[str]]


class TextMetric(TableMetric):
    """A metric of texts: where a target is an object, its text is what counts."""

    expects = "target_texts"


class BLEUScore(TextMetric):
    """Corpus BLEU in [0, 1]: the precision of n-grams, times a penalty for short answers.

    Equal to sacrebleu's score divided by 100, with its options; `BLEUScorer` defines it. `compute`
    returns `bleu`. `sample_scores` are sentence BLEU, with effective order.

    Args:
        tokenize: A tokenizer of sacrebleu: "13a", "none", "intl", "zh", "char" or another.
        smooth_method: "exp", "floor", "add-k" or "none".
        smooth_value: The value of "floor" and "add-k"; None for sacrebleu's default.
        lowercase: Ignore case.
        effective_order: Leave out the orders that are longer than the longest prediction.
        max_ngram_order: The largest n.
        **kwargs: torchmetrics' own arguments.

    Example:
        >>> metric = BLEUScore()
        >>> metric.update(["the cat sat on the mat"], ["the cat sat on a mat"], ids=["q1"])
        >>> round(float(metric.compute()["bleu"]), 4)  # (5/6 * 3/5 * 2/4 * 1/3) ** (1/4)
        0.5373
    """

    def __init__(
        self,
        tokenize: str = "13a",
        smooth_method: str = "exp",
        smooth_value: float | None = None,
        lowercase: bool = False,
        effective_order: bool = False,
        max_ngram_order: int = 4,
        **kwargs: Any,
    ) -> None:
        scorer = BLEUScorer(
            tokenize=tokenize,
            smooth_method=smooth_method,
            smooth_value=smooth_value,
            lowercase=lowercase,
            effective_order=effective_order,
            max_ngram_order=max_ngram_order,
        )
        scorer.prepare()
        super().__init__(scorer, **kwargs)


class CHRFScore(TextMetric):
    """The F score of character n-grams in [0, 1]: sacrebleu's chrF divided by 100.

    `compute` returns `chrf`; `CHRFScorer` defines it.

    Args:
        char_order: The largest n of character n-grams.
        word_order: The largest n of word n-grams; 2 makes it chrF++.
        beta: How much more recall weighs than precision.
        lowercase: Ignore case.
        whitespace: Count white space too.
        eps_smoothing: Smooth as older versions did.
        **kwargs: torchmetrics' own arguments.

    Example:
        >>> metric = CHRFScore(char_order=1)
        >>> metric.update(["abcd"], ["abce"])
        >>> float(metric.compute()["chrf"])
        0.75
    """

    def __init__(
        self,
        char_order: int = 6,
        word_order: int = 0,
        beta: int = 2,
        lowercase: bool = False,
        whitespace: bool = False,
        eps_smoothing: bool = False,
        **kwargs: Any,
    ) -> None:
        scorer = CHRFScorer(
            char_order=char_order,
            word_order=word_order,
            beta=beta,
            lowercase=lowercase,
            whitespace=whitespace,
            eps_smoothing=eps_smoothing,
        )
        super().__init__(scorer, **kwargs)


class ROUGEScore(TextMetric):
    """The mean over samples of n-gram and subsequence recall, precision and F: rouge-score's.

    `compute` returns `rouge1_precision`, `rouge1_recall`, `rouge1_fmeasure` and the like for each of
    `rouge_keys`; `ROUGEScorer` defines them.

    Args:
        rouge_keys: Which of "rouge1" ... "rouge9", "rougeL" and "rougeLsum".
        use_stemmer: Compare the words' stems.
        split_summaries: Split sentences for "rougeLsum" with NLTK rather than at line breaks.
        tokenizer: From a text to its words; None for rouge-score's, which keeps a-z and 0-9 only.
        **kwargs: torchmetrics' own arguments.

    Example:
        >>> metric = ROUGEScore(rouge_keys=("rouge1",))
        >>> metric.update(["a red car"], ["the red car stands"])
        >>> scores = metric.compute()
        >>> round(float(scores["rouge1_precision"]), 3), float(scores["rouge1_recall"])
        (0.667, 0.5)
    """

    def __init__(
        self,
        rouge_keys: Sequence[str] = ("rouge1", "rouge2", "rougeL", "rougeLsum"),
        use_stemmer: bool = False,
        split_summaries: bool = False,
        tokenizer: Tokenizer | None = None,
        **kwargs: Any,
    ) -> None:
        keys = (rouge_keys,) if isinstance(rouge_keys, str) else tuple(rouge_keys)
        scorer = ROUGEScorer(keys, use_stemmer, split_summaries, tokenizer)
        scorer.prepare()
        super().__init__(scorer, **kwargs)


class METEORScore(TextMetric):
    """The mean over samples of METEOR: words matched by form, stem and synonym, less disorder.

    Equal to NLTK's `meteor_score` on the same words; `METEORScorer` defines it. `compute` returns
    `meteor`. It needs WordNet, which is looked for when the metric is made.

    Args:
        alpha: The weight of precision against recall.
        beta: How steeply the penalty for disorder grows.
        gamma: The largest penalty.
        tokenize: From a text to its words; None splits at white space.
        wordnet: The folder of WordNet's database; None looks in the usual places.
        **kwargs: torchmetrics' own arguments.

    Raises:
        MissingExtraError: There is no WordNet; the message says how to get it.

    Example:
        >>> metric = METEORScore()  # doctest: +SKIP
        >>> metric.update(["The cats sat"], ["the cat sat"])  # doctest: +SKIP
        >>> round(float(metric.compute()["meteor"]), 4)  # doctest: +SKIP
        0.9815
    """

    def __init__(
        self,
        alpha: float = 0.9,
        beta: float = 3.0,
        gamma: float = 0.5,
        tokenize: Tokenizer | None = None,
        wordnet: str | None = None,
        **kwargs: Any,
    ) -> None:
        scorer = METEORScorer(alpha, beta, gamma, tokenize, wordnet)
        scorer.prepare()
        super().__init__(scorer, **kwargs)


class CIDErScore(TextMetric):
    """Consensus with the references, weighted by how rare an n-gram is in the set, in [0, 10].

    `compute` returns `cider` and `cider_d`; `CIDErScorer` defines them.

    Args:
        tokenize: From a text to its words; None for lower case, without punctuation.
        **kwargs: torchmetrics' own arguments.

    Example:
        >>> metric = CIDErScore()
        >>> metric.update(["a red car stands", "two dogs run"], ["a red car stands", "two cats run"])
        >>> scores = metric.compute()
        >>> 0 < float(scores["cider_d"]) < 10
        True
    """

    def __init__(self, tokenize: Tokenizer | None = None, **kwargs: Any) -> None:
        super().__init__(CIDErScorer(tokenize), **kwargs)
