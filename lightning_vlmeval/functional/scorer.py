"""What a metric is, without state: rows of statistics for samples, and scores from sums of rows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from lightning_vlmeval.errors import InputError, InputTypeError
from lightning_vlmeval.signature import Signature
from lightning_vlmeval.table import Floats, Table

Scores = dict[str, Floats]


class Scorer(ABC):
    """A score defined by the statistics of each sample and a function of their sums.

    A subclass is a frozen dataclass whose fields are the options that change the number. It gives
    `columns`, `keys`, `rows` and `from_sums`; everything else (the corpus value, each sample's own
    score, intervals, comparisons, distributed evaluation) follows from these.
    """

    name: ClassVar[str]
    """The metric's name, first in its signature."""

    unbounded: ClassVar[frozenset[str]] = frozenset()
    """The keys whose values are not confined to [0, 1]."""

    counts: ClassVar[frozenset[str]] = frozenset()
    """The keys that count something, so that they grow with the number of samples."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The name of each of the K statistics in a row."""

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """The names of the scores, in the order in which `from_sums` gives them."""

    @abstractmethod
    def rows(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """The statistics of each sample, float64 of shape (n, K).

        Args:
            preds: The model's answers.
            target: What they should have been.
            prompts: The text given to the model for each sample.
            truncated: Whether each answer was cut at the token limit.

        Raises:
            InputError: A sample cannot be scored; `index` says which.
        """

    @abstractmethod
    def from_sums(self, sums: Floats) -> Scores:
        """The scores of column sums: a pure function, vectorised over the leading axes.

        Args:
            sums: Shape (..., K).

        Returns:
            Each key with its score, shape (...); NaN where it is undefined.
        """

    def options(self) -> tuple[tuple[str, str], ...]:
        """What else changes the number, as pairs for the signature, in a fixed order."""
        return ()

    def signature(self) -> Signature:
        """The recipe of the score; values compare only where signatures are equal."""
        return Signature(self.name, self.options())

    def prepare(self) -> None:
        """Load what scoring needs, so that what is missing is told before a run begins.

        Raises:
            MissingExtraError: Something is not installed; the message says how to get it.
        """

    def payloads(self, preds: Sequence[Any], target: Sequence[Any]) -> Sequence[bytes] | None:
        """Bytes to keep beside each row, for scores that no column sum can give; None for none.

        Args:
            preds: The model's answers.
            target: What they should have been.
        """
        return None

    def tabulate(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> tuple[Floats, Sequence[bytes] | None]:
        """The rows and what is kept beside them; overridden where one pass gives both.

        Args:
            preds: As for `rows`.
            target: As for `rows`.
            prompts: As for `rows`.
            truncated: As for `rows`.
        """
        rows = self.rows(preds, target, prompts=prompts, truncated=truncated)
        return rows, self.payloads(preds, target)

    def collect(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Any:
        """What a metric keeps of a batch until it needs the rows; all that can be refused is.

        That is what `tabulate` gives, but for scorers which are faster on many samples at once.

        Args:
            preds: As for `rows`.
            target: As for `rows`.
            prompts: As for `rows`.
            truncated: As for `rows`.

        Raises:
            InputError: As for `rows`.
        """
        return self.tabulate(preds, target, prompts=prompts, truncated=truncated)

    def tabulate_collected(self, batches: Sequence[Any]) -> tuple[Floats, Sequence[bytes] | None]:
        """What `tabulate` gives for all samples of some batches, in order.

        Args:
            batches: What `collect` gave, at least once.
        """
        rows = np.concatenate([rows for rows, _ in batches])
        payloads = [one for _, payloads in batches for one in payloads or ()]
        return rows, payloads or None

    def score(self, table: Table) -> dict[str, float]:
        """The scores of a table.

        Args:
            table: Rows that this scorer made; each id once.
        """
        return {key: float(value) for key, value in self.from_sums(table.sums()).items()}

    def sample_scores(self, table: Table) -> Scores:
        """Each sample's own scores, shape (n,), in the table's order.

        Args:
            table: Rows that this scorer made.
        """
        return self.from_sums(table.rows)


def ratio(numerator: Floats, denominator: Floats, empty: float = float("nan")) -> Floats:
    """`numerator / denominator`, and `empty` where the denominator is 0.

    Args:
        numerator: Any shape.
        denominator: A shape that broadcasts with it.
        empty: The value of nothing out of nothing.

    Example:
        >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
        array([0.5, nan])
    """
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, float), np.asarray(denominator, float)
    )
    result = np.full(numerator.shape, empty)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def check_lengths(preds: Sequence[Any], target: Sequence[Any]) -> None:
    """Raise unless there is one target for each prediction.

    Args:
        preds: The predictions.
        target: The targets.

    Raises:
        InputTypeError: One of them is a single string or mapping, or has no length.
        InputError: The lengths differ.
    """
    for name, values in (("preds", preds), ("target", target)):
        if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__"):
            raise InputTypeError(
                f"Expected `{name}` to be a list with one element for each sample, "
                f"but got {type(values).__name__}"
            )
    if len(preds) != len(target):
        raise InputError(
            f"Expected `preds` and `target` to have the same length, "
            f"but got {len(preds)} and {len(target)}"
        )


def check_texts(
    preds: Sequence[str], target: Sequence[str | Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """The predictions, and for each its list of references.

    Args:
        preds: One text for each sample.
        target: For each sample a reference, or several.

    Raises:
        InputTypeError: A prediction or a reference is not a string.
        InputError: The lengths differ, or a sample has no reference.

    Example:
        >>> check_texts(["a car"], ["a car"])
        (['a car'], [['a car']])
    """
    check_lengths(preds, target)
    if set(map(type, preds)) - {str}:
        _check_predictions(preds)
    # Most samples have one reference: a call for each would cost as much as its score.
    references = [
        [one] if type(one) is str else _references(one, index) for index, one in enumerate(target)
    ]
    return list(preds), references


def _check_predictions(preds: Sequence[Any]) -> None:
    for index, text in enumerate(preds):
        if not isinstance(text, str):
            raise InputTypeError(
                f"Expected each prediction to be a string, but got {type(text).__name__}", index
            )


def _references(target: str | Sequence[str], index: int) -> list[str]:
    """A sample's references as a list of strings."""
    if isinstance(target, str):
        return [target]
    if not isinstance(target, (list, tuple)) or not all(isinstance(text, str) for text in target):
        raise InputTypeError(
            f"Expected each target to be a string or a list of strings, but got {target!r}"[:300],
            index,
        )
    if not target:
        raise InputError("Expected at least one reference, but got an empty list", index)
    return list(target)


class TextScorer(Scorer):
    """A scorer of texts against references, of which a metric keeps some and scores many at once."""

    def collect(
        self,
        preds: Sequence[str],
        target: Sequence[str | Sequence[str]],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> tuple[list[str], list[list[str]]]:
        """The texts of a batch, checked; the arguments are those of `rows`."""
        return check_texts(preds, target)

    def tabulate_collected(
        self, batches: Sequence[tuple[list[str], list[list[str]]]]
    ) -> tuple[Floats, None]:
        """The rows of all samples of some batches; equal samples are scored once.

        Args:
            batches: What `collect` gave, at least once.
        """
        places: dict[tuple[str, ...], int] = {}
        samples = [
            places.setdefault((text, *references), len(places))
            for batch in batches
            for text, references in zip(*batch, strict=True)
        ]
        rows = self.rows([one[0] for one in places], [one[1:] for one in places])
        return (rows if len(places) == len(samples) else rows[samples]), None
