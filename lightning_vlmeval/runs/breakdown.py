"""Where a score of a stored evaluation is low: by phrase, size, number of targets, group and so on."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lightning_vlmeval.analysis.bands import PRIMARY
from lightning_vlmeval.analysis.breakdown import Part, breakdown
from lightning_vlmeval.analysis.intervals import Interval, interval
from lightning_vlmeval.analysis.measures import primary_key
from lightning_vlmeval.errors import ConfigurationError, VLMEvalError
from lightning_vlmeval.functional.box_parts import (
    BoxParts,
    count_label,
    parts_by_phrase,
    parts_by_size,
)
from lightning_vlmeval.functional.error_budget import ErrorBudgetScorer
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.registry import recorded_scorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.keys import metric_key
from lightning_vlmeval.runs.directions import better
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.table import Table

BY = ("phrase", "size", "relative-size", "targets", "group", "annotator", "task")
"""What samples, or boxes, may have in common."""

MIN_SAMPLES = 10
"""The fewest independent samples that are scored."""

Samples = Sequence[Mapping[str, Any]]

_OF_BOXES = ("phrase", "size", "relative-size")


@dataclass(frozen=True)
class Breakdown:
    """A score of the samples of one dataloader, part by part.

    Args:
        loader: The dataloader's name, "" for the only one.
        key: The score.
        by: One of `BY`.
        parts: The worst first; those that are too small to score last.
    """

    loader: str
    key: str
    by: str
    parts: list[Part]


@dataclass(frozen=True)
class Budget:
    """The error budget of the samples of one dataloader.

    Args:
        loader: The dataloader's name, "" for the only one.
        scores: Those of `ErrorBudgetScorer`.
        intervals: Of those that are no counts.
    """

    loader: str
    scores: dict[str, float]
    intervals: dict[str, Interval]


class StoredBreakdowns:
    """The breakdowns of one evaluation of a run.

    | by | parts |
    |---|---|
    | ``phrase`` | the label of boxes, or where they have none the sample's prompt |
    | ``size`` | COCO's areas, in pixels: small below 32 x 32, large from 96 x 96 on |
    | ``relative-size`` | the same as shares of an image of 640 x 480; every image's size must be known |
    | ``targets`` | the number of a sample's annotated boxes |
    | ``group`` | its samples, each counted as a draw of its own; elsewhere a group is one draw |
    | ``annotator``, ``task`` | "none" where nothing is known |

    Args:
        run: The run.
        evaluation: The evaluation's position, -1 for the last.
        samples: Its samples, where they have been read.

    Raises:
        StoreError: The evaluation cannot be read.
    """

    def __init__(
        self, run: Run, evaluation: int = -1, samples: Iterable[Mapping[str, Any]] | None = None
    ) -> None:
        self._run, self._evaluation = run, evaluation
        self._samples: dict[str, list[Mapping[str, Any]]] = {name: [] for name in run.loaders}
        for one in run.samples(evaluation) if samples is None else samples:
            self._samples.setdefault(str(one.get("loader", "")), []).append(one)
        self._scorers: dict[str, Scorer] = {}
        for name, record in run.record["scorers"].items():
            try:
                self._scorers[name] = recorded_scorer(record)
            except ConfigurationError:
                continue  # of another package
        self._tables: dict[tuple[str, str], Table] = {}

    @property
    def loaders(self) -> list[str]:
        """The names of the dataloaders."""
        return list(self._samples)

    def chosen(self, key: str | None) -> str:
        """The score to break down: the one that is named, or the main one.

        Args:
            key: Such as ``grounding/f1``; None for the main one.

        Raises:
            ConfigurationError: The run has no such score.
        """
        known = self._known()
        found = key or primary_key(self._scorers) or next(iter(known), "")
        if found not in known:
            raise ConfigurationError(f"Expected --key among {', '.join(known)}, but got {found!r}")
        return found

    def of(self, loader: str, key: str, by: str, min_samples: int = MIN_SAMPLES) -> Breakdown:
        """A score, part by part.

        Args:
            loader: The dataloader.
            key: The score.
            by: One of `BY`.
            min_samples: The fewest independent samples that are scored.

        Raises:
            ConfigurationError: The score is none of boxes, and `by` takes boxes apart; or sizes of
                images are not known.
            InputError: Stored boxes cannot be read.
        """
        metric, short = self._known()[key]
        scorer = self._scorers[metric]
        table, labels = self._labelled(metric, loader, by)
        return Breakdown(
            loader,
            key,
            by,
            breakdown(
                scorer,
                table,
                labels,
                short,
                min_samples=min_samples,
                higher_is_better=better(key) != "lower",
            ),
        )

    def telling(self) -> Iterator[Breakdown]:
        """Those that tell something: the main score of each task by all that its samples differ in."""
        for loader, samples in self._samples.items():
            for key, by in self._worth_a_look(samples):
                try:
                    found = self.of(loader, key, by)
                except (VLMEvalError, LookupError, TypeError, ValueError):
                    continue  # what a file holds may be anything
                if len(found.parts) > 1:
                    yield found

    def budgets(self) -> Iterator[Budget]:
        """The error budget of the boxes of each dataloader, where the run has one."""
        named = [name for name, one in self._scorers.items() if isinstance(one, ErrorBudgetScorer)]
        for loader in self.loaders:
            for metric in named[:1]:
                try:
                    table = self._table(metric, loader)
                except VLMEvalError:
                    continue
                if len(table):
                    scorer = self._scorers[metric]
                    yield Budget(loader, scorer.score(table), interval(scorer, table))

    def _known(self) -> dict[str, tuple[str, str]]:
        """The metric's name and its score, by what the score is called in the logs."""
        return {
            metric_key(name, key): (name, key)
            for name, scorer in self._scorers.items()
            for key in scorer.keys
            if key not in scorer.counts
        }

    def _worth_a_look(self, samples: Samples) -> Iterator[tuple[str, str]]:
        """Scores, and what to break them down by."""
        known = self._known()
        tasks: dict[str, set[str]] = {}
        for one in samples:
            tasks.setdefault(str(one.get("task") or ""), set()).update(one.get("rows") or {})
        main = (
            primary_key({name: one for name, one in self._scorers.items() if name in metrics})
            for metrics in tasks.values()
        )
        for key in dict.fromkeys(key for key in main if key in known):
            for by in ("phrase", "size", "targets", "group", "annotator"):
                boxes = by not in ("group", "annotator")
                if key.startswith("grounding/") if boxes else any(by in one for one in samples):
                    yield key, by
        for key in PRIMARY:
            if key in known and sum(known[key][0] in metrics for metrics in tasks.values()) > 1:
                yield key, "task"

    def _table(self, metric: str, loader: str) -> Table:
        if (metric, loader) not in self._tables:
            self._tables[metric, loader] = self._run.table(self._evaluation, metric, loader)
        return self._tables[metric, loader]

    def _labelled(self, metric: str, loader: str, by: str) -> tuple[Table, list[str]]:
        """The rows of the samples or of their parts, and what each is."""
        scorer, samples = self._scorers[metric], self._samples[loader]
        if by in _OF_BOXES:
            if not isinstance(scorer, (GroundingScorer, ErrorBudgetScorer)):
                raise ConfigurationError(
                    f"Expected --key of boxes with --by {by}, but got {metric!r}"
                )
            parts = _parts(by, [one for one in samples if "boxes" in one and "target" in one])
            prompts = {str(one["id"]): str(one.get("prompt") or "").strip() for one in samples}
            named = zip(parts.labels, parts.samples, strict=True)
            return parts.table(scorer), [label or prompts[sample] for label, sample in named]
        table = self._table(metric, loader)
        known = {str(one["id"]): one for one in samples}
        labels = [_label(by, known[name]) for name in table.ids]
        return replace(table, groups=()) if by == "group" else table, labels


def _parts(by: str, samples: Samples) -> BoxParts:
    ids = [str(one["id"]) for one in samples]
    preds = [_boxes(one) for one in samples]
    target = [one["target"] for one in samples]
    groups = [str(one.get("group") or one["id"]) for one in samples]
    if by == "phrase":
        return parts_by_phrase(ids, preds, target, groups=groups)
    sizes = None
    if by == "relative-size":
        if any("size" not in one for one in samples):
            raise ConfigurationError("Expected the size of every image for --by relative-size")
        sizes = [(float(one["size"][0]), float(one["size"][1])) for one in samples]
    return parts_by_size(ids, preds, target, image_sizes=sizes, groups=groups)


def _boxes(sample: Mapping[str, Any]) -> dict[str, Any]:
    labels = {} if sample.get("labels") is None else {"labels": sample["labels"]}
    return {"boxes": _finite(sample["boxes"]), **labels}


def _finite(boxes: Any) -> list[list[float]]:
    return [[math.nan if x is None else float(x) for x in box] for box in boxes]


def _label(by: str, sample: Mapping[str, Any]) -> str:
    if by == "targets":
        target = sample.get("target")
        return count_label(target) if isinstance(target, dict) and "boxes" in target else "text"
    return str(sample.get(by) or "none")
