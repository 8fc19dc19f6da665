"""New tokens out of `generate`: whatever it returns, whatever padding it knows of, in any memory."""

import sys
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.session.generative_model import GenerativeModel
from lightning_vlmeval.session.prompts import Prompts


class Answer(NamedTuple):
    """The new tokens of a prompt.

    Args:
        tokens: Token ids.
        truncated: They reached the limit without an end.
    """

    tokens: list[int]
    truncated: bool


class Decoder:
    """Asks models for answers, and remembers what it learned about memory and about models."""

    def __init__(self) -> None:
        self._rows_at_once = sys.maxsize  # fewer once the memory has run out
        self._leave_last_out: set[type] = set()  # models seen to drop the last token of a prompt

    def answers(
        self, model: GenerativeModel, prompts: Prompts, options: Mapping[str, Any], *, sharded: bool
    ) -> list[Answer]:
        """The answers, by groups of one length where the model may not know of padding.

        Args:
            model: The model.
            prompts: The prompts.
            options: The arguments of `generate` beside the inputs, `max_new_tokens` among them.
            sharded: Whether all processes must generate the same number of times.

        Raises:
            ConfigurationError: What `generate` returns cannot be read, or prompts of unlike
                lengths cannot be generated from.
            RuntimeError: The memory ran out where the batch cannot be halved.
        """
        if not (prompts.ragged and model.has_own_generate and prompts.divisible):
            return self._part(model, prompts, options, sharded)
        if sharded:
            raise ConfigurationError(
                f"Expected prompts of one length, since {model.name} has a `generate` of its own, "
                f"which may not know of padding, and its parameters are spread over processes, "
                f"which must all generate the same number of times. Put ready inputs under "
                f"'generation' in the batch, or generate in the validation step"
            )
        found: dict[int, Answer] = {}
        for rows in prompts.by_length():
            part = self._part(model, prompts.take(rows), options, sharded)
            found.update(zip(rows, part, strict=True))
        return [found[row] for row in range(len(prompts))]

    def _part(
        self, model: GenerativeModel, prompts: Prompts, options: Mapping[str, Any], sharded: bool
    ) -> list[Answer]:
        """The answers, in halves where they do not fit in the memory together."""
        count = len(prompts)
        divisible = count > 1 and not sharded and prompts.divisible
        if count <= self._rows_at_once or not divisible:
            try:
                return self._once(model, prompts, options)
            except RuntimeError as error:
                if "out of memory" not in str(error).lower():
                    raise
                if not divisible:
                    known = isinstance(error, torch.cuda.OutOfMemoryError)
                    kind = type(error) if known else RuntimeError
                    raise kind(_out_of_memory(count, sharded, error)) from error
            self._halve(count)  # only here is what the failed attempt held free
        half = (count + 1) // 2
        parts = [prompts.take(range(half)), prompts.take(range(half, count))]
        return [answer for part in parts for answer in self._part(model, part, options, sharded)]

    def _halve(self, count: int) -> None:
        half = (count + 1) // 2
        if self._rows_at_once == sys.maxsize:
            warnings.warn(
                f"The memory ran out while generating {count} answers: from now on at most {half} "
                f"are generated at a time, or fewer. Validation batches of that size spare the "
                f"attempts that fail",
                stacklevel=2,
            )
        self._rows_at_once = half
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _once(
        self, model: GenerativeModel, prompts: Prompts, options: Mapping[str, Any]
    ) -> list[Answer]:
        """The answers of one call, or of two to a model not yet known to drop a prompt's last token.

        Such a model expects a prompt with the token that ends a text, which a prompt that was cut
        before an answer has not.
        """
        kind, first = type(model.module), None
        if not prompts.cut or kind not in self._leave_last_out:
            first = sequences, start = _asked(model, prompts, options)
            if not prompts.cut or not 0 < start == prompts.width - 1:
                return _answers(sequences, start, model, options)
        longer, start = _asked(model, prompts.followed_by(model.pad_token), options)
        if start == prompts.width:  # again all but the last
            self._leave_last_out.add(kind)
            return _answers(longer, start, model, options)
        return _answers(*(first or _asked(model, prompts, options)), model, options)


def _asked(
    model: GenerativeModel, prompts: Prompts, options: Mapping[str, Any]
) -> tuple[Tensor, int]:
    """The token ids that `generate` returns, and where the new ones begin."""
    inputs = dict(prompts.inputs)
    if "input_ids" in inputs:
        inputs["input_ids"] = inputs["input_ids"].clone()  # some models write into it
    output = model.generate(**{**inputs, **options})
    sequences = getattr(output, "sequences", output)
    if not isinstance(sequences, Tensor) or sequences.shape[:1] != (len(prompts),):
        what = f"{tuple(sequences.shape)}" if isinstance(sequences, Tensor) else type(sequences)
        raise ConfigurationError(
            f"Expected `generate` of {model.name} to return token ids for each of {len(prompts)} "
            f"prompts, but got {what}. Generate in the validation step, and return 'preds'"
        )
    return sequences, _new_tokens_start(sequences, prompts, model, options["max_new_tokens"])


def _new_tokens_start(
    sequences: Tensor, prompts: Prompts, model: GenerativeModel, budget: int
) -> int:
    """Where the new tokens begin.

    Models return the prompts with the new tokens; or the prompts without their last token, and the
    new tokens; or the new tokens, with or without the token that a decoder starts with. The first
    token of a prompt may come back as another one.
    """
    for kept in (prompts.width, prompts.width - 1):
        if kept > 1 and sequences.shape[1] > kept:
            ids = prompts.inputs["input_ids"][:, 1:kept]
            if torch.equal(sequences[:, 1:kept], ids.to(sequences.device)):
                return kept
    first = set(sequences[:, 0].tolist())
    start = int(len(first) == 1 and first <= model.begins)
    if sequences.shape[1] - start > budget:
        raise ConfigurationError(
            f"Expected `generate` of {model.name} to return the prompts with new tokens, or at "
            f"most {budget} new tokens alone, but got {sequences.shape[1]} tokens a row, which do "
            f"not begin with the prompts. Generate in the validation step, and return 'preds'"
        )
    return start


def _answers(
    sequences: Tensor, start: int, model: GenerativeModel, options: Mapping[str, Any]
) -> list[Answer]:
    return [
        Answer(row, len(row) >= options["max_new_tokens"] and row[-1] not in model.ends)
        for row in sequences[:, start:].tolist()
    ]


def _out_of_memory(count: int, sharded: bool, reason: Exception) -> str:
    why = (
        "whose parameters are spread over processes, which must all generate the same number of times"
        if sharded
        else "which cannot be told apart in all inputs"
    )
    what = "an answer" if count == 1 else f"{count} answers, {why}"
    return (
        f"The memory ran out while generating {what}: use smaller validation batches, smaller "
        f"images or a smaller max_new_tokens. {reason}"
    )
