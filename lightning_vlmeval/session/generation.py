"""Answers of a Hugging Face model, generated from the very batches that it is trained on."""

import importlib
import os
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.encoder import has_vocabulary
from lightning_vlmeval.parsing.answer import answer_of
from lightning_vlmeval.session.decoding import Decoder
from lightning_vlmeval.session.generative_model import GenerativeModel, find_model
from lightning_vlmeval.session.prompts import Prompts, read_prompts
from lightning_vlmeval.session.sharding import gathered, is_sharded
from lightning_vlmeval.session.trainer import evaluating, quiet

DEFAULT_BUDGET = 256
"""The new tokens of an answer at most, where there is no reference to judge by."""


class Generator:
    """Predictions of any model with the `generate` of `transformers`, and their references.

    It is called with the Lightning module and a batch as the collate function makes it for
    training. From each row of a decoder-only model's batch it takes what comes before the first
    label, pads it on the left, and decodes the new tokens only, whether the model returns the
    prompt with them or not. The references are decoded from the labels.

    Decoding is greedy unless `generate_kwargs` says otherwise, with a cache of keys and values, in
    the precision of training, without dropout and without gradients. Random numbers and the
    train or eval mode of every submodule are afterwards what they were. A model with a `generate`
    of its own may not know of padding: its prompts go by their lengths, those of one length
    together. Where the memory runs out, batches are halved. Processes over which FSDP or DeepSpeed
    spread the parameters go on until all their answers have ended.

    A batch may hold ready inputs for `generate`, a dict under `generation`, and references under
    `references`, which then come instead.

    | batch | result |
    |---|---|
    | without labels | the rows are prompts already; no `target` |
    | a row without a label | all of it is the prompt; its target is "" |
    | several answers in a row | the first is asked for |
    | labels from the first token on, as in captioning | the image alone is the prompt |
    | the same in a row with image tokens, or in some rows only | `ConfigurationError` |
    | labels that are not the tokens at their places, without an encoder | `ConfigurationError` |
    | an answer that ends inside its reasoning | "" |

    Args:
        processor: The model's processor or tokenizer, or the folder of one.
        max_new_tokens: How long an answer may be; None for twice the longest reference of the
            batch and 8 tokens more, or 256 without references. A model that reasons before it
            answers needs a number.
        skip_special_tokens: Leave out special tokens. Formats that write boxes in such tokens
            need them; the tokens that begin and end a text are left out in any case.
        strip_reasoning: Leave out `<think>...</think>`, of references too.
        model_attribute: Where in the module the model is, such as `net.vlm`; None for the first
            of the module itself, its `model` and its other children that has a `generate`.
        seed: What sampling starts from, together with the batch's own prompts.
        generate_kwargs: More arguments for `generate`.

    Raises:
        ConfigurationError: An option that cannot work; a module or a batch without what is needed.

    Example:
        >>> from types import SimpleNamespace
        >>> class Echo(torch.nn.Module):
        ...     def generate(self, input_ids, attention_mask, max_new_tokens, **kwargs):
        ...         return torch.cat([input_ids, input_ids[:, -1:], input_ids[:, :1] * 0], dim=1)
        >>> tokens = SimpleNamespace(
        ...     pad_token_id=0, eos_token_id=0,
        ...     batch_decode=lambda rows, **_: [" ".join(map(str, row)) for row in rows])
        >>> batch = {"input_ids": torch.tensor([[5, 6, 7, 8, 0]]),
        ...          "attention_mask": torch.tensor([[1, 1, 1, 1, 0]]),
        ...          "labels": torch.tensor([[-100, -100, 7, 8, -100]])}
        >>> Generator(tokens)(Echo(), batch)
        {'preds': ['6'], 'prompt': ['5 6'], 'truncated': [False], 'target': ['7 8']}
    """

    def __init__(
        self,
        processor: Any,
        *,
        max_new_tokens: int | None = None,
        skip_special_tokens: bool = True,
        strip_reasoning: bool = True,
        model_attribute: str | None = None,
        seed: int = 0,
        generate_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if max_new_tokens is not None and max_new_tokens < 1:
            raise ConfigurationError(
                f"Expected `max_new_tokens` to be at least 1 or None, but got {max_new_tokens!r}"
            )
        for name in ("max_new_tokens", "max_length", "num_return_sequences"):
            if name in (generate_kwargs or {}):
                raise ConfigurationError(
                    f"Expected `generate_kwargs` without {name!r}: the length is the option "
                    f"`max_new_tokens`, and each sample has one answer"
                )
        self.tokenizer = _tokenizer(processor)
        self.max_new_tokens = max_new_tokens
        self.skip_special_tokens = skip_special_tokens
        self.strip_reasoning = strip_reasoning
        self.model_attribute = model_attribute
        self.seed = seed
        self.generate_kwargs = dict(generate_kwargs or {})
        self._decoder = Decoder()

    def __call__(self, pl_module: Any, batch: Any) -> dict[str, Any]:
        """The model's answers to a batch.

        Args:
            pl_module: The Lightning module.
            batch: The batch, on the module's device.

        Returns:
            `preds`, `prompt`, `truncated` (the answer reached the limit without an end) and, where
            there are references, `target`: a list each, one element a sample.
        """
        module = find_model(pl_module, self.model_attribute)
        model = GenerativeModel(module, self.tokenizer, self.generate_kwargs)
        trainer = _trainer(pl_module)
        sharded = self.generate_kwargs.get("synced_gpus")
        if sharded is None:
            sharded = is_sharded(module, trainer)
        with quiet(), evaluating(module), _precision(trainer), gathered(module, trainer):
            prompts = read_prompts(batch, model)
            references = batch.get("references")
            options = self._options(model, self._budget(prompts, references), sharded)
            if options.get("do_sample"):
                torch.manual_seed(self.seed + _fingerprint(prompts))
            answers = self._decoder.answers(model, prompts, options, sharded=sharded)
        result: dict[str, Any] = {
            "preds": self._texts([answer.tokens for answer in answers], model),
            "prompt": self._prompt_texts(prompts),
            "truncated": [answer.truncated for answer in answers],
        }
        if references is not None:
            result["target"] = list(references)
        elif prompts.answers is not None:
            result["target"] = self._texts(prompts.answers, model)
        return result

    def _budget(self, prompts: Prompts, references: Any) -> int:
        """How many new tokens an answer may have."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        if prompts.answers is not None:
            lengths = [len(answer) for answer in prompts.answers]
        else:
            listed = [one for r in references or () for one in (r if isinstance(r, list) else [r])]
            texts = [text for text in listed if isinstance(text, str)]
            lengths = list(map(len, self.tokenizer(texts)["input_ids"])) if texts else []
        longest = max(lengths, default=0)
        return 2 * longest + 8 if longest else DEFAULT_BUDGET

    def _options(self, model: GenerativeModel, budget: int, sharded: bool) -> dict[str, Any]:
        """The arguments of `generate` beside the inputs."""
        options: dict[str, Any] = {"max_new_tokens": budget, "use_cache": True}
        if "generation_config" not in self.generate_kwargs:
            options |= {"do_sample": False, "num_beams": 1}
        if model.lacks_padding:
            options["pad_token_id"] = model.pad_token
        if sharded:
            options["synced_gpus"] = True
        return options | self.generate_kwargs

    def _texts(self, rows: Sequence[Sequence[int]], model: GenerativeModel) -> list[str]:
        """Answers as texts, without the tokens that begin and end them."""
        bare = []
        for row in rows:
            start, stop = 0, len(row)
            while start < stop and row[start] in model.begins:
                start += 1
            while start < stop and row[stop - 1] in model.ends:
                stop -= 1
            bare.append(list(row[start:stop]))
        texts = self.tokenizer.batch_decode(bare, skip_special_tokens=self.skip_special_tokens)
        return [self._without_reasoning(text) for text in texts]

    def _without_reasoning(self, text: str) -> str:
        reasons = self.strip_reasoning and "think" in text.lower()
        return answer_of(text).text.strip() if reasons else text

    def _prompt_texts(self, prompts: Prompts) -> list[str]:
        """The prompts as texts, without images and special tokens."""
        ids = prompts.inputs.get("input_ids")
        if ids is None:
            return [""] * len(prompts)
        mask = prompts.inputs.get("attention_mask")
        if mask is None or mask.shape != ids.shape:
            mask = torch.ones_like(ids)
        rows = []
        for row, reals in zip(ids.tolist(), mask.tolist(), strict=True):
            words = [token for token, real in zip(row, reals, strict=True) if real]
            rows.append([token for token in words if token not in prompts.image_tokens])
        texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [text.strip() for text in texts]


def _tokenizer(processor: Any) -> Any:
    """What decodes: the tokenizer of a processor, or in a folder."""
    if isinstance(processor, (str, os.PathLike)):
        # Of all a processor needs, such as torchvision, only its tokenizer is needed here.
        auto = importlib.import_module("transformers").AutoTokenizer  # heavy, for a folder only
        try:
            found = auto.from_pretrained(processor, local_files_only=True)
            if not has_vocabulary(found):
                raise ValueError("there is no vocabulary")
        except (OSError, ValueError, TypeError) as error:  # TypeError: no vocabulary
            raise ConfigurationError(
                f"Expected `processor` to be a folder that `save_pretrained` of a processor or a "
                f"tokenizer wrote, but got {os.fspath(processor)!r}: {error}"
            ) from error
        return found
    tokenizer = getattr(processor, "tokenizer", processor)
    if not callable(getattr(tokenizer, "batch_decode", None)):
        raise ConfigurationError(
            f"Expected `processor` to be a processor, a tokenizer or the folder of one, but got "
            f"{type(processor).__name__}"
        )
    return tokenizer


def _trainer(pl_module: Any) -> Any:
    try:
        return getattr(pl_module, "trainer", None)
    except RuntimeError:  # how a module says that it has none
        return None


def _precision(trainer: Any) -> Any:
    plugin = getattr(trainer, "precision_plugin", None)
    return nullcontext() if plugin is None else plugin.forward_context()


def _fingerprint(prompts: Prompts) -> int:
    """A number of the prompts, so that batches do not all draw the same random numbers."""
    ids = prompts.inputs.get("input_ids")
    return 0 if ids is None else zlib.crc32(ids.cpu().numpy().tobytes())
