"""What goes to MLflow beside the scalars: pictures, the diagnosis and the report, as artifacts.

Each function takes a Lightning `MLFlowLogger`, of either package, or what looks like one.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_vlmeval.reporting.drawing import draw_answer, pictured
from lightning_vlmeval.reporting.tensorboard_events import diagnosis_markdown
from lightning_vlmeval.runs.run import Run

_REFUSED = re.compile(r"[^A-Za-z0-9_. -]")  # of MLflow's names; "/" makes folders


def log_pictures(logger: Any, run: Run, most: int, tag: str = "vlmeval") -> int:
    """Store the last answers of a few samples as pictures, the same samples at each evaluation.

    Args:
        logger: An `MLFlowLogger`.
        run: The run, whose thumbnails are drawn on.
        most: How many pictures at most.
        tag: The folder.

    Returns:
        How many were stored.

    Raises:
        StoreError: The run cannot be read.
    """
    place, stored = artifact_folder(run.evaluations[-1], tag), 0
    for picture, sample in pictured(run, most):
        drawn = draw_answer(picture, sample)
        logger.experiment.log_image(logger.run_id, drawn, f"{place}/sample_{stored}.jpg")
        stored += 1
    return stored


def log_diagnosis(logger: Any, summary: Mapping[str, Any], tag: str = "vlmeval") -> bool:
    """Store what an evaluation says as Markdown, in which texts of others stay texts.

    Args:
        logger: An `MLFlowLogger`.
        summary: The evaluation, as the run's folder has it.
        tag: The folder.

    Returns:
        Whether there was something to say.
    """
    text = diagnosis_markdown(summary)
    if text:
        place = artifact_folder(summary, tag)
        logger.experiment.log_text(logger.run_id, f"{text}\n", f"{place}/diagnosis.md")
    return bool(text)


def log_report(logger: Any, path: Path, tag: str = "vlmeval") -> None:
    """Store the report, which MLflow's page of artifacts shows.

    Args:
        logger: An `MLFlowLogger`.
        path: The report.
        tag: The folder.
    """
    logger.experiment.log_artifact(logger.run_id, str(path), _REFUSED.sub("_", tag))


def artifact_folder(summary: Mapping[str, Any], tag: str) -> str:
    """The folder of an evaluation; several evaluations may share a step.

    Args:
        summary: The evaluation: `index` and `step`.
        tag: The folder that it is in; what MLflow takes in no name becomes "_".

    Example:
        >>> artifact_folder({"index": 3, "step": 60}, "vlmeval-a@b")
        'vlmeval-a_b/evaluation_0003_step_60'
    """
    index, step = summary.get("index") or 0, summary.get("step") or 0
    return f"{_REFUSED.sub('_', tag)}/evaluation_{index:04d}_step_{step}"
