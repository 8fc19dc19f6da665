"""Output health: answers that went wrong as text, whatever they were to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lightning_vlmeval import __version__
from lightning_vlmeval.errors import InputError, InputTypeError
from lightning_vlmeval.functional.faults import (
    is_empty,
    is_non_printable,
    is_prompt_echo,
    is_reasoning,
    is_repetition,
)
from lightning_vlmeval.functional.scorer import Scorer, Scores, check_lengths, ratio
from lightning_vlmeval.table import Floats, Table

FLAGS = ("empty", "truncated", "repetition", "prompt_echo", "reasoning", "non_printable")
"""What can be wrong with an answer: the columns of `health_flags`."""


def health_flags(
    preds: Sequence[str],
    prompts: Sequence[str] | None = None,
    truncated: Sequence[bool] | None = None,
) -> NDArray[np.bool_]:
    """What is wrong with each answer, bool of shape (n, 6), a column for each of `FLAGS`.

    An answer is healthy where its row has no True: ``~health_flags(preds).any(axis=1)``.

    Args:
        preds: One answer a sample.
        prompts: The text given to the model for each; without it no answer echoes.
        truncated: Whether each answer was cut at the token limit; without it none was.

    Raises:
        InputTypeError: An answer or a prompt is not a string.
        InputError: The lengths differ.

    Example:
        >>> health_flags(["two", ""], truncated=[True, False]).tolist()
        [[False, True, False, False, False, False], [True, False, False, False, False, False]]
    """
    _check("preds", preds, len(preds))
    if prompts is not None:
        _check("prompts", prompts, len(preds))
    cut = [False] * len(preds) if truncated is None else [bool(one) for one in truncated]
    if len(cut) != len(preds):
        raise InputError(
            f"Expected `truncated` to have one element for each of {len(preds)} answers, "
            f"but got {len(cut)}"
        )
    asked = [""] * len(preds) if prompts is None else prompts
    rows = [
        (
            is_empty(text),
            is_cut,
            is_repetition(text),
            is_prompt_echo(text, prompt),
            is_reasoning(text),
            is_non_printable(text),
        )
        for text, prompt, is_cut in zip(preds, asked, cut, strict=True)
    ]
    return np.array(rows, dtype=np.bool_).reshape(len(rows), len(FLAGS))


def _check(name: str, texts: Sequence[Any], length: int) -> None:
    """Raise unless it is a list of strings of this length."""
    if isinstance(texts, str):
        raise InputTypeError(f"Expected `{name}` to be a list of strings, but got one string")
    if len(texts) != length:
        raise InputError(
            f"Expected `{name}` to have one element for each of {length} answers, "
            f"but got {len(texts)}"
        )
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputTypeError(
                f"Expected `{name}` to hold strings, but got {type(text).__name__}", index
            )


@dataclass(frozen=True)
class HealthScorer(Scorer):
    """The share of answers that went wrong as text, by fault, and of those that did not; [0, 1].

    An answer can have several faults, and the references do not matter.

    - ``empty``: nothing to see (`is_empty`).
    - ``truncated``: cut at the token limit, as ``truncated`` says; over the samples for which it was
      given, NaN where for none.
    - ``repetition``: ends in a loop (`is_repetition`).
    - ``prompt_echo``: repeats its prompt (`is_prompt_echo`); over the samples that have a prompt,
      NaN where none has.
    - ``reasoning``: has a marker of leaked reasoning (`is_reasoning`).
    - ``non_printable``: has characters that no text should have (`is_non_printable`).
    - ``healthy``: none of these, of what is known.

    Higher is worse for all but the last. Without samples all are NaN.

    Example:
        >>> scorer = HealthScorer()
        >>> sums = scorer.rows(["red", "<think>Is it", "", "red"], [""] * 4).sum(axis=0)
        >>> scores = {key: float(value) for key, value in scorer.from_sums(sums).items()}
        >>> scores["empty"], scores["reasoning"], scores["healthy"], scores["truncated"]
        (0.25, 0.25, 0.5, nan)
    """

    name: ClassVar[str] = "health"

    @property
    def columns(self) -> tuple[str, ...]:
        """The number of samples, the faults, and how many truncations and prompts were given."""
        return ("num_samples", *FLAGS, "healthy", "num_truncation_known", "num_prompts")

    @property
    def keys(self) -> tuple[str, ...]:
        """The faults, and ``healthy``."""
        return (*FLAGS, "healthy")

    def options(self) -> tuple[tuple[str, str], ...]:
        """The version of this package."""
        return (("version", __version__),)

    def rows(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """The statistics of each sample, float64 of shape (n, 10).

        Args:
            preds: One answer a sample.
            target: Not used; any one thing a sample.
            prompts: The text given to the model for each sample.
            truncated: Whether each answer was cut at the token limit.

        Raises:
            InputTypeError: An answer or a prompt is not a string.
            InputError: The lengths differ.
        """
        check_lengths(preds, target)
        flags = health_flags(preds, prompts, truncated)
        n = len(flags)
        asked = [False] * n if prompts is None else [not is_empty(prompt) for prompt in prompts]
        known = np.full(n, truncated is not None)
        columns = (np.ones(n), *flags.T, ~flags.any(axis=1), known, asked)
        return np.column_stack(columns).astype(np.float64)

    def from_sums(self, sums: Floats) -> Scores:
        """The rates of column sums.

        Args:
            sums: Shape (..., 10).

        Returns:
            Each key with its rate, shape (...); NaN where there was nothing to judge.
        """
        column = dict(zip(self.columns, np.moveaxis(np.asarray(sums, float), -1, 0), strict=True))
        judged = {"truncated": "num_truncation_known", "prompt_echo": "num_prompts"}
        return {
            key: ratio(column[key], column[judged.get(key, "num_samples")]) for key in self.keys
        }


def healthy_part(table: Table, health: Table) -> Table | None:
    """The samples of a metric whose answers are healthy, for its scores over those alone.

    What is wrong with an answer as text says little of what the model knows: with the scores of the
    others beside them, low values tell a model that does not know from one that does not stop.

    | samples of the metric | part |
    |---|---|
    | none is known to be ill | None: the scores are those of the whole |
    | some are ill | those of which `health` has a row that says healthy |
    | all are ill | no samples; its scores are NaN |

    Args:
        table: The metric's rows.
        health: The rows that `HealthScorer` made of the same answers.

    Example:
        >>> rows = HealthScorer().rows(["two", ""], ["two", "three"])
        >>> health = Table(HealthScorer().columns, ("a", "b"), rows)
        >>> healthy_part(Table(("right",), ("a", "b"), np.array([[1.0], [0.0]])), health).ids
        ('a',)
    """
    known = dict(zip(health.ids, health.rows[:, health.columns.index("healthy")], strict=True))
    if all(known.get(name, 1.0) for name in table.ids):
        return None
    return table.take([i for i, name in enumerate(table.ids) if known.get(name, 0.0)])


def healthy_scores(
    scorers: Mapping[str, Scorer], tables: Mapping[str, Table]
) -> dict[str, dict[str, float]]:
    """The scores of each metric over the healthy answers alone, where some of its answers are ill.

    Empty where there is no table of `HealthScorer`, or no answer is ill. What a metric makes of all
    samples together, such as CIDEr's weights, it makes of the healthy ones here.

    Args:
        scorers: The metrics by name.
        tables: The rows of each.

    Example:
        >>> scorer, texts = HealthScorer(), ["two", ""]
        >>> healthy_scores({"health": scorer}, {"health": Table(scorer.columns, ("a", "b"),
        ...                                                     scorer.rows(texts, texts))})
        {}
    """
    found: dict[str, dict[str, float]] = {}
    ours = [name for name, scorer in scorers.items() if isinstance(scorer, HealthScorer)]
    for name, scorer in scorers.items():
        part = None if name in ours or not ours else healthy_part(tables[name], tables[ours[0]])
        if part is not None:
            found[name] = scorer.score(part)
    return found
