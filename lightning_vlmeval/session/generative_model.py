"""A model that generates: where a module has it, what it takes, and which tokens are special."""

import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from lightning_vlmeval.errors import ConfigurationError

_ENDS = ("eos_token_id", "pad_token_id", "sep_token_id")
_BEGINS = ("bos_token_id", "decoder_start_token_id", "cls_token_id")
_IMAGES = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")


class GenerativeModel:
    """What is to be known of a model before it can be asked.

    Args:
        module: The model.
        tokenizer: Its tokenizer.
        options: More arguments for its `generate`.
    """

    def __init__(self, module: nn.Module, tokenizer: Any, options: Mapping[str, Any]) -> None:
        self.module = module
        self._tokenizer, self._options = tokenizer, options

    @property
    def name(self) -> str:
        """Its class."""
        return type(self.module).__name__

    @property
    def generate(self) -> Callable[..., Any]:
        """Its method of this name."""
        method: Callable[..., Any] = getattr(self.module, "generate")  # noqa: B009  it may be any
        return method

    def takes(self, name: str, value: object) -> bool:
        """Whether it has an input of this name, as `generate` of `transformers` checks it.

        A model that is not of `transformers` is taken to have all the tensors that it is given: it
        must itself refuse one, for nobody would notice that an image was left out.

        Args:
            name: The input.
            value: What it would be.
        """
        if self._names is not None:
            return name in self._names
        values = value if isinstance(value, (list, tuple)) and value else [value]
        return all(isinstance(one, Tensor) for one in values)

    @cached_property
    def _names(self) -> frozenset[str] | None:
        *_, innermost = self._wrapped()
        if not hasattr(innermost, "prepare_inputs_for_generation"):
            return None
        methods = ["forward", "prepare_inputs_for_generation"]
        methods += ["generate"] if self.has_own_generate else []  # the other's are no inputs
        return frozenset(
            name
            for module in self._wrapped()
            for method in methods
            if hasattr(module, method)
            for name in inspect.signature(getattr(module, method)).parameters
        )

    @property
    def has_own_generate(self) -> bool:
        """Whether `generate` is not the one of `transformers`, which makes positions by the mask."""
        *_, innermost = self._wrapped()
        return "generation_config" not in inspect.signature(innermost.generate).parameters

    @property
    def has_encoder(self) -> bool:
        """Whether an encoder reads the prompt, and the answer is a text of its own."""
        return bool(getattr(getattr(self.module, "config", None), "is_encoder_decoder", False))

    @property
    def lacks_padding(self) -> bool:
        """Whether `transformers` would choose what to pad with, and warn of it at each batch."""
        config = getattr(self.module, "generation_config", None)
        return config is not None and config.pad_token_id is None and not self.has_own_generate

    @cached_property
    def pad_token(self) -> int:
        """What to pad with; under an attention mask any token will do."""
        sources = [self._tokenizer, getattr(self.module, "generation_config", None)]
        found = [_tokens([name], [one]) for one in sources for name in ("pad_token_id", _ENDS[0])]
        return next((min(tokens) for tokens in found if tokens), 0)

    @cached_property
    def begins(self) -> frozenset[int]:
        """The tokens that a text may begin with before its first word."""
        return _tokens(_BEGINS, self._sources())

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens that end a text, or stand after its end."""
        return _tokens(_ENDS, self._sources())

    @cached_property
    def image_tokens(self) -> frozenset[int]:
        """The tokens that stand for images."""
        return _tokens(_IMAGES, [getattr(self.module, "config", None)])

    def _sources(self) -> list[Any]:
        """Where a model, or a part of it that generates, and its tokenizer keep their tokens."""
        config: Any = getattr(self.module, "config", None)
        text = config.get_text_config() if hasattr(config, "get_text_config") else None
        own = [vars(part).get("generation_config") for part in self.module.modules()]
        return [text, *own, self._tokenizer, self._options]

    def _wrapped(self) -> Iterator[Any]:
        """The model, and what an adapter of PEFT or `torch.compile` is wrapped around."""
        module: Any = self.module
        while module is not None:
            yield module
            inner = getattr(module, "get_base_model", lambda: None)()
            module = getattr(module, "_orig_mod", None) if inner is None else inner


def find_model(pl_module: Any, attribute: str | None) -> nn.Module:
    """The first of a module, its `model` and its other children that generates.

    Args:
        pl_module: The Lightning module.
        attribute: Where the model is instead, such as `net.vlm`.

    Raises:
        ConfigurationError: Nothing there generates; the message lists what there is.
    """
    candidates = [pl_module, getattr(pl_module, "model", None), *pl_module.children()]
    if attribute is not None:
        try:
            candidates = [operator.attrgetter(attribute)(pl_module)]
        except AttributeError:
            candidates = []
    for model in candidates:
        if isinstance(model, nn.Module) and _generates(model):
            return model
    wanted = "the module, its `model` or another child" if attribute is None else repr(attribute)
    there = ", ".join(f"{name} ({type(c).__name__})" for name, c in pl_module.named_children())
    raise ConfigurationError(
        f"Expected {wanted} to be a model with a method `generate` that takes inputs by name, but "
        f"got a {type(pl_module).__name__} with {there or 'no children'}. Say where the model is "
        f"with model_attribute='...', or return 'preds' from the validation step"
    )


def _generates(model: Any) -> bool:
    """Whether it has a `generate` that is called with a model's inputs, rather than a batch."""
    method = getattr(model, "generate", None)
    if not callable(method):
        return False
    kinds = {parameter.kind for parameter in inspect.signature(method).parameters.values()}
    return inspect.Parameter.VAR_KEYWORD in kinds


def _tokens(names: Sequence[str], sources: Sequence[Any]) -> frozenset[int]:
    found: set[int] = set()
    for source in sources:
        for name in names:
            value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
            values = value if isinstance(value, (list, tuple)) else [value]
            found |= {token for token in values if isinstance(token, int)}
    return frozenset(found)
