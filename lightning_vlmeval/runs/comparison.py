"""Two runs, or two evaluations of one, compared sample by sample."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lightning_vlmeval.analysis.comparability import check_losses
from lightning_vlmeval.analysis.comparison import (
    Comparison,
    Difference,
    Test,
    compare_tables,
    holm,
)
from lightning_vlmeval.errors import ComparisonError, ConfigurationError
from lightning_vlmeval.functional.losses import LossScorer
from lightning_vlmeval.functional.registry import recorded_scorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.keys import metric_key
from lightning_vlmeval.runs.directions import better
from lightning_vlmeval.runs.files import StoreError, number_or_nan
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.table import Table

PRIMARY = {
    "grounding/f1",
    "grounding/mean_iou",
    "text/bertscore_f1",
    "text/bleu",
    "text/meteor",
    "text/rougeL_fmeasure",
    "answers/exact_match",
    "answers/token_f1",
    "structured/format_compliance",
    "structured/schema_adherence",
    "structured/field_f1",
}
"""The scores that decide, where nothing else is said."""

_LOSS = "loss"


@dataclass(frozen=True)
class Side:
    """One of the two evaluations.

    Args:
        run: The run's name.
        index: The evaluation's index.
        step: Its training step; None where it is not known.
    """

    run: str
    index: int
    step: int | None


@dataclass(frozen=True)
class RunComparison:
    """B against A, on the samples that both have.

    Args:
        a: The evaluation to compare with.
        b: The evaluation to judge.
        metrics: What `compare_tables` found, by metric; with several dataloaders by dataloader and
            metric, ``shelf/grounding``.
        differences: All differences by key, such as ``grounding/f1``; the p-values of the primary
            ones are corrected by Holm's method for the number of all of them.
        notes: What was not compared, and why.
    """

    a: Side
    b: Side
    metrics: dict[str, Comparison]
    differences: dict[str, Difference]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> list[str]:
        """The primary scores that are worse in B, by a test at the level of the comparison."""
        return [key for key in self.differences if self.verdict(key) == "worse" and self._main(key)]

    def verdict(self, key: str) -> Literal["better", "worse", "higher", "lower", "undecided"]:
        """What B is in a score.

        Args:
            key: One of `differences`.
        """
        direction, wanted = self.differences[key].direction, better(key)
        if direction == "undecided" or wanted == "neither":
            return direction
        return "better" if direction == wanted else "worse"

    def _main(self, key: str) -> bool:
        return self.differences[key].adjusted_p_value is not None


def compare(
    run_a: Run | str | Path,
    run_b: Run | str | Path,
    evaluation_a: int = -1,
    evaluation_b: int = -1,
    *,
    metrics: Sequence[str] | None = None,
    primary: Sequence[str] | None = None,
    level: float = 0.95,
    method: Test = "delta",
) -> RunComparison:
    """B against A, paired by sample id: differences, intervals, p-values, fixed and broken samples.

    Evaluations compare where the validation sets have one fingerprint and the scores one signature;
    losses where the models are of one class and size. Samples that only one of them has are left out.

    | of the two runs | result |
    |---|---|
    | other validation sets, or signatures of a metric that differ | ComparisonError says in what |
    | a metric that only one has, or not of this package | left out, with a note |
    | no metric left | ComparisonError |

    Args:
        run_a: The run to compare with, or its folder.
        run_b: The run to judge, or its folder.
        evaluation_a: The position of A's evaluation, -1 for the last.
        evaluation_b: That of B's.
        metrics: The metrics to compare, such as ``grounding``; None for all that both have.
        primary: The scores that were chosen beforehand to decide, such as ``grounding/f1``; None for
            those of `PRIMARY`.
        level: The confidence of the intervals.
        method: How to find the p-values: ``delta``, Student's t of the samples' influences, or
            ``randomisation``, random swaps of A and B.

    Raises:
        ComparisonError: They are not comparable; the message says what differs.
        ConfigurationError: A metric or a score is unknown.
        StoreError: A run cannot be read.

    Example:
        >>> import tempfile
        >>> from lightning_vlmeval.functional.answers import AnswerScorer
        >>> from lightning_vlmeval.runs.record import run_record
        >>> from lightning_vlmeval.runs.store import RunStore
        >>> scorer, folder = AnswerScorer(), tempfile.mkdtemp()
        >>> store = RunStore(folder, run_record("first", ["vqa"], {"answers": scorer}))
        >>> for index, answers in enumerate([["cat", "cow", "pig"], ["cat", "dog", "cow"]]):
        ...     rows = scorer.rows(answers, ["cat", "dog", "cow"])
        ...     samples = [{"id": n, "rows": {"answers": row}} for n, row in zip("xyz", rows)]
        ...     store.write({"index": index, "step": index}, samples)
        >>> found = compare(folder, folder, 0, 1).differences["answers/exact_match"]
        >>> round(found.value_a, 2), found.value_b, found.flips.fixed
        (0.33, 1.0, ('y', 'z'))
    """
    a, b = (run if isinstance(run, Run) else Run(run) for run in (run_a, run_b))
    pair = _Pair(a, b, evaluation_a, evaluation_b)
    notes: list[str] = []
    found: dict[str, tuple[str, str, Comparison]] = {}
    for loader in pair.loaders():
        for metric, scorer in pair.scorers(metrics, notes):
            compared = pair.compared(metric, scorer, loader, level, method)
            if compared is not None:
                name = f"{loader}/{metric}" if loader else metric
                found[name] = (loader, metric, compared)
    if not found:
        why = f": {'; '.join(notes)}" if notes else ""
        raise ComparisonError(
            f"Expected a metric whose rows both runs have, but there is none{why}"
        )
    differences = {
        (f"{loader}/" if loader else "") + metric_key(metric, key): one
        for loader, metric, compared in found.values()
        for key, one in compared.differences.items()
    }
    return RunComparison(
        a=pair.side(0),
        b=pair.side(1),
        metrics={name: compared for name, (_, _, compared) in found.items()},
        differences=_corrected(differences, primary, level),
        notes=tuple(notes),
    )


class _Pair:
    """Two evaluations of two runs."""

    def __init__(self, a: Run, b: Run, evaluation_a: int, evaluation_b: int) -> None:
        self.runs, self.positions = (a, b), (evaluation_a, evaluation_b)
        self.samples = (
            a.samples(evaluation_a),
            b.samples(evaluation_b),
        )  # raises where there is none
        self.summaries = (a.evaluations[evaluation_a], b.evaluations[evaluation_b])

    def side(self, place: int) -> Side:
        summary = self.summaries[place]
        return Side(self.runs[place].name, int(summary.get("index", 0)), summary.get("step"))

    def loaders(self) -> list[str]:
        """The dataloaders that both evaluations have."""
        mine, theirs = (
            dict.fromkeys(str(sample.get("loader", "")) for sample in samples)
            for samples in self.samples
        )
        shared = [name for name in mine if name in theirs]
        if not shared:
            raise ComparisonError(
                f"Expected the same validation dataloaders, but got {sorted(mine)} and "
                f"{sorted(theirs)}"
            )
        return shared

    def scorers(
        self, metrics: Sequence[str] | None, notes: list[str]
    ) -> Iterator[tuple[str, Scorer]]:
        """The metrics that both runs have, made again; the others are noted."""
        mine, theirs = (run.record["scorers"] for run in self.runs)
        for name in [*dict.fromkeys([*mine, *theirs])] if metrics is None else metrics:
            if name == _LOSS:
                continue
            try:
                if name in mine and name in theirs:
                    yield name, recorded_scorer(mine[name])
                    continue
                here = [run.name for run in self.runs if name in run.record["scorers"]]
                why = f"the metric {name!r} is only in {here[0]}" if here else f"no metric {name!r}"
            except ConfigurationError as error:
                why = str(error)
            if metrics is not None:
                raise ConfigurationError(f"Expected a metric of both runs, but: {why}")
            if why not in notes:
                notes.append(why)
        if metrics is None or _LOSS in metrics:
            try:
                check_losses(self._architectures())
                yield _LOSS, LossScorer()
            except ComparisonError as error:
                if metrics is not None:
                    raise
                self._note(str(error), notes)

    def _note(self, why: str, notes: list[str]) -> None:
        """Say once that losses are not compared, where there are any."""
        known = [any("loss" in sample for sample in samples) for samples in self.samples]
        if all(known) and why not in notes:
            notes.append(why)

    def _architectures(self) -> tuple[str, str]:
        a, b = (
            f"{model.get('class')} of {model.get('parameters')} parameters"
            for model in (run.record["model"] for run in self.runs)
        )
        return a, b

    def compared(
        self, metric: str, scorer: Scorer, loader: str, level: float, method: Test
    ) -> Comparison | None:
        """The comparison of a metric; None where an evaluation has no rows of it."""
        if metric == _LOSS:
            tables = [self._loss_table(samples, loader, scorer) for samples in self.samples]
            signatures = None
        else:
            tables = [
                run.table(position, metric, loader)
                for run, position in zip(self.runs, self.positions, strict=True)
            ]
            recorded = [str(run.record["scorers"][metric]["signature"]) for run in self.runs]
            signatures = (recorded[0], recorded[1])
        if not all(map(len, tables)):
            return None
        try:
            return compare_tables(
                scorer,
                *tables,
                level=level,
                method=method,
                signatures=signatures,
                fingerprints=self._fingerprints(loader),
                architectures=self._architectures(),
            )
        except ComparisonError as error:
            raise ComparisonError(f"{metric}: {error}") from None

    def _fingerprints(self, loader: str) -> tuple[str, str] | None:
        found = [(summary.get("fingerprint") or {}).get(loader) for summary in self.summaries]
        return (str(found[0]), str(found[1])) if all(found) else None

    def _loss_table(self, samples: Sequence[dict[str, Any]], loader: str, scorer: Scorer) -> Table:
        mine = [s for s in samples if "loss" in s and s.get("loader", "") == loader]
        try:
            losses = [number_or_nan(sample["loss"]) for sample in mine]
        except TypeError as error:
            raise StoreError(f"{self.runs[0].name}, {self.runs[1].name}: a loss: {error}") from None
        return Table(
            scorer.columns,
            tuple(sample["id"] for sample in mine),
            np.asarray(scorer.rows(losses, losses)),
            tuple(str(sample.get("group") or "") for sample in mine),
        )


def _corrected(
    differences: dict[str, Difference], primary: Sequence[str] | None, level: float
) -> dict[str, Difference]:
    """The differences, the primary ones with p-values for the number of all of them."""
    if primary is None:
        primary = [key for key in differences if "/".join(key.split("/")[-2:]) in PRIMARY]
    if unknown := [key for key in primary if key not in differences]:
        raise ConfigurationError(
            f"Expected `primary` among {', '.join(differences)}, but got {', '.join(unknown)}"
        )
    adjusted = holm({key: differences[key].p_value for key in primary})
    return differences | {
        key: replace(
            differences[key], adjusted_p_value=p, direction=_direction(differences[key], p, level)
        )
        for key, p in adjusted.items()
    }


def _direction(one: Difference, p: float, level: float) -> Literal["higher", "lower", "undecided"]:
    """What the corrected test says."""
    if math.isnan(p) or p >= 1 - level:
        return "undecided"
    return "higher" if one.difference > 0 else "lower"
