"""Which samples an evaluation counted, from what each rank tells the others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightning_vlmeval.errors import InputError
from lightning_vlmeval.metrics.gathering import pack, unpack


@dataclass(frozen=True)
class Accounting:
    """Which samples an evaluation counted; every sample of the validation set counts once.

    Args:
        expected: How many samples the set has; None where nobody can know.
        seen: How many different samples came.
        duplicates: How many more came of those, and were dropped (samplers pad).
        unscored: How many of those seen some metric could not score.
        errors: What was wrong with them: at most a few, by sample.
    """

    expected: int | None
    seen: int
    duplicates: int
    unscored: int = 0
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> int | None:
        """How many samples of the set did not come."""
        return None if self.expected is None else max(0, self.expected - self.seen)

    def __str__(self) -> str:
        expected = "unknown" if self.expected is None else self.expected
        missing = "" if self.missing is None else f", {self.missing} missing"
        return (
            f"{self.seen} of {expected} samples, {self.duplicates} duplicates dropped{missing}"
            + (f", {self.unscored} unscored" if self.unscored else "")
        )


@dataclass
class Tally:
    """What a rank tells the others beside its rows.

    Args:
        expected: How many samples are to come on this rank; None where nobody can know.
        share: Which share of the set they are; ranks of one share draw the same samples.
        padding: How many were dropped that the sampler repeated.
        loss: The sum of the losses that batches had, and no sample of its own.
        weight: Of how many samples.
        failures: Metrics that could not go on, with the reason.
        errors: What was wrong with samples, by id.
        refusal: Why this rank's samples are not to count at all; "" where they are.
    """

    expected: int | None = None
    share: int = 0
    padding: int = 0
    loss: float = 0.0
    weight: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    refusal: str = ""

    def as_header(self, ids: Sequence[str]) -> bytes:
        """The tally with the ids of this rank's samples, to be gathered.

        Args:
            ids: The ids.
        """
        names = (name.encode("utf-8", "surrogatepass") for name in ids)
        return pack([json.dumps(vars(self)).encode(), *names])


def read_headers(headers: Sequence[bytes]) -> tuple[list[Tally], list[list[bytes]]]:
    """The tallies of all ranks, and the ids of each.

    Args:
        headers: What `as_header` gave on each.
    """
    tallies, ids = [], []
    for header in headers:
        tally, *names = unpack(header)
        tallies.append(Tally(**json.loads(tally)))
        ids.append(names)
    return tallies, ids


def check_refusals(refusals: Sequence[str]) -> None:
    """Raise what the first rank has to say that refused its samples.

    Args:
        refusals: That of each rank.

    Raises:
        InputError: One did.
    """
    for rank, refusal in enumerate(refusals):
        if refusal:
            raise InputError(f"Rank {rank}: {refusal}")


def account(tallies: Sequence[Tally], ids: Sequence[Sequence[bytes]]) -> Accounting:
    """Which samples were counted.

    Args:
        tallies: Those of all ranks.
        ids: The ids of the samples of each.
    """
    known = all(tally.expected is not None for tally in tallies)
    shares = {tally.share: tally.expected or 0 for tally in tallies}
    errors = {name: error for tally in tallies for name, error in tally.errors.items()}
    seen = len({name for names in ids for name in names})
    return Accounting(
        expected=sum(shares.values()) if known else None,
        seen=seen,
        duplicates=sum(map(len, ids)) - seen + sum(tally.padding for tally in tallies),
        unscored=len(errors),
        errors=dict(list(errors.items())[:5]),
    )
