"""What goes to TensorBoard's event file beside the scalars, kept light.

Each function takes the writer of a TensorBoard logger, `logger.experiment`. TensorBoard itself keeps
ten pictures and texts of each name; all answers of all evaluations are in the run's folder, which the
tab "VLM Eval" reads.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_BOOL,
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
    Status,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)

from lightning_vlmeval.reporting.drawing import draw_answer, jpeg, pictured
from lightning_vlmeval.reporting.markup import visible
from lightning_vlmeval.runs.run import Run

_PLUGIN = "vlmeval"  # as the tab is called
_MOST_FINDINGS = 5
_MOST_IDS = 5
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|>])")  # as TensorBoard's Markdown knows them


def write_marker(writer: Any) -> bool:
    """Mark a run, so that TensorBoard shows the tab "VLM Eval" and lets it read the run's folder.

    Args:
        writer: A TensorBoard writer.

    Returns:
        Whether the writer takes what TensorBoard itself writes; tensorboardX does not.
    """
    plugin = SummaryMetadata.PluginData(plugin_name=_PLUGIN, content=b"1")
    value = Summary.Value(
        tag=_PLUGIN,
        metadata=SummaryMetadata(plugin_data=plugin, data_class=DATA_CLASS_TENSOR),
        tensor=TensorProto(dtype=DT_STRING, string_val=[b"1"], tensor_shape=TensorShapeProto()),
    )
    return _add(writer, [value], 0)


def write_diagnosis(
    writer: Any, summary: Mapping[str, Any], tag: str = "vlmeval/diagnosis"
) -> bool:
    """Write what an evaluation says as a short text.

    Args:
        writer: A TensorBoard writer.
        summary: The evaluation: `verdict`, `findings` and `step`, as the run's folder has them.
        tag: The text's name.

    Returns:
        Whether there was something to write.
    """
    text = diagnosis_markdown(summary)
    if text:
        writer.add_text(tag, text, summary.get("step") or 0)
    return bool(text)


def diagnosis_markdown(summary: Mapping[str, Any]) -> str:
    r"""The verdict and the first findings in Markdown, in which texts of others stay texts.

    Args:
        summary: The evaluation: `verdict` and `findings`; either may be missing.

    Example:
        >>> finding = {"slug": "loose-boxes", "meaning": "Loose.", "advice": "Tighten <them>."}
        >>> print(diagnosis_markdown({"findings": [finding]}))
        **loose\-boxes** Loose\. Tighten &lt;them\>\.
    """
    parts = []
    verdict = summary.get("verdict")
    if isinstance(verdict, Mapping):
        parts.append(f"**{_plain(verdict.get('state'))}** {_plain(verdict.get('reason') or '')}")
    findings = list(summary.get("findings") or [])
    for finding in findings[:_MOST_FINDINGS]:
        ids = [_plain(name) for name in (finding.get("samples") or [])[:_MOST_IDS]]
        parts.append(
            f"**{_plain(finding.get('slug'))}** {_plain(finding.get('meaning') or '')} "
            f"{_plain(finding.get('advice') or '')}"
            + (f" Samples: {', '.join(ids)}" if ids else "")
        )
    if len(findings) > _MOST_FINDINGS:
        parts.append(f"{len(findings) - _MOST_FINDINGS} more: see the tab VLM Eval")
    return "\n\n".join(part.strip() for part in parts)


def write_pictures(
    writer: Any, run: Run, most: int = 8, tag: str = "vlmeval", step: int | None = None
) -> int:
    """Write the last answers of a few samples as pictures, the same samples at each evaluation.

    Args:
        writer: A TensorBoard writer.
        run: The run, whose thumbnails are drawn on.
        most: How many pictures at most.
        tag: What their names begin with.
        step: Where on the x axis; None for the evaluation's training step.

    Returns:
        How many were written.

    Raises:
        StoreError: The run cannot be read.
    """
    if step is None:
        step = run.evaluations[-1].get("step") or 0
    written = 0
    for picture, sample in pictured(run, most):
        drawn = draw_answer(picture, sample)
        image = Summary.Image(
            height=drawn.height, width=drawn.width, colorspace=3, encoded_image_string=jpeg(drawn)
        )
        if not _add(writer, [Summary.Value(tag=f"{tag}/sample_{written}", image=image)], step):
            break
        written += 1
    return written


def write_hparams(writer: Any, params: Mapping[str, Any], metrics: Sequence[str]) -> bool:
    """Write a run's hyperparameters for TensorBoard's table, without a point in any curve.

    The table shows the last value that each metric's own curve has.

    Args:
        writer: A TensorBoard writer.
        params: The hyperparameters; what is neither a number, a text nor a truth value is written as text.
        metrics: Tags of the values to show beside them.

    Returns:
        Whether the writer takes what TensorBoard itself writes.
    """
    start, infos = SessionStartInfo(), []
    for name, value in params.items():
        info = HParamInfo(name=str(name))
        field = start.hparams[str(name)]
        if isinstance(value, bool):
            field.bool_value, info.type = value, DATA_TYPE_BOOL
        elif isinstance(value, (int, float)) and math.isfinite(value):
            field.number_value, info.type = float(value), DATA_TYPE_FLOAT64
        else:
            field.string_value, info.type = visible(value), DATA_TYPE_STRING
        infos.append(info)
    shown = [MetricInfo(name=MetricName(tag=tag)) for tag in metrics]
    end = SessionEndInfo(status=Status.Value("STATUS_SUCCESS"))
    values = [
        _hparams_value(
            metadata.EXPERIMENT_TAG, experiment=Experiment(hparam_infos=infos, metric_infos=shown)
        ),
        _hparams_value(metadata.SESSION_START_INFO_TAG, session_start_info=start),
        _hparams_value(metadata.SESSION_END_INFO_TAG, session_end_info=end),
    ]
    return _add(writer, values, None)


def _hparams_value(tag: str, **content: Any) -> Any:
    data = HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
    plugin = SummaryMetadata.PluginData(
        plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString()
    )
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))


def _plain(text: Any) -> str:
    """A text that Markdown leaves alone, on one line."""
    line = _MARKDOWN.sub(r"\\\1", " ".join(visible(text).split()))
    return line.replace("&", "&amp;").replace("<", "&lt;")


def _add(writer: Any, values: Sequence[Any], step: int | None) -> bool:
    """Give values to the writer's file; whether it is one of TensorBoard's own."""
    get = getattr(writer, "_get_file_writer", None)
    if get is None or not any(
        kind.__module__.startswith("torch.") for kind in type(writer).__mro__
    ):
        return False
    for value in values:
        get().add_summary(Summary(value=[value]), step)
    return True
