"""LightningCLI makes the callback, with every option, from YAML alone; saved, it gives the same."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_vlmeval import VLMEvalCallback

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "lightning_vlmeval" / "demo" / "checkpoint"

# No option is at its default.
OPTIONS: dict[str, Any] = {
    "task": ["freeform", "vqa"],
    "metrics": ["structured", "health", "answers"],
    "iou_threshold": 0.75,
    "box_coordinates": "xywh",
    "box_format": "qwen3-vl",
    "output_format": r"^count: (?P<count>\d+)\.$",
    "schema": {"type": "object", "properties": {"count": {"type": "string"}}},
    "required_fields": ["count"],
    "encoder": "no-such-folder",  # which no metric here asks for
    "output_keys": {"target": "target"},
    "generate": "answers",
    "generate_samples": 4,
    "generate_whole_every": 2,
    "training_samples": 2,
    "monitor": "loss_of_validation",
    "evaluate_untrained": True,
    "patience": 2,
    "min_rise": 0.5,
    "noise_factor": 3.0,
    "stop_on_overfitting": True,
    "intervals": False,
    "log_losses": False,
    "diagnose": False,
    "bands": {"structured/format_compliance": [0.2, 0.4]},
    "baseline": "no-such-run",  # which nobody reads who does not diagnose
    "training_phrases": {"can": 3},
    "store": "runs",
    "images": "none",
    "max_images": 3,
    "report": False,
    "tensorboard_images": 2,
    "tensorboard_layout": False,
    "print_results": False,
    "name": "mine",
}


def test_no_option_is_left_out_and_none_is_at_its_default() -> None:
    parameters = inspect.signature(VLMEvalCallback).parameters
    assert list(OPTIONS) == list(parameters)
    assert [name for name, one in parameters.items() if one.default == OPTIONS[name]] == []


def run(package: str, folder: Path, **changed: Any) -> list[dict[str, Any]]:
    """What the fit from the file, and that from the configuration it saved, have to tell."""
    config = {
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 2,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "callbacks": [
                {
                    "class_path": "lightning_vlmeval.VLMEvalCallback",
                    "init_args": {**OPTIONS, **changed},
                }
            ],
        }
    }
    (folder / "given.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.callback.cli_app", package, "given.yaml", "told"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "saved.yaml").read_text() == (folder / "again.yaml").read_text()
    printed, saved = (
        yaml.safe_load((folder / f"{n}.yaml").read_text()) for n in ("printed", "saved")
    )
    assert printed["trainer"]["callbacks"] == saved["trainer"]["callbacks"]
    return [json.loads(line) for line in (folder / "told").read_text().splitlines()]


def test_every_option(tmp_path: Path) -> None:
    first, again = run("pytorch_lightning", tmp_path, training_samples=0)
    assert first["options"] == again["options"]
    assert repr(first["history"]) == repr(again["history"])
    assert first["verdict"] == again["verdict"]
    given = {**OPTIONS, "training_samples": 0}
    assert list(first["options"]) == list(given)
    for name in set(given) - {"schema", "output_keys"}:
        assert first["options"][name] == repr(given[name])
    assert first["metrics"] == ["structured", "health", "answers"]
    assert "format:regex" in first["signatures"][0]
    assert [one["step"] for one in first["history"]] == [0, 3, 6]
    said = [one["accounting"][""].split(",")[0] for one in first["history"]]
    assert said == ["6 of 6 samples", "4 of 4 samples", "6 of 6 samples"]
    values = first["history"][-1]["values"]
    assert values["val/structured/format_compliance"] == pytest.approx(1 / 3)
    assert first["history"][-1]["intervals"] == {}
    stored = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert stored == ["vlmeval-mine", "vlmeval-mine-1"], "the second run, and the first moved aside"


def test_objects_in_a_configuration(tmp_path: Path) -> None:
    """A `Generator`, metrics with options of their own, and a function by its path."""
    pytest.importorskip("transformers", minversion="5.6", reason="the demo's tokenizer needs 5.6")
    first, again = run(
        "lightning.pytorch",
        tmp_path,
        task="freeform",
        metrics=[
            "structured",
            {
                "class_path": "lightning_vlmeval.metrics.BLEUScore",
                "init_args": {"lowercase": True},
            },
        ],
        box_format=None,
        output_format="json.loads",
        schema=None,
        generate={
            "class_path": "lightning_vlmeval.Generator",
            "init_args": {"processor": str(CHECKPOINT), "max_new_tokens": 3},
        },
        generate_samples=None,
        generate_whole_every=None,
    )
    assert repr(first["history"]) == repr(again["history"])
    assert first["metrics"] == ["structured", "bleu"]
    assert "json.decoder" in first["signatures"][0] or "json.loads" in first["signatures"][0]
    assert "case:lc" in first["signatures"][1]
    assert first["history"][-1]["accounting"] == {
        "": "6 of 6 samples, 0 duplicates dropped, 0 missing"
    }
    assert "train/text/bleu" in first["history"][-1]["values"]
