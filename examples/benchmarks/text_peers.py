"""The originals of the text metrics, each over all samples at once; missing ones raise ImportError."""

import importlib
import json
from collections.abc import Sequence
from typing import Any

import jsonschema
import numpy as np
import samples

from lightning_vlmeval.functional.encoder import find_encoder
from lightning_vlmeval.functional.schema import Schema

Texts = Sequence[str]


def sacrebleu(preds: Texts, target: Texts) -> float:
    module = importlib.import_module("sacrebleu")
    return float(module.corpus_bleu(list(preds), [list(target)]).score / 100)


def torchmetrics_sacrebleu(preds: Texts, target: Texts) -> float:
    """In float32, updates of 16."""
    return _torchmetrics("SacreBLEUScore", preds, [[text] for text in target])


def torchmetrics_bleu(preds: Texts, target: Texts) -> float:
    """With a tokenizer of its own: another value."""
    return _torchmetrics("BLEUScore", preds, [[text] for text in target])


def torchmetrics_rouge(preds: Texts, target: Texts) -> float:
    """In float32; without rougeLsum, which needs data that pip does not install."""
    return _torchmetrics(
        "rouge.ROUGEScore", preds, target, rouge_keys=("rouge1", "rouge2", "rougeL")
    )


def _torchmetrics(name: str, preds: Texts, target: Sequence[Any], **options: Any) -> float:
    module, _, kind = f"torchmetrics.text.{name}".rpartition(".")
    metric = getattr(importlib.import_module(module), kind)(**options)
    for start in range(0, len(preds), 16):
        metric.update(list(preds[start : start + 16]), list(target[start : start + 16]))
    value = metric.compute()
    return float(value["rougeL_fmeasure"] if isinstance(value, dict) else value)


def rouge_score(preds: Texts, target: Texts) -> float:
    module = importlib.import_module("rouge_score.rouge_scorer")
    scorer = module.RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"])
    pairs = zip(preds, target, strict=True)
    return float(np.mean([scorer.score(t, p)["rougeL"].fmeasure for p, t in pairs]))


def nltk_meteor(preds: Texts, target: Texts) -> float:
    """Needs NLTK's own copy of WordNet; raises LookupError without."""
    importlib.import_module("nltk.corpus").wordnet.ensure_loaded()
    score = importlib.import_module("nltk.translate.meteor_score").meteor_score
    pairs = zip(preds, target, strict=True)
    return float(np.mean([score([t.split()], p.split()) for p, t in pairs]))


_scorers: dict[str, Any] = {}


def bert_score(preds: Texts, target: Texts) -> list[float]:
    """F1 of each pair; the model is loaded before the clock starts, by `load_bert_score`."""
    return [float(x) for x in _scorers["bert"].score(list(preds), list(target), batch_size=64)[2]]


def load_bert_score() -> None:
    module = importlib.import_module("bert_score")
    _scorers["bert"] = module.BERTScorer(find_encoder(), num_layers=6, device="cpu")


def pycocoevalcap_cider(preds: Texts, target: Texts) -> float:
    """CIDEr-D on words split at spaces; its tokenizer needs Java."""
    scorer = importlib.import_module("pycocoevalcap.cider.cider").Cider()
    numbered = range(len(preds))
    return float(
        scorer.compute_score({i: [target[i]] for i in numbered}, {i: [preds[i]] for i in numbered})[
            0
        ]
    )


def json_and_jsonschema(preds: Texts, target: Sequence[Any]) -> float:
    """Less than ours does: the share of answers that parse and keep to the schema."""
    validator = jsonschema.Draft202012Validator(Schema(samples.SCHEMA).plain)
    kept = 0
    for text in preds:
        try:
            value = json.loads(text)
        except ValueError:
            continue
        kept += not list(validator.iter_errors(value))
    return kept / len(preds)
