"""Metrics over one validation set: samples in, batch by batch, and one result out."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torchmetrics import Metric

from lightning_vlmeval.analysis.intervals import Method, interval
from lightning_vlmeval.errors import InputError
from lightning_vlmeval.functional.health import healthy_scores
from lightning_vlmeval.functional.losses import LossScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.keys import metric_key
from lightning_vlmeval.metrics.gathering import gather_bytes
from lightning_vlmeval.metrics.table_metric import TableMetric, gather_tables
from lightning_vlmeval.reporting.markup import visible
from lightning_vlmeval.session.accounting import (
    Accounting,
    Tally,
    account,
    check_refusals,
    read_headers,
)
from lightning_vlmeval.session.outputs import Batch
from lightning_vlmeval.table import Table

_LOSS = "loss"  # the table of the samples' own losses, beside the metrics' tables


@dataclass(frozen=True)
class Evaluation:
    """What one pass over a validation set gave: the same on every rank.

    Args:
        scores: Each metric's values by key (`grounding/f1`), those that are undefined as NaN.
        tables: Each metric's rows over all ranks, each sample once, sorted by id.
        scorers: What made the rows, and makes scores of them.
        accounting: Which samples were counted.
        failures: Metrics that could not be computed, with the reason.
        loss: The mean validation loss, where losses were given.
        sample_losses: Each sample's own loss, where those were given.
        seconds: Time spent on metrics on this rank.
    """

    scores: Mapping[str, float]
    tables: Mapping[str, Table]
    scorers: Mapping[str, Scorer]
    accounting: Accounting
    failures: Mapping[str, str]
    loss: float | None
    sample_losses: Mapping[str, float]
    seconds: float

    def intervals(
        self, level: float = 0.95, method: Method = "delta"
    ) -> dict[str, tuple[float, float]]:
        """The confidence interval of each score, by its key: what other samples might have given.

        Samples of one group count as one draw. Keys whose interval the samples do not tell are
        left out.

        Args:
            level: The share of such intervals that hold the true value.
            method: ``delta``, from each sample's influence on the score, or ``bootstrap``.
        """
        found: dict[str, tuple[float, float]] = {}
        for name, scorer in self.scorers.items():
            if name in self.failures:
                continue
            for key, one in interval(scorer, self.tables[name], level=level, method=method).items():
                if not math.isnan(one.low):
                    found[metric_key(name, key)] = (one.low, one.high)
        return found

    def healthy(self) -> dict[str, float]:
        """Each score over the answers that are healthy as texts alone; none where all of them are."""
        working = {name: one for name, one in self.scorers.items() if name not in self.failures}
        return {
            metric_key(name, key): value
            for name, scores in healthy_scores(working, self.tables).items()
            for key, value in scores.items()
            if metric_key(name, key) in self.scores  # of a metric of one value, just that
        }


class EvaluationSession:
    """Accumulates samples for a set of metrics, and computes them all with one gather.

    Args:
        metrics: By name. Metrics of this package, or others of torchmetrics with
            `update(preds, target)`, which compute and gather on their own.
        tasks: Which tasks each metric is for, where samples of several tasks come together.
    """

    def __init__(
        self, metrics: Mapping[str, Metric], tasks: Mapping[str, frozenset[str]] | None = None
    ) -> None:
        self.metrics = dict(metrics)
        self.tasks = dict(tasks or {})
        self._losses = TableMetric(LossScorer())
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        for metric in [*self.metrics.values(), self._losses]:
            metric.reset()
        self._ids: list[str] = []
        self._tally = Tally()
        self._faults: dict[str, str] = {}  # of metrics that raised what is none of our errors
        self._seconds = 0.0

    def expect(self, count: int | None, *, share: int) -> None:
        """Say how many samples are to come on this rank.

        Args:
            count: None where nobody can know.
            share: Which share of the set; ranks of one share draw the same samples.
        """
        self._tally.expected, self._tally.share = count, share

    def update(self, batch: Batch, names: Sequence[str | None], *, strict: bool = False) -> None:
        """Add a batch.

        Args:
            batch: The samples.
            names: The id of each; None for one that the sampler repeats, which is dropped.
            strict: Raise on a sample that cannot be scored, rather than count it.

        Raises:
            InputError: A sample cannot be scored, in strict mode.
        """
        start = time.perf_counter()
        kept = [position for position, name in enumerate(names) if name is not None]
        self._tally.padding += len(names) - len(kept)
        batch, ids = batch.take(kept), [str(names[position]) for position in kept]
        self._ids += ids
        self._add_losses(batch, ids)
        for name, metric in self.metrics.items():
            if name not in self._tally.failures:
                self._add(name, metric, batch, ids, strict)
        self._seconds += time.perf_counter() - start

    @property
    def refused(self) -> bool:
        """Whether this rank's samples were refused."""
        return bool(self._tally.refusal)

    def refuse(self, why: str) -> None:
        """Let no further sample count, and `compute` raise on every rank.

        Args:
            why: What was wrong.
        """
        self._tally.refusal = visible(why)

    def check(self) -> None:
        """Raise on every rank where one of them refused its samples. A collective.

        Raises:
            InputError: One did; the message names it.
        """
        check_refusals([part.decode() for part in gather_bytes(self._tally.refusal.encode())])

    def add_loss(self, loss: float, count: int) -> None:
        """Add the mean validation loss of samples that are not scored.

        Args:
            loss: The mean.
            count: How many.
        """
        self._tally.loss += loss * count
        self._tally.weight += count

    def _add_losses(self, batch: Batch, ids: Sequence[str]) -> None:
        if batch.losses is not None:
            known = self._losses._known_ids()
            first = {name: i for i, name in reversed(list(enumerate(ids)))}
            new = sorted(i for name, i in first.items() if name not in known)
            self._losses.update(
                [batch.losses[i] for i in new], [None] * len(new), [ids[i] for i in new]
            )
        elif batch.loss is not None and ids:
            self.add_loss(batch.loss, len(ids))

    def _add(
        self, name: str, metric: Metric, batch: Batch, ids: Sequence[str], strict: bool
    ) -> None:
        """Give a metric the samples of its tasks; one by one where together they do not go."""
        mine = list(range(len(ids)))
        if batch.task is not None and name in self.tasks:
            mine = [i for i in mine if batch.task[i] in self.tasks[name]]
        if not mine:
            return
        try:
            _update(metric, batch.take(mine), [ids[i] for i in mine])
        except Exception as error:
            if strict:
                raise
            if isinstance(metric, TableMetric):
                faults = [self._add_one(name, metric, batch.take([i]), ids[i]) for i in mine]
                if len(mine) > 1 and all(faults):  # it is not the samples
                    self._tally.failures[name] = _reason(error)
            else:  # half of the batch may be in it
                self._tally.failures[name] = _reason(error)

    def _add_one(self, name: str, metric: Metric, sample: Batch, sample_id: str) -> bool:
        """Give a metric a sample; whether it raised what is none of our errors."""
        try:
            _update(metric, sample, [sample_id])
        except Exception as error:  # noqa: BLE001  whatever it is, the other samples are worth having
            self._tally.errors[sample_id] = _reason(error)
            if not isinstance(error, InputError):
                self._faults[name] = _reason(error)
                return True
        return False

    def leave_out(self, name: str | None, error: Exception) -> None:
        """Count a sample that cannot be read.

        Args:
            name: Its id; None for one that the sampler repeats.
            error: Why.
        """
        if name is None:
            self._tally.padding += 1
        else:
            self._ids.append(name)
            self._tally.errors[name] = _reason(error)

    def _settle(self, name: str, metric: TableMetric) -> None:
        """Have the samples scored that a metric kept back, before the ranks meet."""
        try:
            metric.settle()
        except Exception as error:  # noqa: BLE001  the other ranks wait for this one
            self._tally.failures[name] = _reason(error)
            metric.reset()
        if name in self._faults and not metric.rows:  # it scored nothing at all
            self._tally.failures.setdefault(name, self._faults[name])

    def compute(self) -> Evaluation:
        """The scores over the samples of all ranks.

        A collective: every rank must call it. Nothing is reset.

        Raises:
            InputError: A rank refused its samples; raised on every rank.
        """
        start = time.perf_counter()
        ours = {n: m for n, m in self.metrics.items() if isinstance(m, TableMetric)}
        for name, metric in ours.items():
            self._settle(name, metric)
        header = self._tally.as_header(self._ids)
        headers, tables = gather_tables([*ours.values(), self._losses], header)
        tallies, ids = read_headers(headers)
        check_refusals([tally.refusal for tally in tallies])
        failures = {
            name: why if len(tallies) == 1 else f"rank {rank}: {why}"
            for rank, tally in enumerate(tallies)
            for name, why in tally.failures.items()
        }
        named = dict(zip([*ours, _LOSS], tables, strict=True))
        losses = named.pop(_LOSS)
        scores, more_failures = self._scores(named, failures)
        loss = self._loss(tallies, losses)
        return Evaluation(
            scores=scores,
            tables=named,
            scorers={name: metric.scorer for name, metric in ours.items()},
            accounting=account(tallies, ids),
            failures={**failures, **more_failures},
            loss=loss,
            sample_losses={
                name: loss
                for name, (finite, loss, *_) in zip(losses.ids, losses.rows.tolist(), strict=True)
                if finite
            },
            seconds=self._seconds + time.perf_counter() - start,
        )

    def _scores(
        self, tables: Mapping[str, Table], failed: Mapping[str, str]
    ) -> tuple[dict[str, float], dict[str, str]]:
        scores: dict[str, float] = {}
        failures: dict[str, str] = {}
        for name, metric in self.metrics.items():
            if name in failed:
                continue
            try:
                values = _values(metric, tables.get(name))
            except Exception as error:  # noqa: BLE001  the other metrics' values are worth having
                failures[name] = _reason(error)
            else:
                scores |= {metric_key(name, key): value for key, value in values.items()}
        return scores, failures

    def _loss(self, tallies: Sequence[Tally], losses: Table) -> float | None:
        """The mean over samples with losses of their own and over those with their batch's."""
        own = self._losses.scorer.score(losses)["loss"]
        weight = sum(tally.weight for tally in tallies)
        if not weight:
            return own if len(losses) else None
        sums = [tally.loss for tally in tallies] + ([own * len(losses)] if len(losses) else [])
        if not all(map(math.isfinite, sums)):
            return math.nan
        return math.fsum(sums) / (weight + len(losses))


def _reason(error: Exception) -> str:
    """What an error says, under its own name where it is none of this package's."""
    own = isinstance(error, InputError)
    return visible(error if own else f"{type(error).__name__}: {error}")


def _update(metric: Metric, batch: Batch, ids: Sequence[str]) -> None:
    if isinstance(metric, TableMetric):
        preds, target = getattr(batch, metric.reads), getattr(batch, metric.expects)
        metric.update(
            batch.preds if preds is None else preds,
            batch.target if target is None else target,
            ids,
            groups=batch.group,
            prompts=batch.prompt,
            truncated=batch.truncated,
        )
    else:
        metric.update(batch.preds, batch.target)


def _values(metric: Metric, table: Table | None) -> dict[str, float]:
    """A metric's values by key."""
    if isinstance(metric, TableMetric) and table is not None:
        scores = metric.scorer.score(table)
        return scores if metric.view is None else {metric.view: scores[metric.view]}
    value = metric.compute()
    values = value if isinstance(value, Mapping) else {type(metric).__name__.lower(): value}
    return {
        str(key): float(one)
        for key, one in values.items()
        if isinstance(one, (int, float)) or (isinstance(one, torch.Tensor) and one.numel() == 1)
    }
