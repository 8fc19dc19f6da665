"""Samples for each metric of the package: what the conformance harness is run on."""

from dataclasses import dataclass

import numpy as np

from lightning_vlmeval.errors import MissingExtraError
from lightning_vlmeval.functional.bertscore import BERTScorer
from lightning_vlmeval.functional.encoder import find_encoder
from lightning_vlmeval.functional.scorer import Scorer, Scores, check_texts, ratio
from lightning_vlmeval.functional.wordnet import find_wordnet
from lightning_vlmeval.metrics import (
    AnswerScore,
    BLEUScore,
    CHRFScore,
    CIDErScore,
    GroundingF1,
    GroundingIoU,
    GroundingScore,
    METEORScore,
    OutputHealth,
    ROUGEScore,
    StructuredOutputScore,
)
from lightning_vlmeval.metrics.table_metric import TableMetric
from tests.metrics.conformance import Case


@dataclass(frozen=True)
class OverlapScorer(Scorer):
    """The smallest scorer: F1 over sets of words."""

    name = "overlap"
    columns = ("matched", "predicted", "expected")
    keys = ("f1",)

    def rows(self, preds, target, *, prompts=None, truncated=None):
        preds, target = check_texts(preds, target)
        sets = [(set(p.split()), set(t[0].split())) for p, t in zip(preds, target, strict=True)]
        rows = [[len(p & t) / 3, len(p) / 3, len(t) / 3] for p, t in sets]  # not whole numbers
        return np.array(rows, dtype=np.float64).reshape(-1, 3)

    def from_sums(self, sums) -> Scores:
        return {"f1": ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])}


_rng = np.random.default_rng(0)
_WORDS = ("a", "red", "car", "on", "the", "street", "stands", "two", "dogs", "run", "fast", "")


def _sentence(length: int) -> str:
    return " ".join(_rng.choice(_WORDS, size=length))


def _boxes(count: int) -> np.ndarray:
    corner = _rng.uniform(0, 50, (count, 2))
    return np.hstack([corner, corner + _rng.uniform(5, 40, (count, 2))])


PREDS = [_sentence(n) for n in (3, 0, 5, 7, 1, 4, 9)]
TARGET = [_sentence(n) for n in (3, 2, 5, 6, 1, 8, 4)]
TARGET[3] = PREDS[3]
REFERENCES = [[text, _sentence(4)] for text in TARGET]
PHRASES = ["left car", "red car", "dog"]
BOXES = [{"boxes": _boxes(n), "labels": PHRASES[:n]} for n in (3, 2, 1, 0, 3, 0, 2)]
FOUND = [
    {"boxes": boxes["boxes"] + _rng.normal(0, 2, boxes["boxes"].shape), "labels": boxes["labels"]}
    for boxes in BOXES
]
FOUND[3] = {"boxes": _boxes(1), "labels": ["cat"]}
ANSWERS = ["two", "yes", "No.", "B", "3.5", "", "the red car"]
CHOICES = [["2", "two"], "yes", "yes", "(B)", "3.4", "none", ["car", "red car"]]
ILL = [*ANSWERS[:5], "ha " * 300, "<think> is it"]
EXTRA = {"groups": ["i0", "i0", "i1", "i2", "i2", "i2", "i3"]}

CASES = [
    Case("overlap", lambda: TableMetric(OverlapScorer()), PREDS, TARGET, {}),
    Case("grounding", GroundingScore, FOUND, BOXES, EXTRA),
    Case("grounding f1", GroundingF1, FOUND, BOXES, {}),
    Case("grounding iou", GroundingIoU, FOUND, BOXES, {}),
    Case("bleu", BLEUScore, PREDS, REFERENCES, EXTRA),
    Case("chrf", CHRFScore, PREDS, REFERENCES, {}),
    Case("rouge", ROUGEScore, PREDS, REFERENCES, {}),
    Case("cider", CIDErScore, PREDS, REFERENCES, {}),
    Case("answers", AnswerScore, ANSWERS, CHOICES, {}),
    Case(
        "health",
        OutputHealth,
        ILL,
        ILL,
        {"prompts": ["how many?"] * 7, "truncated": [False, True] + [False] * 5},
    ),
]
DEFECT = {"type": str, "count": int, "place": {"x": float}}
RECORDS = [{"type": "dent", "count": n, "place": {"x": n / 3}} for n in range(7)]
DOCUMENTS = [
    '{"type": "dent", "count": 0, "place": {"x": 0.0}}',
    '```json\n{"type": "dent", "count": 1, "place": {"x": 0.5}}\n```',
    '{"type": "dent", "count": "2"}',
    "{'type': 'scratch', 'count': 3, 'place': {'x': 1}",
    "",
    "There is a dent.",
    '{"type": "dent", "count": 6, "place": {"x": 2.0}, "colour": "red"}',
]
CASES.append(
    Case(
        "structured",
        lambda: StructuredOutputScore(schema=DEFECT),
        DOCUMENTS,
        RECORDS,
        EXTRA,
    )
)
try:
    find_wordnet()
except MissingExtraError:
    pass
else:
    CASES.append(Case("meteor", METEORScore, PREDS, REFERENCES, {}))
if find_encoder() is not None:
    # One text at a time: the last digits of an encoder's output depend on what else is in a batch.
    alone = BERTScorer(batch_tokens=1)
    CASES.append(Case("bertscore", lambda: TableMetric(alone), PREDS, REFERENCES, {}))
