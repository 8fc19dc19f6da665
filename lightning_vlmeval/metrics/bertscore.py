"""BERTScore as a stateful metric."""

from typing import Any

from lightning_vlmeval.functional.bertscore import BERTScorer
from lightning_vlmeval.functional.encoder import resolve_encoder
from lightning_vlmeval.metrics.text import TextMetric


class BERTScore(TextMetric):
    """The means of BERTScore's precision, recall and F1: tokens matched by meaning, not by form.

    Equal to bert-score's value for each pair of texts scored on its own; `BERTScorer` defines it.
    `compute` returns `precision`, `recall` and `f1`, raw cosines that may be negative. The encoder
    is no part of the metric's state: it is loaded at the first update, and neither saved nor copied.

    Args:
        model_name_or_path: The encoder: a folder with a transformers model, or a model's name on
            the hub; None for the small one of the extra `encoder`.
        num_layers: The layer whose output is used; None for bert-score's choice, else the last.
        rescale_with_baseline: Spread the values by the encoder's mean on unrelated sentences.
        lang: The language of the baseline that bert-score ships, as "en".
        baseline_path: A baseline file of one's own.
        max_length: The number of tokens after which a text is cut.
        device: Where the encoder runs; None for the current CUDA device, else the CPU.
        batch_tokens: The number of tokens in one forward pass; None suits the device.
        memory_bytes: What the references' vectors, kept between evaluations, may take.
        dtype: What the encoder runs in: "float32", "bfloat16" or "float16"; `BERTScorer` says what
            that changes.
        offload: Whether the encoder leaves the accelerator while nothing is scored.
        **kwargs: torchmetrics' own arguments.

    Raises:
        MissingExtraError: No encoder is named, and the extra `encoder` is not installed.

    Example:
        >>> metric = BERTScore()  # doctest: +SKIP
        >>> metric.update(["car"], ["automobile"], ids=["q1"])  # doctest: +SKIP
        >>> float(metric.compute()["f1"]) > 0.8  # doctest: +SKIP
        True
    """

    def __init__(
        self,
        model_name_or_path: str | None = None,
        num_layers: int | None = None,
        rescale_with_baseline: bool = False,
        lang: str | None = None,
        baseline_path: str | None = None,
        max_length: int | None = None,
        device: str | None = None,
        batch_tokens: int | None = None,
        memory_bytes: int = 2**28,
        dtype: str = "float32",
        offload: bool = False,
        **kwargs: Any,
    ) -> None:
        resolve_encoder(model_name_or_path)
        scorer = BERTScorer(
            model_name_or_path=model_name_or_path,
            num_layers=num_layers,
            rescale_with_baseline=rescale_with_baseline,
            lang=lang,
            baseline_path=baseline_path,
            max_length=max_length,
            device=device,
            batch_tokens=batch_tokens,
            memory_bytes=memory_bytes,
            dtype=dtype,
            offloaded=offload,
        )
        super().__init__(scorer, **kwargs)
