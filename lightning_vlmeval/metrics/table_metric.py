"""The base of every metric: a torchmetrics `Metric` whose state is a table of rows and ids."""

import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from lightning_vlmeval.errors import InputError, InputTypeError
from lightning_vlmeval.functional.scorer import Scorer, check_lengths
from lightning_vlmeval.metrics.gathering import gather_bytes, pack
from lightning_vlmeval.metrics.table_bytes import (
    Share,
    first_of_each,
    gather_shares,
    pack_keys,
    unpack_keys,
)
from lightning_vlmeval.signature import Signature
from lightning_vlmeval.table import Table

_instances = itertools.count()


def _keep_own(states: Tensor) -> Tensor:
    """Reduction of the instance number when states merge: the metric that is merged into keeps its own."""
    return states[-1]


# How many samples are kept back at most: memory is bounded, and more are not faster.
_MOST_PENDING = 1024


class _Pending:
    """Samples that were added and have no rows yet."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.ids: list[str] = []
        self.groups: list[str] = []

    def add(self, batch: Any, ids: Sequence[str], groups: Sequence[str]) -> None:
        self.batches.append(batch)
        self.ids += ids
        self.groups += groups


class TableMetric(Metric):
    """A metric whose state is a table, one row of float64 statistics per sample, under its id.

    The value is a function of the exact column sums of the rows of all ranks, each id once: the
    same bits on any number of ranks, in any order. Rows stay on the CPU wherever the metric is
    moved (some accelerators have no float64); at a sync one buffer goes round.

    Args:
        scorer: What a row holds and how sums become scores.
        **kwargs: torchmetrics' own arguments, such as `sync_on_compute`.

    Raises:
        InputError: In `update`, where a sample cannot be scored or an id came before on this rank;
            the message names the sample, and nothing of the batch is kept.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    view: ClassVar[str | None] = None
    """The one key that `compute` returns, for metrics of one value; None for all of them."""

    reads: ClassVar[str] = "preds"
    """Which part of a batch an evaluation session feeds it as `preds`."""

    expects: ClassVar[str] = "target"
    """Which part of a batch an evaluation session feeds it as `target`."""

    _known: set[str]
    _known_of: tuple[list[Tensor], int]  # the state that `_known` was read from

    def __init__(self, scorer: Scorer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scorer = scorer
        self._signature: Signature | None = None
        self._pending = _Pending()
        # MetricCollection merges metrics whose states are equal after the first batch into one
        # group that only the first of them updates. Two of ours never have equal states; this one
        # is the first, for older releases of torchmetrics look at no other.
        self.add_state("instance", torch.tensor(next(_instances)), dist_reduce_fx=_keep_own)
        self.add_state("rows", default=[], dist_reduce_fx="cat")  # pieces of shape (n, K), float64
        self.add_state("keys", default=[], dist_reduce_fx="cat")  # packed ids, groups and payloads
        self._forget_ids()

    # ---------------------------------------------------------------------------- accumulation

    def update(
        self,
        preds: Sequence[Any],
        target: Sequence[Any],
        ids: Sequence[Any] | Tensor | None = None,
        *,
        groups: Sequence[Any] | None = None,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> None:
        """Add a batch of samples.

        Args:
            preds: The model's answers, one a sample.
            target: What they should have been, one a sample.
            ids: What names each sample, the same in every epoch and on every rank; without ids
                every sample counts as another one.
            groups: What correlated samples share, such as their image.
            prompts: The text given to the model.
            truncated: Whether an answer was cut at the token limit.
        """
        check_lengths(preds, target)
        names = self._names(ids, len(preds))
        shared = ("",) * len(names) if groups is None else _strings(groups, len(names), "groups")
        try:
            batch = self.scorer.collect(preds, target, prompts=prompts, truncated=truncated)
        except InputError as error:
            raise error.named(None if ids is None else names) from error.__cause__
        self._known_ids().update(names)
        self._pending.add(batch, names, shared)
        if len(self._pending.ids) >= _MOST_PENDING:
            self.settle()

    @property
    def rows(self) -> list[Tensor]:
        """The state: pieces of the table, each float64 of shape (n, K)."""
        self.settle()
        return self._rows

    @rows.setter
    def rows(self, pieces: list[Tensor]) -> None:
        self._pending, self._rows = _Pending(), pieces

    @property
    def keys(self) -> list[Tensor]:
        """The state's other half: packed ids, groups and payloads, in the same pieces."""
        self.settle()
        return self._keys

    @keys.setter
    def keys(self, pieces: list[Tensor]) -> None:
        self._pending, self._keys = _Pending(), pieces

    def settle(self) -> None:
        """Make rows of what was added and is kept back: most scorers are faster on many samples.

        Whatever needs the rows calls it: `compute`, a gather, a copy, a checkpoint. Scoring may
        fail here (an encoder that cannot be loaded); then the samples stay, and the next call fails.
        """
        pending = self._pending
        if pending.ids:
            rows, payloads = self.scorer.tabulate_collected(pending.batches)
            table = Table(
                self.scorer.columns,
                tuple(pending.ids),
                rows,
                tuple(pending.groups),
                tuple(payloads or ()),
            )
            known = self._known_ids()
            self._rows.append(torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float64)))
            self._keys.append(_as_tensor(pack_keys(table)))
            self._pending, self._known = _Pending(), known
            self._known_of = (self._rows, len(self._rows))

    def prepare(self) -> None:
        """Load what scoring needs, which otherwise the first batch and the first value wait for.

        Raises:
            MissingExtraError: Something is not installed; the message says how to get it.
            ConfigurationError: An encoder cannot be loaded.
        """
        self.scorer.prepare()
        self.signature()

    def _names(self, ids: Sequence[Any] | Tensor | None, count: int) -> list[str]:
        """The ids as strings, checked; made up where there are none."""
        if ids is None:
            batch = uuid.uuid4().hex
            return [f"unnamed-{batch}-{position:06d}" for position in range(count)]
        names = _strings(ids, count, "ids")
        known = self._known_ids()
        if len(set(names)) < count or not known.isdisjoint(names):
            again = next(x for i, x in enumerate(names) if x in known or x in names[:i])
            raise InputError(
                f"Expected each id once on a rank, but got {again!r} again: ids must be unique "
                f"within the validation set"
            )
        return list(names)

    def _known_ids(self) -> set[str]:
        """The ids seen so far, read back from the state where something else replaced it."""
        rows, pieces = self._known_of
        if rows is not self._rows or pieces != len(self._rows):
            self._known = set(self._local_table().ids)
            self._known_of = (self._rows, len(self._rows))
        return self._known

    def _forget_ids(self) -> None:
        self._known = set()
        self._known_of = (self._rows, 0)

    def reset(self) -> None:
        """Forget all samples."""
        self._pending = _Pending()
        super().reset()
        self._forget_ids()

    def _forward_reduce_state_update(self, *args: Any, **kwargs: Any) -> Any:
        """`forward`: add the batch, and return the value of the batch alone."""
        pieces = len(self.rows)
        self.update(*args, **kwargs)
        return self._values(self._local_table(pieces))

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add the samples of another metric, or of its state; of an id in both, the own row is kept.

        Args:
            incoming_state: A metric of the same class, or a dict of its states.
        """
        if isinstance(incoming_state, TableMetric):
            lines = self.signature().differences(incoming_state.signature())
            if lines:
                raise InputError(
                    f"Expected a metric with the same options to merge with, but they differ: {lines}"
                )
        own = self._local_table()
        super().merge_state(incoming_state)
        merged = self._local_table()  # torchmetrics puts the incoming pieces first
        incoming = merged.take(range(len(merged) - len(own)))
        self._replace(first_of_each([own, incoming]))
        self._update_count += 1
        self._computed = None

    # ------------------------------------------------------------------------------ the table

    def table(self) -> Table:
        """The rows that the score is made of.

        Between `sync` and `unsync` the rows of all ranks, each id once, sorted by id; otherwise
        this process's own, in the order in which they came.
        """
        return self._local_table()

    def signature(self) -> Signature:
        """The recipe of the score: values compare only where signatures are equal."""
        if self._signature is None:  # it may look for files and ask packages for their versions
            self._signature = self.scorer.signature()
        return self._signature

    def sample_scores(self) -> dict[str, Tensor]:
        """Each sample's own scores, float64 of shape (n,), in the order of `table().ids`."""
        scores = self.scorer.sample_scores(self.table())
        return {key: torch.from_numpy(np.asarray(value)) for key, value in scores.items()}

    def compute(self) -> Any:
        """The scores over all samples of all ranks: 0-d float64 tensors, NaN where undefined."""
        return self._values(self.table())

    def _values(self, table: Table) -> Any:
        scores = {
            key: torch.tensor(value, dtype=torch.float64)
            for key, value in self.scorer.score(table).items()
        }
        return scores if self.view is None else scores[self.view]

    def _local_table(self, first_piece: int = 0) -> Table:
        columns = self.scorer.columns
        pieces = self.rows[first_piece:]
        rows = torch.cat(pieces).numpy() if pieces else np.zeros((0, len(columns)))
        keys = (piece.numpy().data for piece in self.keys[first_piece:])
        ids, groups, payloads = unpack_keys(keys)
        return Table(columns, ids, rows, groups, payloads)

    def _replace(self, table: Table) -> None:
        self.rows = [torch.from_numpy(np.ascontiguousarray(table.rows))]
        self.keys = [_as_tensor(pack_keys(table))]

    # ------------------------------------------------------------------------- torchmetrics' own

    def _sync_dist(
        self, dist_sync_fn: Callable[..., Any] = gather_all_tensors, process_group: Any = None
    ) -> None:
        """Replace the state by the rows of all ranks: one gather, also where a rank has no rows."""
        gather: Callable[..., list[bytes]] = gather_bytes
        if dist_sync_fn is not gather_all_tensors:
            gather = _through_tensors(dist_sync_fn)
        _, (table,) = gather_tables(
            [self], gather=gather, group=process_group or self.process_group
        )
        self._replace(table)

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = "") -> Any:
        """Move what is to be moved, which neither the table nor a value of it is."""
        values = self._computed
        super()._apply(fn, exclude_state=("rows", "keys", "instance"))
        self._computed = values
        return self

    def _move_list_states_to_cpu(self) -> None:
        """Nothing to do: the table is on the CPU."""

    def __getstate__(self) -> dict[str, Any]:
        self.settle()
        return super().__getstate__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.instance = torch.tensor(next(_instances))  # a copy is another instance
        self._defaults["instance"] = self.instance.clone()

    def share(self) -> Share:
        """This process's part of the table, as it goes round in a gather."""
        rows = b"".join(piece.numpy().tobytes() for piece in self.rows)
        keys = pack([piece.numpy().tobytes() for piece in self.keys])
        return Share(self.signature(), self.scorer.columns, rows, keys)


def gather_tables(
    metrics: Sequence[TableMetric],
    header: bytes = b"",
    *,
    gather: Callable[..., list[bytes]] = gather_bytes,
    group: Any = None,
) -> tuple[list[bytes], list[Table]]:
    """The header of every rank, and the tables of some metrics over all ranks: one gather for all.

    A collective. Each table holds each id once, sorted by id; of an id that several ranks hold
    (samplers pad), the lowest rank's row is kept.

    Args:
        metrics: The same metrics in the same order on every rank.
        header: Whatever else the ranks have to tell each other.
        gather: How bytes go round.
        group: The process group; None for all ranks.

    Raises:
        InputError: The ranks' metrics differ; raised on every rank.
    """
    return gather_shares([metric.share() for metric in metrics], header, gather, group)


def _through_tensors(dist_sync_fn: Callable[..., Any]) -> Callable[..., list[bytes]]:
    """A gather of bytes out of a user's `dist_sync_fn`, which gathers tensors."""

    def gather(data: bytes, group: Any = None) -> list[bytes]:
        tensor = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return [part.cpu().numpy().tobytes() for part in dist_sync_fn(tensor, group=group)]

    return gather


def _strings(values: Sequence[Any] | Tensor, count: int, name: str) -> tuple[str, ...]:
    """Ids or groups as strings: the caller may hold a tensor of numbers, an array or a list."""
    plain = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(plain, (str, bytes, Mapping)) or not hasattr(plain, "__len__"):
        raise InputTypeError(
            f"Expected `{name}` to be a list with one element for each sample, "
            f"but got {type(values).__name__}"
        )
    if len(plain) != count:
        raise InputError(
            f"Expected one of `{name}` for each of {count} samples, but got {len(plain)}"
        )
    if set(map(type, plain)) <= {str, int}:
        strings = tuple(map(str, plain))
    else:
        strings = tuple(str(one.item() if hasattr(one, "item") else one) for one in plain)
    if "" in strings or "None" in strings:
        for position, value in enumerate(plain):
            if value is None or value == "":
                raise InputError(f"Expected `{name}` without gaps, but got {value!r}", position)
    return strings


def _as_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
