"""What is measured: each metric on each shape of data, with its peers and its floor."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import samples
import text_peers
import torch
from rapidfuzz.distance import LCSseq
from scipy.optimize import linear_sum_assignment
from timing import Value
from transformers import AutoTokenizer

from lightning_vlmeval.functional.boxes import pairwise_iou
from lightning_vlmeval.functional.encoder import find_encoder
from lightning_vlmeval.metrics import (
    BERTScore,
    BLEUScore,
    CIDErScore,
    GroundingScore,
    METEORScore,
    ROUGEScore,
    StructuredOutputScore,
)
from lightning_vlmeval.metrics.table_metric import TableMetric

Peer = Callable[[Any, Any], Value]

# The share of the samples that an encoder reads. Answers are short and few of them distinct, the
# fewer the more samples there are: a validation set of questions has thousands.
_ENCODED = {"answers": 5.0, "captions": 0.4, "reports": 0.04}


@dataclass(frozen=True)
class Case:
    """A metric on one shape of data.

    Args:
        name: The metric.
        shape: Of the data.
        make: A new metric.
        key: Its value that peers give too; None for every sample's F1.
        data: From a number of samples and an epoch to predictions and targets.
        share: The share of the samples asked for that is used: some peers are slow.
        peers: By name.
        same: Peers of the same definition, whose values are to be equal.
        expected: The value to be equal to, where it is not the peer's timed one.
        floor: What no implementation of this kind can do without.
        floor_name: What that is.
        first_floor: The same at the first evaluation, where it is more.
    """

    name: str
    shape: str
    make: Callable[[], TableMetric]
    key: str | None
    data: Callable[..., tuple[Sequence[Any], Sequence[Any]]]
    share: float = 1.0
    peers: dict[str, Peer] = field(default_factory=dict)
    same: tuple[str, ...] = ()
    expected: Peer | None = None
    floor: Callable[[Any, Any], Callable[[], Value]] | None = None
    floor_name: str = ""
    first_floor: Callable[[Any, Any], Callable[[], Value]] | None = None
    prepare: Callable[[], object] = lambda: None

    @property
    def title(self) -> str:
        return f"{self.name}, {self.shape}"


def run(case: Case, metric: TableMetric, preds: Sequence[Any], target: Sequence[Any]) -> Value:
    """Updates of 16 samples with ids, and the value."""
    metric.reset()
    for start in range(0, len(preds), 16):
        part = slice(start, start + 16)
        metric.update(preds[part], target[part], ids=range(start, start + len(preds[part])))
    value = metric.compute()
    return float(value[case.key]) if case.key else metric.table().rows[:, 3].tolist()


def _boxes(shape: str, count: int, epoch: int = 0) -> tuple[list[Any], list[Any]]:
    preds, target = samples.scenes(shape, count)
    return [torch.from_numpy(b) for b in preds], [torch.from_numpy(b) for b in target]


def _assignments(preds: Any, target: Any) -> Callable[[], Value]:
    pairs = zip(preds, target, strict=True)
    ready = [pairwise_iou(p.numpy(), t.numpy()) for p, t in pairs]

    def floor() -> Value:
        for iou in ready:
            linear_sum_assignment(iou, True)
        return 0.0

    return floor


def _splits(preds: Any, target: Any) -> Callable[[], Value]:
    return lambda: float(len([text.lower().split() for text in preds]))


def _subsequences(preds: Any, target: Any) -> Callable[[], Value]:
    """Words of the predictions, and subsequences of words that were numbered before."""
    numbers: dict[str, str] = {}
    coded = [
        "".join(numbers.setdefault(w, chr(64 + len(numbers))) for w in text.lower().split())
        for text in [*preds, *target]
    ]
    pairs = list(zip(coded[: len(preds)], coded[len(preds) :], strict=True))

    def floor() -> Value:
        for text in preds:
            text.lower().split()
        return float(sum(LCSseq.similarity(a, b) for a, b in pairs))

    return floor


def _products(texts: Iterable[str]) -> Callable[[], Value]:
    """The matrix products of the small encoder's six layers, for the tokens of distinct texts."""
    tokenizer = AutoTokenizer.from_pretrained(find_encoder())
    tokens = sum(len(tokenizer.encode(text)) for text in set(texts))
    narrow, wide = torch.randn(384, 384), torch.randn(384, 1536)
    blocks = [torch.randn(n, 384) for n in (*[512] * (tokens // 512), tokens % 512) if n]

    def floor() -> Value:
        for rows in 6 * blocks:
            for _ in range(4):
                rows @ narrow
            (rows @ wide) @ wide.T
        return 0.0

    return floor


def _products_of_all(preds: Any, target: Any) -> Callable[[], Value]:
    return _products({*preds, *target})


def _products_of_new(preds: Any, target: Any) -> Callable[[], Value]:
    return _products(set(preds) - set(target))


def _parses(preds: Any, target: Any) -> Callable[[], Value]:
    good = [text for text in preds if text.startswith("{") and text.endswith("}}")]
    return lambda: float(len([json.loads(text) for text in good]))


def _pair_by_pair(preds: Any, target: Any) -> Value:
    """bert-score on single pairs: in batches its values depend on the padding."""
    pairs = list(zip(preds, target, strict=True))[:40]
    return [float(text_peers.bert_score([p], [t])[0]) for p, t in pairs]


def _structured() -> TableMetric:
    return StructuredOutputScore(schema=samples.SCHEMA, reading="strict")


def cases() -> list[Case]:
    """All cases; grounding's peers run elsewhere (`box_peers`)."""
    found = [
        Case("grounding", shape, GroundingScore, "f1", partial(_boxes, shape), share,
             floor=_assignments, floor_name="scipy's assignment alone")
        for shape, share in (("small", 1.0), ("crowded", 0.1))
    ]  # fmt: skip
    for shape, share in (("answers", 1.0), ("captions", 1.0), ("reports", 0.1)):
        texts = partial(samples.texts, shape)
        found += [
            Case(
                "BLEU", shape, BLEUScore, "bleu", texts, share,
                {
                    "sacrebleu": text_peers.sacrebleu,
                    "torchmetrics SacreBLEU": text_peers.torchmetrics_sacrebleu,
                    "torchmetrics BLEU": text_peers.torchmetrics_bleu,
                },
                ("sacrebleu", "torchmetrics SacreBLEU"),
                floor=_splits, floor_name="splitting the answers at spaces",
            ),
            Case(
                "ROUGE", shape, ROUGEScore, "rougeL_fmeasure", texts, share,
                {
                    "rouge-score": text_peers.rouge_score,
                    "torchmetrics ROUGE": text_peers.torchmetrics_rouge,
                },
                ("rouge-score", "torchmetrics ROUGE"),
                floor=_subsequences, floor_name="splitting, and rapidfuzz's subsequences",
            ),
            Case(
                "METEOR", shape, METEORScore, "meteor", texts, share,
                {"NLTK": text_peers.nltk_meteor}, ("NLTK",),
                floor=_splits, floor_name="splitting the answers at spaces",
            ),
            Case(
                "BERTScore", shape, BERTScore, None, texts, _ENCODED[shape],
                {"bert-score": text_peers.bert_score}, ("bert-score",), _pair_by_pair,
                floor=_products_of_new, first_floor=_products_of_all,
                floor_name="the encoder's matrix products for texts not seen before",
                prepare=text_peers.load_bert_score,
            ),
        ]  # fmt: skip
    found.append(
        Case(
            "CIDEr-D", "captions", CIDErScore, "cider_d", partial(samples.texts, "captions"), 1.0,
            {"pycocoevalcap (its words)": text_peers.pycocoevalcap_cider},
            floor=_splits, floor_name="splitting the answers at spaces",
        )
    )  # fmt: skip
    found.append(
        Case(
            "structured", "documents", _structured, "schema_adherence",
            lambda count, epoch=0: samples.documents(count), 1.0,
            {"json + jsonschema (less)": text_peers.json_and_jsonschema},
            ("json + jsonschema (less)",),
            floor=_parses, floor_name="json.loads alone",
        )
    )  # fmt: skip
    return [case for case in found if case.name != "BERTScore" or find_encoder()]


def shortened(value: Value, like: Value) -> Value:
    """A list cut to the length of another."""
    if isinstance(value, float) or isinstance(like, float):
        return value
    return np.asarray(value)[: len(list(like))].tolist()
