"""Scorers from their records: the same options, the same scores of the same rows."""

import json
import re

import numpy as np
import pytest

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.answers import AnswerScorer
from lightning_vlmeval.functional.bertscore import BERTScorer
from lightning_vlmeval.functional.bleu import BLEUScorer
from lightning_vlmeval.functional.box_answers import BoxAnswerScorer
from lightning_vlmeval.functional.chrf import CHRFScorer
from lightning_vlmeval.functional.cider import CIDErScorer
from lightning_vlmeval.functional.comparators import Number
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.health import HealthScorer
from lightning_vlmeval.functional.losses import LossScorer
from lightning_vlmeval.functional.meteor import METEORScorer
from lightning_vlmeval.functional.registry import (
    SCORERS,
    recorded_scorer,
    scorer_class,
    scorer_record,
)
from lightning_vlmeval.functional.rouge import ROUGEScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.table import Table
from tests.analysis.scorers import MicroF1
from tests.functional.test_wordnet import installed_wordnet

PLAIN = [
    AnswerScorer(normalize=False),
    BERTScorer("some/encoder", num_layers=3, device="cpu"),
    BLEUScorer(tokenize="char", smooth_method="floor", smooth_value=0.2, lowercase=True),
    BoxAnswerScorer(),
    CHRFScorer(word_order=2, beta=3),
    CIDErScorer(),
    ErrorBudgetScorer(iou_threshold=0.75, box_coordinates="xywh"),
    GroundingScorer(iou_threshold=0.75, box_coordinates="xywh", assignment="masked"),
    HealthScorer(),
    LossScorer(),
    METEORScorer(alpha=0.8),
    ROUGEScorer(rouge_keys=("rouge1", "rougeL"), use_stemmer=True),
    StructuredOutputScorer(
        "csv", {"count": int, "kind?": {"dent", "scratch"}}, ["count"], {"kind": "text"}
    ),
]

# Each with the option that is code, and texts for it.
WITH_CODE = [
    (METEORScorer(tokenize=str.split), "tokenize"),
    (CIDErScorer(tokenize=str.split), "tokenize"),
    (ROUGEScorer(tokenizer=str.split), "tokenizer"),
    (StructuredOutputScorer(re.compile(r"(?P<kind>\w+)")), "format"),
    (StructuredOutputScorer(comparators={"a": Number(absolute=1)}), "comparators"),
]


def skip_without_wordnet(scorer: Scorer) -> None:
    if isinstance(scorer, METEORScorer) and installed_wordnet() is None:
        pytest.skip("METEOR needs WordNet's database: python -m nltk.downloader wordnet")


def test_every_scorer_is_tried() -> None:
    assert {scorer.name for scorer in PLAIN} == set(SCORERS)


@pytest.mark.parametrize("scorer", PLAIN, ids=lambda scorer: scorer.name)
def test_a_record_makes_the_scorer_again(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_without_wordnet(scorer)
    if isinstance(scorer, BERTScorer):  # the signature would load the encoder
        monkeypatch.setattr(BERTScorer, "options", lambda self: (("model", "x"),))
    record = json.loads(json.dumps(scorer_record(scorer)))
    assert record["signature"] == scorer.signature()
    again = recorded_scorer(record, rescoring=True)
    assert again.signature() == scorer.signature()
    assert again.columns == scorer.columns
    if not isinstance(scorer, StructuredOutputScorer):  # the short form became a JSON Schema
        assert again == scorer
    assert "device" not in record["options"]


@pytest.mark.parametrize(("scorer", "option"), WITH_CODE, ids=lambda x: getattr(x, "name", x))
def test_stored_rows_are_scored_without_the_code(scorer: Scorer, option: str) -> None:
    skip_without_wordnet(scorer)
    preds, target = ["dent", '{"a": 1}', "scratch"], ["dent", '{"a": 1}', "dent"]
    if option in {"format", "comparators"}:
        preds = target = ["dent"] * 3 if option == "format" else ['{"a": 1}'] * 3
    rows = scorer.rows(preds, target)
    table = Table(
        scorer.columns, ("1", "2", "3"), rows, payloads=tuple(scorer.payloads(preds, target) or ())
    )
    record = json.loads(json.dumps(scorer_record(scorer)))
    assert record["unrecorded"] == [option]
    assert option not in record["options"]
    again = recorded_scorer(record)
    np.testing.assert_equal(again.score(table), scorer.score(table))
    message = f"The metric {scorer.name!r} cannot score again: its option {option!r} is code"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        recorded_scorer(record, rescoring=True)


def test_a_scorer_of_ones_own_is_recorded_by_its_signature() -> None:
    record = scorer_record(MicroF1())
    assert record == {"name": "micro", "options": None, "signature": "micro"}
    message = "The metric 'micro' cannot be made again from its record: it is not one of this pack"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        recorded_scorer(record)


def test_a_subclass_is_not_taken_for_the_scorer_itself() -> None:
    class Mine(LossScorer):
        pass

    assert scorer_record(Mine())["options"] is None


def test_errors() -> None:
    with pytest.raises(ConfigurationError, match=r"one of answers, bertscore, .*but got 'f1'"):
        scorer_class("f1")
    message = "but the record has 'iou': it was written by another version of this package"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        recorded_scorer({"name": "grounding", "options": {"iou": 0.5}})
    with pytest.raises(ConfigurationError, match="cannot be made again from its record"):
        recorded_scorer({})
