"""Prompts cut out of the batches that a model is trained on, to generate answers from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.session.generative_model import GenerativeModel

IGNORED = -100
"""The label of a token that the loss passes over."""

# What a batch holds for the loss only. `generate` makes positions and the decoder's inputs itself.
_FOR_THE_LOSS = frozenset(
    {"labels", "position_ids", "decoder_input_ids", "decoder_attention_mask"}
    | {"use_cache", "return_dict", "logits_to_keep"}
)


@dataclass(frozen=True)
class Prompts:
    """What to generate from, one row a sample.

    Args:
        inputs: What `generate` takes.
        aligned: The inputs of one value a token, shaped (n, width), padded on the left.
        lengths: How many tokens of each row are not padding; empty where nobody looked.
        answers: The tokens of each row's reference answer; None where the batch has no labels.
        cut: Whether the rows end where the answers began.
        image_tokens: The tokens that stand for images.
    """

    inputs: Mapping[str, Any]
    aligned: frozenset[str] = frozenset()
    lengths: tuple[int, ...] = ()
    answers: list[list[int]] | None = None
    cut: bool = False
    image_tokens: frozenset[int] = frozenset()

    def __len__(self) -> int:
        ids = self.inputs.get("input_ids")
        tensors = [value for value in self.inputs.values() if isinstance(value, Tensor)]
        return len(tensors[0] if ids is None else ids)

    @property
    def width(self) -> int:
        """How many tokens a prompt has with its padding; 0 without any."""
        ids = self.inputs.get("input_ids")
        return 0 if ids is None else int(ids.shape[1])

    @property
    def ragged(self) -> bool:
        """Whether rows are padded."""
        return len(set(self.lengths)) > 1

    @property
    def divisible(self) -> bool:
        """Whether the rows can be told apart in every input: each has them first."""
        rows = [len(value) for value in self.inputs.values() if _has_rows(value)]
        return set(rows) == {len(self)} and len(self._images()) < 2

    def _images(self) -> set[int]:
        """How many image tokens rows have: unlike numbers of images need not be split by rows."""
        ids = self.inputs.get("input_ids")
        if ids is None or not self.image_tokens:
            return set()
        tokens = torch.tensor(sorted(self.image_tokens), device=ids.device)
        return set(torch.isin(ids, tokens).sum(dim=1).tolist())

    def take(self, rows: Sequence[int]) -> "Prompts":
        """Some rows, without the padding that only others need.

        Args:
            rows: Indices; the rows must be divisible.
        """
        lengths = tuple(self.lengths[row] for row in rows) if self.lengths else ()

        def taken(name: str, value: Any) -> Any:
            if not _has_rows(value):
                return value
            if not isinstance(value, Tensor):
                return [value[row] for row in rows]
            chosen = value[torch.tensor(rows, device=value.device)]
            return chosen[:, chosen.shape[1] - max(lengths) :] if name in self.aligned else chosen

        return replace(
            self,
            inputs={name: taken(name, value) for name, value in self.inputs.items()},
            lengths=lengths,
            answers=None if self.answers is None else [self.answers[row] for row in rows],
        )

    def by_length(self) -> Iterator[list[int]]:
        """The rows of each length."""
        for length in sorted(set(self.lengths)):
            yield [row for row, other in enumerate(self.lengths) if other == length]

    def followed_by(self, token: int) -> "Prompts":
        """The same prompts with a token more, for a model that leaves the last one out.

        Args:
            token: Any token.
        """

        def longer(name: str, value: Any) -> Any:
            last = {"input_ids": token, "attention_mask": 1}.get(name, 0)
            return torch.cat([value, torch.full_like(value[:, :1], last)], dim=1)

        inputs = {
            name: longer(name, value) if name in self.aligned else value
            for name, value in self.inputs.items()
        }
        return replace(self, inputs=inputs, lengths=tuple(n + 1 for n in self.lengths))


def read_prompts(batch: object, model: GenerativeModel) -> Prompts:
    """What to generate from, out of what the collate function made for training.

    A decoder-only model's prompt is what comes before the first label of each row, and its
    reference answer the labels from there to the next token without one; what has one value a
    token is cut with it and padded on the left. An encoder's input stays as it is.

    Args:
        batch: A mapping with `input_ids`, `attention_mask`, `labels` and what else the model
            takes; without labels, the rows are prompts already. Ready inputs for `generate` under
            `generation` are passed on as they are.
        model: The model, by whose signatures other values of the batch are left out.

    Raises:
        ConfigurationError: There is nothing to generate from, or it would hold the answer.
    """
    if not isinstance(batch, Mapping):
        raise ConfigurationError(
            f"Expected a batch that is a dict with 'input_ids' or 'generation', but got "
            f"{type(batch).__name__}. Return one from the collate function, or generate in the "
            f"validation step and return 'preds'"
        )
    labels = batch.get("labels")
    ready = batch.get("generation")
    if ready is None:
        inputs = {
            name: value
            for name, value in batch.items()
            if name not in _FOR_THE_LOSS and model.takes(name, value)
        }
    else:
        inputs = dict(ready)
    if not any(isinstance(value, Tensor) for value in inputs.values()):
        raise ConfigurationError(
            f"Expected the batch to hold 'input_ids' or other tensors that {model.name} takes"
            f", but got a dict with keys {sorted(map(str, batch))}. Put the inputs of "
            f"`generate` under 'generation', or generate in the validation step"
        )
    inputs = {name: _plain(value) for name, value in inputs.items()}
    if ready is not None or model.has_encoder or "input_ids" not in inputs:
        answers = None if labels is None else _runs(labels)
        return Prompts(inputs, answers=answers, image_tokens=model.image_tokens)
    return _cut(inputs, labels, model)


def _cut(inputs: dict[str, Any], labels: Tensor | None, model: GenerativeModel) -> Prompts:
    """The tokens before the first label; all of a row whose labels are another text."""
    ids = inputs["input_ids"]
    real = _real(ids, inputs.get("attention_mask"), model.pad_token)
    inputs.setdefault("attention_mask", real.long())
    answers, cut, end = None, False, real
    if labels is not None:
        cut = labels.shape == ids.shape and bool(((labels == IGNORED) | (labels == ids)).all())
        labels = labels.masked_fill(~real, IGNORED) if cut else labels
        answers = _runs(labels)
    if cut and labels is not None:
        end = real & ((labels != IGNORED).cumsum(dim=1) == 0)
    elif labels is not None and answers is not None:
        _check_separate(ids, labels, answers, model)
    spans = list(zip(_first(real), _last(end), strict=True))
    lengths = tuple(max(0, end - start) for start, end in spans)
    aligned = frozenset(
        name for name, v in inputs.items() if isinstance(v, Tensor) and v.shape == ids.shape
    )
    prompts = Prompts(inputs, aligned, lengths, answers, cut, model.image_tokens)
    if cut and (min(lengths) == 0 or max(lengths) == 1):
        return _without_prompt(prompts)
    padding = {"input_ids": model.pad_token}
    for name in aligned:
        inputs[name] = _left_padded(inputs[name], spans, max(lengths), padding.get(name, 0))
    return prompts


def _without_prompt(prompts: Prompts) -> Prompts:
    """What a captioning model starts from by itself, where all that it is told is the image."""
    rest = {name: v for name, v in prompts.inputs.items() if name not in prompts.aligned}
    pictures = any(isinstance(value, Tensor) for value in rest.values())
    if max(prompts.lengths) > 1 or not pictures or prompts._images() - {0}:
        raise ConfigurationError(
            f"Expected labels of {IGNORED} over each prompt, but those of row "
            f"{prompts.lengths.index(min(prompts.lengths))} begin at its first token: nothing is "
            f"left to generate from. Mask the prompts in the collate function, or put ready "
            f"inputs for `generate` under 'generation'"
        )
    return Prompts(rest, answers=prompts.answers, cut=True)


def _real(ids: Tensor, mask: Tensor | None, pad_token: int) -> Tensor:
    """Which tokens are not padding."""
    if mask is None:  # padding is at either end, since the token may have another use between
        words = (ids != pad_token).int()
        return (words.cumsum(1) > 0) & (words.flip(1).cumsum(1).flip(1) > 0)
    if mask.shape != ids.shape:
        raise ConfigurationError(
            f"Expected 'attention_mask' of the shape of 'input_ids' {tuple(ids.shape)}, but got "
            f"{tuple(mask.shape)}. Put ready inputs for `generate` under 'generation'"
        )
    return mask != 0


def _first(mask: Tensor) -> list[int]:
    """Where each row first holds."""
    found: list[int] = mask.int().argmax(dim=1).tolist()
    return found


def _last(mask: Tensor) -> list[int]:
    """Behind where each row last holds; 0 where it never does."""
    places = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    found: list[int] = (mask * places).amax(dim=1).tolist()
    return found


def _left_padded(
    values: Tensor, spans: Sequence[tuple[int, int]], width: int, padding: int
) -> Tensor:
    padded = values.new_full((len(spans), width), padding)
    for row, (start, end) in enumerate(spans):
        padded[row, width - (end - start) :] = values[row, start:end]
    return padded


def _runs(labels: Tensor) -> list[list[int]]:
    """The labels of each row, from the first one to the next token without."""
    runs: list[list[int]] = []
    for row in labels.tolist():
        kept = [position for position, label in enumerate(row) if label != IGNORED]
        first = kept[0] if kept else 0
        length = next((n for n, at in enumerate(kept) if at != first + n), len(kept))
        runs.append(row[first : first + length])
    return runs


def _check_separate(
    ids: Tensor, labels: Tensor, answers: Sequence[Sequence[int]], model: GenerativeModel
) -> None:
    """Refuse labels that are shifted: the model would be given the answers with the prompts.

    Only a model with a `generate` of its own may have an encoder and not say so in its config.
    """
    rows = zip(ids.tolist(), answers, strict=True)
    shifted = labels.shape == ids.shape and all(_holds(row, answer) for row, answer in rows)
    if shifted or not model.has_own_generate:
        raise ConfigurationError(
            f"Expected each label to be the token at its own place in 'input_ids' or {IGNORED}, "
            f"but got labels {tuple(labels.shape)} that are not, of 'input_ids' "
            f"{tuple(ids.shape)}. Leave the shift by one token to the model, or put ready inputs "
            f"for `generate` under 'generation'"
        )


def _holds(row: Sequence[int], run: Sequence[int]) -> bool:
    return any(row[at : at + len(run)] == run for at in range(len(row) - len(run) + 1))


def _has_rows(value: object) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, Tensor) and value.ndim > 0)


def _plain(value: Any) -> Any:
    """A tensor made in inference mode as an ordinary one, which a later fit can use."""
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value
