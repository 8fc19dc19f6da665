"""Free answers: JSON against objects, beside scores of the text."""

from typing import Any

import pytest
import pytorch_lightning as pl

from lightning_vlmeval import VLMEvalCallback
from lightning_vlmeval.errors import InputError
from tests.callback.modules import QUIET, Finder, loader

ANSWERS = [
    '{"defect": "dent", "count": 1}',
    '```json\n{"defect": "dent", "count": 1}\n```',
    '{"defect": "scratch", "count": 1}',
    "It has a dent.",
]


class Reporter(Finder):
    target: Any = {"defect": "dent", "count": 1}  # noqa: RUF012  a class in a test

    def answers(self, batch: dict[str, Any]) -> dict[str, Any]:
        places = batch["index"].tolist()
        return {
            "preds": [ANSWERS[i % 4] for i in places],
            "target": [self.target for _ in places],
        }


def values(module: Any, **kwargs: Any) -> dict[str, float]:
    callback = VLMEvalCallback(task="freeform", print_results=False, **kwargs)
    trainer = pl.Trainer(**QUIET, callbacks=[callback])
    (found,) = trainer.validate(module, loader(4), verbose=False)
    return found


def test_json_against_objects() -> None:
    schema = {"defect": str, "count": int}
    found = values(Reporter(), metrics=["structured", "bleu", "health"], schema=schema)
    assert found["val/structured/format_compliance"] == 0.5
    assert found["val/structured/format_compliance_lenient"] == 0.75
    assert found["val/structured/cause_fence"] == 0.25
    assert found["val/structured/schema_adherence"] == 0.75
    assert found["val/structured/field_recall"] == 5 / 8
    assert 0 < found["val/text/bleu"] < 1, "the text of the object is the reference"
    assert found["val/health/healthy"] == 1


def test_prose_needs_no_format() -> None:
    class Prose(Reporter):
        target = "It has a dent."

    found = values(Prose(), output_format=None, encoder=None)
    assert not any("structured" in key for key in found)
    assert "val/text/bleu" in found


def test_prose_where_json_is_expected_says_what_to_do() -> None:
    class Prose(Reporter):
        target = "It has a dent."

    with pytest.raises(InputError, match="sample 'scene0'"):
        values(Prose(), metrics=["structured"])


def test_scores_of_healthy_answers() -> None:
    class Ill(Reporter):
        def answers(self, batch: dict[str, Any]) -> dict[str, Any]:
            found = super().answers(batch)
            found["preds"] = ["" if pred.startswith("It") else pred for pred in found["preds"]]
            return found

    schema = {"defect": str, "count": int}
    found = values(Ill(), metrics=["structured", "bleu", "health"], schema=schema)
    assert found["val/health/healthy"] == 0.75
    assert found["val_healthy/structured/format_compliance"] == 2 / 3
    assert found["val_healthy/structured/field_f1"] == 5 / 6
    assert found["val_healthy/text/bleu"] > found["val/text/bleu"]
    assert not any("cause" in key for key in found if "val_healthy" in key)
    healthy = values(Reporter(), metrics=["structured", "health"])
    assert not any("healthy/" in key for key in healthy)
