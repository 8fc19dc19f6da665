"""Which metrics belong to which task, and how they are made from options."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torchmetrics import Metric

from lightning_vlmeval.errors import ConfigurationError, MissingExtraError
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.metrics.answers import AnswerScore
from lightning_vlmeval.metrics.bertscore import BERTScore
from lightning_vlmeval.metrics.grounding import BoxAnswers, GroundingScore
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
from lightning_vlmeval.session.predictions import imported

TASKS = {
    "phrase_grounding": ("grounding", "error_budget", "box_answers", "health"),
    "vqa": ("bertscore", "bleu", "meteor", "rouge", "answers", "health"),
    "freeform": ("structured", "bertscore", "bleu", "health"),
}
"""The metrics of each task."""

_OF_TEXTS = ("box_answers", "health")  # of boxes only where they come as texts

Options = Mapping[str, Any]

_MAKERS: dict[str, Callable[[Options], TableMetric]] = {
    "grounding": lambda o: GroundingScore(o["iou_threshold"], o["box_coordinates"]),
    "error_budget": lambda o: TableMetric(
        ErrorBudgetScorer(o["iou_threshold"], o["box_coordinates"])
    ),
    "box_answers": lambda _: BoxAnswers(),
    "bertscore": lambda o: BERTScore(o["encoder"]),
    "bleu": lambda _: BLEUScore(),
    "meteor": lambda _: METEORScore(),
    "rouge": lambda _: ROUGEScore(),
    "chrf": lambda _: CHRFScore(),
    "cider": lambda _: CIDErScore(),
    "answers": lambda _: AnswerScore(),
    "health": lambda _: OutputHealth(),
    "structured": lambda o: StructuredOutputScore(
        _output_format(o["output_format"]), o["schema"], o["required_fields"] or ()
    ),
}


def _output_format(given: Any) -> Any:
    """A format as `StructuredOutputScore` takes it: a dotted path is the function that it names."""
    if isinstance(given, str) and not given.startswith("^") and "." in given:
        return imported(given) or given  # which is then refused, with what else it may be
    return given or "json"


def make_metrics(
    tasks: Sequence[str],
    metrics: Sequence[str | Metric] | Mapping[str, Metric] | None,
    **options: Any,
) -> tuple[dict[str, Metric], list[str]]:
    """The metrics by name, and what a person should know of those left out.

    A default metric that needs something which is not installed is left out with a note; a metric
    that was asked for by name raises.

    Args:
        tasks: Names of `TASKS`.
        metrics: Names or objects, or objects by name; None for those of the tasks.
        **options: The options of all metrics.

    Raises:
        ConfigurationError: A task or a metric is unknown.
        MissingExtraError: A metric that was asked for needs something that is not installed.
    """
    for task in tasks:
        if task not in TASKS:
            raise ConfigurationError(
                f"Expected `task` to be one of {', '.join(TASKS)}, but got {task!r}"
            )
    if not tasks:
        raise ConfigurationError("Expected `task` to name at least one task, but got none")
    if isinstance(metrics, Mapping):
        return {str(name): _checked(metric) for name, metric in metrics.items()}, []
    if metrics is not None:
        made = [_named(metric, options) for metric in metrics]
        if len({name for name, _ in made}) < len(made):
            raise ConfigurationError(
                "Expected each of `metrics` once, but got "
                f"{[name for name, _ in made]}; give a dict to name two of a kind"
            )
        return dict(made), []
    return _defaults(tasks, options)


def _defaults(tasks: Sequence[str], options: Options) -> tuple[dict[str, Metric], list[str]]:
    chosen: dict[str, Metric] = {}
    notes = []
    for name in dict.fromkeys(name for task in tasks for name in _metrics_of(task, options)):
        try:
            chosen[name] = _MAKERS[name](options)
        except MissingExtraError as error:
            if options.get("encoder") and name == "bertscore":
                raise
            notes.append(f"VLMEvalCallback: {name} is left out: {error}")
    return chosen, notes


def _metrics_of(task: str, options: Options) -> list[str]:
    left_out: tuple[str, ...] = ()
    if task == "phrase_grounding" and not options["box_format"]:
        left_out = _OF_TEXTS
    if task == "freeform" and options["output_format"] is None:
        left_out = ("structured",)
    return [name for name in TASKS[task] if name not in left_out]


def _named(metric: str | Metric, options: Options) -> tuple[str, Metric]:
    if isinstance(metric, str):
        if metric not in _MAKERS:
            raise ConfigurationError(
                f"Expected each of `metrics` to be one of {', '.join(_MAKERS)} or a metric, "
                f"but got {metric!r}"
            )
        return metric, _MAKERS[metric](options)
    _checked(metric)
    if isinstance(metric, TableMetric):
        return metric.scorer.name, metric
    return type(metric).__name__.lower(), metric


def _checked(metric: Metric) -> Metric:
    """Refuse what torchmetrics cannot gather from several ranks: it hangs or is wrong in silence."""
    if not isinstance(metric, Metric):
        raise ConfigurationError(
            f"Expected each of `metrics` to be a torchmetrics `Metric`, but got {metric!r}"
        )
    for state, reduction in metric._reductions.items():
        if isinstance(metric._defaults[state], list) and reduction is None:
            raise ConfigurationError(
                f"Expected metrics whose states torchmetrics can gather, but {type(metric).__name__} "
                f"keeps the list {state!r} without a reduction, which hangs or is wrong when ranks "
                f"hold unlike numbers of samples. Use this package's metric of the kind"
            )
    return metric


def task_routes(
    tasks: Sequence[str], metrics: Mapping[str, Metric], box_texts: bool = True
) -> dict[str, frozenset[str]]:
    """Which tasks' samples each metric is given, where there are several tasks.

    Args:
        tasks: The tasks.
        metrics: The metrics by name.
        box_texts: Whether boxes come as texts.
    """
    if len(tasks) < 2:
        return {}
    options = {"box_format": box_texts, "output_format": "json"}
    of_task = {task: _metrics_of(task, options) for task in tasks}
    routes = {name: frozenset(t for t in tasks if name in of_task[t]) for name in metrics}
    boxes = frozenset({"phrase_grounding"})
    texts = frozenset(tasks) - boxes
    return {
        name: route or (boxes if isinstance(metrics[name], GroundingScore) else texts)
        for name, route in routes.items()
    }


def structured_scorer(metrics: Mapping[str, Metric]) -> StructuredOutputScorer | None:
    """What reads structured answers; None where no metric does.

    Args:
        metrics: The metrics by name.
    """
    scorers = (getattr(metric, "scorer", None) for metric in metrics.values())
    return next((one for one in scorers if isinstance(one, StructuredOutputScorer)), None)


def task_of(target: object, tasks: Sequence[str]) -> str:
    """The task of a sample that does not name it, from its target.

    A text, or several, is of the first task about texts; anything else is boxes.

    Args:
        target: A text or several, or boxes.
        tasks: The tasks there are.
    """
    texts = [task for task in tasks if task != "phrase_grounding"]
    several = isinstance(target, (list, tuple)) and bool(target) and isinstance(target[0], str)
    if texts and (isinstance(target, str) or several):
        return texts[0]
    objects = isinstance(target, Mapping) and "boxes" not in target
    if "freeform" in tasks and objects:
        return "freeform"
    return "phrase_grounding" if "phrase_grounding" in tasks else texts[0]
