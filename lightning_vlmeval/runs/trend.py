"""Where a score is going from run to run, from the rows that the runs stored."""

from collections.abc import Sequence

from lightning_vlmeval.analysis.run_trend import paired_run_trend
from lightning_vlmeval.analysis.trend import Trend
from lightning_vlmeval.errors import VLMEvalError
from lightning_vlmeval.functional.registry import recorded_scorer
from lightning_vlmeval.keys import log_key, metric_key
from lightning_vlmeval.runs.directions import better
from lightning_vlmeval.runs.run import Run


def trend_of_runs(evaluations: Sequence[tuple[Run, int]], key: str) -> Trend | None:
    """The trend of a score across runs on one validation set, paired by sample.

    Args:
        evaluations: Of each run the evaluation to look at, in the order in which the runs were made.
            All have the same validation set, and the score's recipe in common.
        key: The score's log key, ``val/grounding/f1``.

    Returns:
        None where the score is not made of stored rows, or neither way is better, or the rows cannot
        be read.
    """
    if not evaluations or better(key) == "neither":
        return None
    first = evaluations[0][0]
    try:
        for loader in first.loaders:
            for metric, record in first.record["scorers"].items():
                scorer = recorded_scorer(record)
                for short in scorer.keys:
                    if log_key("val", metric_key(metric, short), loader or None) == key:
                        return paired_run_trend(
                            scorer,
                            [run.table(position, metric, loader) for run, position in evaluations],
                            short,
                            higher_is_better=better(key) == "higher",
                        )
    except VLMEvalError:
        return None
    return None
