"""What a validation step returned, as a batch of samples."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.sample import Sample

KEYS = (
    "preds",
    "target",
    "id",
    "prompt",
    "group",
    "annotator",
    "truncated",
    "task",
    "size",
    "fed_size",
    "image",
    "image_grid_thw",
    "losses",
    "loss",
)
"""What may be returned; `preds` and `target` must be."""

_NEEDED = frozenset({"preds", "target", "id", "size", "fed_size", "losses"})


@dataclass(frozen=True)
class Batch:
    """Samples as parallel lists; those that were not returned are None."""

    preds: Sequence[Any]
    target: Sequence[Any]
    id: Sequence[Any] | None = None
    prompt: Sequence[Any] | None = None
    group: Sequence[Any] | None = None
    annotator: Sequence[Any] | None = None
    truncated: Sequence[Any] | None = None
    task: Sequence[Any] | None = None
    size: Sequence[Any] | None = None
    fed_size: Sequence[Any] | None = None
    image: Sequence[Any] | None = None
    image_grid_thw: Sequence[Any] | None = None  # the processor's patches of each image
    losses: Sequence[Any] | None = None
    loss: float | None = None
    texts: Sequence[Any] | None = None  # the answers as the model wrote them, where `preds` are not
    parsed: Sequence[Any] | None = None  # what was read in them
    target_texts: Sequence[Any] | None = None  # the targets as texts, where some are objects

    def __len__(self) -> int:
        return len(self.preds)

    def take(self, positions: Sequence[int]) -> "Batch":
        """The samples at these positions.

        Args:
            positions: Indices into the batch.
        """
        if len(positions) == len(self):
            return self
        chosen: dict[str, Any] = {
            field.name: [values[i] for i in positions]
            for field in fields(self)
            if field.name != "loss" and (values := getattr(self, field.name)) is not None
        }
        return replace(self, **chosen)


def read_batch(outputs: object, batch: object, names: Mapping[str, str]) -> Batch:
    """The samples in what a validation step returned.

    Args:
        outputs: A dict with at least `preds` and `target`, one element a sample in each; or with
            `samples`, a list of `Sample`.
        batch: The batch it was made from, where everything but answers and losses is looked for
            that is not in the outputs.
        names: What the user calls one of `KEYS`.

    Raises:
        ConfigurationError: Something needed is not there, or a list is of another length; the
            message lists what was there.
    """
    if isinstance(outputs, Mapping) and "samples" in outputs:
        return _from_samples(outputs["samples"], _loss(outputs, names))
    wanted = {key: names.get(key, key) for key in KEYS}
    returned, found = outputs, _in_batch(batch, wanted)
    if isinstance(outputs, Mapping):
        outputs = {**found, **outputs}
    missing = [
        wanted[key]
        for key in ("preds", "target")
        if not isinstance(outputs, Mapping) or outputs.get(wanted[key]) is None
    ]
    if missing or not isinstance(outputs, Mapping):
        raise ConfigurationError(
            f"Expected the validation step to return a dict with "
            f"{' and '.join(map(repr, missing))}, but got {_described(returned)}. Return the "
            f"model's answers and what they should have been, or say what you call them with "
            f"output_keys={{'preds': ..., 'target': ...}}"
        )
    values = {key: outputs.get(name) for key, name in wanted.items() if key != "loss"}
    lists = {key: _listed(value) for key, value in values.items() if value is not None}
    count = len(lists["preds"])
    for key in [key for key, value in lists.items() if len(value) != count]:
        value = lists.pop(key)
        # What the batch calls so may be something else.
        if key in _NEEDED or found.get(wanted[key]) is not outputs[wanted[key]]:
            raise ConfigurationError(
                f"Expected {wanted[key]!r} to have one element for each of {count} predictions, "
                f"but got {len(value)}"
            )
    if "losses" in lists:
        lists["losses"] = list(map(_number, lists["losses"]))
    if "prompt" in lists:
        lists["prompt"] = ["" if one is None else str(one) for one in lists["prompt"]]
    return Batch(**lists, loss=_loss(outputs, names))


def _in_batch(batch: object, wanted: Mapping[str, str]) -> dict[str, Any]:
    """What the batch says of its samples, in lists or tensors of one element each."""
    if not isinstance(batch, Mapping):
        return {}
    names = {name for key, name in wanted.items() if key not in ("preds", "loss", "losses")}
    return {
        name: batch[name]
        for name in names & set(batch)
        if isinstance(batch[name], (list, tuple, Tensor, np.ndarray))
    }


def with_texts(batch: Batch, positions: Sequence[int]) -> Batch:
    """The batch with the targets that are objects as JSON texts beside them.

    Args:
        batch: Samples.
        positions: Those whose targets may be objects.
    """
    texts = list(batch.target)
    for i in positions:
        if not _is_text(texts[i]):
            texts[i] = json.dumps(texts[i], ensure_ascii=False, default=str)
    return replace(batch, target_texts=texts)


def _is_text(target: object) -> bool:
    """Whether a target is a text, or a list of accepted texts."""
    several = isinstance(target, (list, tuple)) and all(isinstance(one, str) for one in target)
    return isinstance(target, str) or (several and bool(target))


def _from_samples(samples: Any, loss: float | None) -> Batch:
    samples = _listed(samples)
    for one in samples:
        if not isinstance(one, Sample):
            raise ConfigurationError(
                f"Expected 'samples' to be a list of `Sample`, but it holds {_described(one)}"
            )
    groups = [sample.group for sample in samples]
    return Batch(
        [sample.prediction for sample in samples],
        [sample.target for sample in samples],
        [sample.id for sample in samples],
        [sample.prompt for sample in samples],
        None if None in groups else groups,
        [sample.annotator for sample in samples],
        image=[sample.image for sample in samples],
        loss=loss,
    )


def batch_loss(outputs: object, names: Mapping[str, str]) -> float | None:
    """The batch's mean loss, finite or not; None where there is none.

    Args:
        outputs: What the validation step returned: a loss, or a dict with `loss` or `losses`.
        names: What the user calls one of `KEYS`.
    """
    if isinstance(outputs, Mapping):
        loss = _loss(outputs, names)
        losses = outputs.get(names.get("losses", "losses"))
        if loss is None and losses is not None:
            values = _listed(losses)
            return sum(map(_number, values)) / len(values) if values else None
        return loss
    return _loss({"loss": outputs}, {})


def _loss(outputs: Mapping[str, Any], names: Mapping[str, str]) -> float | None:
    """The batch's mean loss; a finite number or not, for the rule to judge."""
    loss = outputs.get(names.get("loss", "loss"))
    if isinstance(loss, Tensor) and loss.numel() and not loss.is_complex():
        return float(loss.detach().to_dense().double().mean())
    return None if loss is None else _number(loss)


def _number(loss: Any) -> float:
    try:
        plain: Any = loss.tolist() if isinstance(loss, Tensor) else loss
        return float(plain)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ConfigurationError(
            f"Expected a loss as a number, but got {_described(loss)}"
        ) from None


def _listed(value: Any) -> list[Any]:
    """One element a sample, out of a list, a tuple, a tensor, an array or a generator."""
    if isinstance(value, Tensor):
        plain = (
            value.detach().to(torch.float32) if value.dtype == torch.bfloat16 else value.detach()
        )
        return list(plain.cpu().numpy()) if plain.ndim > 1 else list(plain.tolist())
    if isinstance(value, (str, bytes, Mapping)):
        raise ConfigurationError(
            f"Expected a list with one element for each sample, but got {_described(value)}"
        )
    try:
        return list(value)
    except TypeError:
        raise ConfigurationError(
            f"Expected a list with one element for each sample, but got {_described(value)}"
        ) from None


def _described(value: object) -> str:
    if isinstance(value, Mapping):
        return f"a dict with keys {sorted(map(str, value))}"
    return f"{type(value).__name__} {value!r}"[:80] if isinstance(value, str) else str(type(value))
