"""What the callback stored, scored again from its answers: the same values to the last bit."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from lightning_vlmeval import Run, VLMEvalCallback
from lightning_vlmeval.cli.main import OK, main
from tests.callback.modules import QUIET, Finder, loader
from tests.callback.test_freeform import Reporter

SCHEMA = {"defect": str, "count": int}


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize(
    ("module", "options", "loaders"),
    [
        (Finder, {"task": "phrase_grounding", "iou_threshold": 0.7}, 1),
        (Finder, {"task": "phrase_grounding"}, 2),
        (
            Reporter,
            {"task": "freeform", "metrics": ["structured", "bleu", "health"], "schema": SCHEMA},
            1,
        ),
    ],
    ids=["boxes", "two dataloaders", "objects"],
)
def test_stored_answers_give_the_values_of_the_run(
    module: Any,
    options: dict[str, Any],
    loaders: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    callback = VLMEvalCallback(**options, store=str(tmp_path), print_results=False)
    trainer = pl.Trainer(**QUIET, max_epochs=2, callbacks=[callback])
    trainer.fit(module(), loader(4), [loader(5) for _ in range(loaders)])
    run = Run(tmp_path)
    assert len(run.evaluations) == 3
    for position in range(3):
        stored = {key.removeprefix("val/"): one for key, one in run.scores(position).items()}
        capsys.readouterr()
        arguments = ["score", str(tmp_path), "--evaluation", str(position), "--format", "json"]
        assert main(arguments) == OK
        found = json.loads(capsys.readouterr().out)["scores"]
        again = {key: math.nan if one is None else one for key, one in found.items()}
        assert again == pytest.approx(stored, rel=0, abs=0, nan_ok=True)
