"""BERTScore, equal to bert-score's value for each pair of texts scored on its own."""

import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.encoder import Encoder, resolve_encoder, tuned_layers
from lightning_vlmeval.functional.scorer import Scores, TextScorer, check_texts, ratio
from lightning_vlmeval.table import Floats

# Characters of the pairs that are encoded at once: they bound the memory that a call takes.
_CHARACTERS = 2**18

_DTYPES = ("float32", "bfloat16", "float16")

# The names of the number of layers in a model's config.json.
_LAYER_COUNTS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers")


@dataclass(frozen=True)
class BERTScorer(TextScorer):
    """The means over samples of BERTScore's precision, recall and F1: tokens matched by meaning.

    An encoder gives every token a vector. A token of the answer scores its largest cosine with any
    token of the reference; precision is the mean over the answer's tokens, recall the same from the
    reference's side, and F1 = 2 P R / (P + R). There is no idf weighting. Of several references the
    best counts, for each of the three. The values are raw cosines: they may be negative, and what is
    high depends on the encoder; `rescale_with_baseline` spreads them.

    Each pair has the value that `bert_score.BERTScorer` gives to it alone, to 1e-5. (In a batch
    bert-score's own values change, because padding's 0 wins over negative cosines.) Where precision
    and recall nearly cancel, one being negative, F1 is not determined to that many digits, and may
    be far below -1.

    | sample | precision, recall and F1, before rescaling |
    |---|---|
    | an empty answer or reference, or both | 0, as bert-score documents |
    | a text of white space, or of which the tokenizer keeps nothing | 0 |
    | a text of the tokenizer's own marks only, as "[SEP]" | 0 (bert-score: NaN) |
    | precision and recall that cancel | F1: 0 (bert-score: infinite) |
    | a text longer than the limit | those of what is before the limit |
    | no sample at all | NaN |

    Args:
        model_name_or_path: The encoder: a folder with a transformers model, from which nothing is
            downloaded, or a model's name on the hub; None for the one that the extra `encoder`
            installs.
        num_layers: The layer whose output is used. None for bert-score's choice for a name that it
            knows, else the last (bert-score then demands a number).
        rescale_with_baseline: Whether to give (x - b) / (1 - b), b being the encoder's mean value on
            unrelated sentences.
        lang: The language of the baseline that bert-score ships for a name that it knows, as "en".
        baseline_path: A baseline file of one's own, in bert-score's format.
        max_length: The number of tokens after which a text is cut; at most the tokenizer's own limit,
            which None stands for.
        device: Where the encoder runs; None for the current CUDA device, else the CPU.
        batch_tokens: The number of tokens in one forward pass; None suits the device.
        memory_bytes: What the references' vectors, kept between evaluations, may take.
        dtype: What the encoder runs in and its vectors are kept in: "float32", or "bfloat16" or
            "float16", which take half the memory and less time on most accelerators. The values
            then differ: with the small encoder in bfloat16 by up to 2e-2 for a pair of short texts,
            and by up to 1e-3 in the mean of many.
        offloaded: Whether the encoder's weights wait on the CPU while nothing is scored.

    Raises:
        ConfigurationError: An option is out of its range, or a baseline is asked for and not named.

    Source: Zhang et al., "BERTScore: Evaluating Text Generation with BERT", 2020; the package
    bert-score.

    Example:
        The means of two samples, from the sums of their rows (1, precision, recall, F1):

        >>> scores = BERTScorer().from_sums(np.array([2.0, 1.5, 1.0, 1.25]))
        >>> {key: float(value) for key, value in scores.items()}
        {'precision': 0.75, 'recall': 0.5, 'f1': 0.625}
    """

    model_name_or_path: str | None = None
    num_layers: int | None = None
    rescale_with_baseline: bool = False
    lang: str | None = None
    baseline_path: str | None = None
    max_length: int | None = None
    device: str | None = field(default=None, compare=False)
    batch_tokens: int | None = field(default=None, compare=False)
    memory_bytes: int = field(default=2**28, compare=False)
    dtype: str = "float32"
    offloaded: bool = field(default=False, compare=False)

    encoder: Encoder = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "bertscore"
    columns: ClassVar[tuple[str, ...]] = ("n", "precision", "recall", "f1")
    keys: ClassVar[tuple[str, ...]] = ("precision", "recall", "f1")
    unbounded: ClassVar[frozenset[str]] = frozenset(keys)

    def __post_init__(self) -> None:
        for name, least in (("num_layers", 0), ("max_length", 3), ("batch_tokens", 1)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= least):
                raise ConfigurationError(
                    f"Expected `{name}` to be None or a whole number of at least {least}, "
                    f"but got {value!r}"
                )
        if self.dtype not in _DTYPES:
            raise ConfigurationError(
                f"Expected `dtype` to be one of {', '.join(_DTYPES)}, but got {self.dtype!r}"
            )
        if self.rescale_with_baseline and self.lang is None and self.baseline_path is None:
            raise ConfigurationError(
                "Expected `lang`, as 'en', or `baseline_path` with `rescale_with_baseline=True`, "
                "but got neither"
            )
        for name in ("model_name_or_path", "baseline_path"):
            if getattr(self, name) is not None:  # a `Path` is the same option as its text
                object.__setattr__(self, name, os.fspath(getattr(self, name)))
        encoder = Encoder(
            self.model_name_or_path,
            self.num_layers,
            self.max_length,
            self.device,
            self.batch_tokens,
            self.memory_bytes,
            self.dtype,
        )
        object.__setattr__(self, "encoder", encoder)

    def prepare(self) -> None:
        """Load the encoder, on the CPU, and the baseline now; a hub's model is downloaded.

        Raises:
            MissingExtraError: No encoder is named or installed; the message says how to get one.
            ConfigurationError: The encoder or the baseline cannot be loaded.
        """
        self.encoder.load()
        if self.rescale_with_baseline:
            self._baseline()

    def offload(self) -> None:
        """Move the encoder's weights to the CPU until they are next used."""
        self.encoder.offload()

    def release(self) -> None:
        """Free the encoder's weights and the references' vectors; the next use loads them again."""
        self.encoder.release()

    def rows(
        self,
        preds: Sequence[str],
        target: Sequence[str | Sequence[str]],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """One, precision, recall and F1 of each sample, shape (n, 4).

        Args:
            preds: The answers.
            target: For each sample a reference, or several.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: An answer or a reference is not a string.
            InputError: The lengths differ, or a sample has no reference.
            MissingExtraError: No encoder is named or installed.
            ConfigurationError: The encoder or the baseline cannot be loaded.
        """
        preds, references = check_texts(preds, target)
        if not preds:
            return np.empty((0, 4))
        starts = np.cumsum([0, *map(len, references[:-1])])
        pairs = [(a, r) for a, texts in zip(preds, references, strict=True) for r in texts]
        best = np.maximum.reduceat(self._pair_values(pairs), starts)
        if self.rescale_with_baseline:
            baseline = self._baseline()
            best = (best - baseline) / (1 - baseline)
        if self.offloaded:
            self.offload()
        return np.column_stack([np.ones(len(best)), best])

    def collect(
        self,
        preds: Sequence[str],
        target: Sequence[str | Sequence[str]],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> tuple[list[str], list[list[str]]]:
        """The texts of a batch, with the encoder loaded: what cannot be loaded is told at once."""
        self.prepare()
        return super().collect(preds, target)

    def from_sums(self, sums: Floats) -> Scores:
        """The mean precision, recall and F1.

        Args:
            sums: Shape (..., 4).

        Returns:
            The keys "precision", "recall" and "f1", shape (...).
        """
        return {key: ratio(sums[..., i], sums[..., 0]) for i, key in enumerate(self.keys, start=1)}

    def options(self) -> tuple[tuple[str, str], ...]:
        """The encoder, its layer, the rescaling, and the versions that its numbers depend on.

        Raises:
            MissingExtraError: No encoder is named or installed.
        """
        name = resolve_encoder(self.model_name_or_path)
        layers = _default_layers(name) if self.num_layers is None else self.num_layers
        return (
            ("model", _identity(name)),
            ("layers", "last" if layers is None else str(layers)),
            ("max_length", "model" if self.max_length is None else str(self.max_length)),
            ("idf", "no"),
            ("rescale", self._rescaling()),
            *([] if self.dtype == "float32" else [("dtype", self.dtype)]),
            ("transformers", version("transformers")),
            ("version", version("bert-score")),
        )

    def _pair_values(self, pairs: list[tuple[str, str]]) -> Floats:
        """Precision, recall and F1 of each pair, shape (n, 3); equal pairs are scored once."""
        distinct = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
        values = np.zeros((len(distinct), 3))
        texts = [pair for pair in distinct if pair[0].strip() and pair[1].strip()]
        for portion in _portions(texts):
            values[[distinct[pair] for pair in portion], :2] = self.encoder.match(portion)
        precision, recall = values[:, 0], values[:, 1]
        values[:, 2] = ratio(2 * precision * recall, precision + recall, empty=0.0)
        return values[[distinct[pair] for pair in pairs]]

    def _baseline(self) -> Floats:
        """The baseline of precision, recall and F1 at the layer that is used, shape (3,)."""
        path = self.baseline_path
        if path is None:
            path = _shipped_baseline(str(self.lang), resolve_encoder(self.model_name_or_path))
        table, layer = _read_baseline(path), self.encoder.load()
        if layer is None or layer >= len(table):
            raise ConfigurationError(
                f"Expected a baseline for layer {layer}, but {path!r} has {len(table)} rows: "
                "name another by `baseline_path`"
            )
        values: Floats = table[layer]
        return values

    def _rescaling(self) -> str:
        """How values are rescaled, for the signature."""
        if not self.rescale_with_baseline:
            return "no"
        if self.baseline_path is None:
            return str(self.lang)
        return f"file@{blake2b(Path(self.baseline_path).read_bytes(), digest_size=4).hexdigest()}"


def _portions(pairs: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """The pairs in lists of a bounded number of characters."""
    start = characters = 0
    for i, (answer, reference) in enumerate(pairs):
        characters += len(answer) + len(reference)
        if characters > _CHARACTERS and i > start:
            yield pairs[start:i]
            start, characters = i, len(answer) + len(reference)
    if pairs:
        yield pairs[start:]


@lru_cache(maxsize=8)
def _read_baseline(path: str) -> Floats:
    """A file in bert-score's format: a header, then a layer and its P, R, F on each line."""
    try:
        table: Floats = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)[:, 1:4]
    except (OSError, ValueError, IndexError) as error:
        raise ConfigurationError(
            f"Expected a baseline in bert-score's format (LAYER,P,R,F) in {path!r}, but it cannot "
            f"be read: {error}"
        ) from error
    return table


def _shipped_baseline(lang: str, name: str) -> str:
    """The baseline that bert-score ships for a language and a name on the hub."""
    spec = importlib.util.find_spec("bert_score")  # found, not imported: that takes seconds
    folders = (spec and spec.submodule_search_locations) or []
    for folder in folders:
        path = Path(folder) / "rescale_baseline" / lang / f"{name}.tsv"
        if path.is_file():
            return str(path)
    raise ConfigurationError(
        f"Expected a model for which bert-score ships a baseline in {lang!r}, but it has none for "
        f"{name!r}: name a file by `baseline_path`, or leave `rescale_with_baseline` out"
    )


def _default_layers(name: str) -> int | None:
    """The layer that is used where none is asked for; None where only loading the model can tell."""
    config = Path(name) / "config.json"
    if not config.is_file():
        return tuned_layers(name)
    counts = json.loads(config.read_text(encoding="utf-8"))
    return next((int(counts[key]) for key in _LAYER_COUNTS if key in counts), None)


def _identity(name: str) -> str:
    """What the signature calls a model: its name on the hub, or a folder's last part and a hash.

    The hash is of weights and settings, so that it tells models apart whatever machine they are on.
    """
    folder = Path(name)
    if not folder.is_dir():
        return name
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    settings = [folder / "config.json", folder / "tokenizer_config.json"]
    digest = blake2b(digest_size=4)
    for path in filter(Path.is_file, [*settings, *weights]):
        digest.update(_digest(str(path), path.stat().st_size, path.stat().st_mtime_ns))
    return f"{folder.resolve().name}@{digest.hexdigest()}"


@lru_cache(maxsize=64)
def _digest(path: str, size: int, modified: int) -> bytes:
    """The hash of a file's content, computed once for a size and a time of modification."""
    digest = blake2b()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()
