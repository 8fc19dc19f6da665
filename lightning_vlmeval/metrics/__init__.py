"""torchmetrics `Metric` subclasses over the scorers of `functional`."""

from lightning_vlmeval.metrics.answers import AnswerScore
from lightning_vlmeval.metrics.bertscore import BERTScore
from lightning_vlmeval.metrics.grounding import (
    BoxAnswers,
    GroundingF1,
    GroundingIoU,
    GroundingScore,
)
from lightning_vlmeval.metrics.health import OutputHealth
from lightning_vlmeval.metrics.structured import StructuredOutputScore
from lightning_vlmeval.metrics.table_metric import TableMetric
from lightning_vlmeval.metrics.text import (
    BLEUScore,
    CHRFScore,
    CIDErScore,
    METEORScore,
    ROUGEScore,
)

__all__ = [
    "AnswerScore",
    "BERTScore",
    "BLEUScore",
    "BoxAnswers",
    "CHRFScore",
    "CIDErScore",
    "GroundingF1",
    "GroundingIoU",
    "GroundingScore",
    "METEORScore",
    "OutputHealth",
    "ROUGEScore",
    "StructuredOutputScore",
    "TableMetric",
]
