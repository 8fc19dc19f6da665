"""What an evaluation says beside its values: patterns with evidence, and where the run is going."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_vlmeval.analysis.bands import read_bands
from lightning_vlmeval.analysis.checkpoints import best_checkpoints, judgement, read_checkpoints
from lightning_vlmeval.analysis.diagnosis import diagnose
from lightning_vlmeval.analysis.material import read_material
from lightning_vlmeval.analysis.measures import primary_key
from lightning_vlmeval.analysis.overfitting import Verdict
from lightning_vlmeval.analysis.trend import trend
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.keys import log_key
from lightning_vlmeval.runs.files import StoreError
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.session.baseline import Baseline
from lightning_vlmeval.session.evaluation import Evaluation
from lightning_vlmeval.session.history import Evaluations

FIRST = "first"
"""The baseline that is the run's own first evaluation after some training."""


class Judge:
    """Diagnoses each evaluation of a run on rank zero, and says what is new.

    A fault in it is told in a warning: no judgement is worth a training run.

    Args:
        bands: When values are low and high, by key, instead of the defaults.
        baseline: The folder of a run whose last values they are judged against; ``first`` for the
            first values of the run itself after some training; None for the bands.
        training_phrases: How often each phrase is annotated in the training data; None where nobody
            has counted.

    Raises:
        ConfigurationError: A band or a count cannot be.
        StoreError: The baseline is not a run's folder.

    Attributes:
        findings: Those of the last evaluation, as JSON holds them.
        sentence: What loss and main value of the run say together; "" where nothing is known.
    """

    def __init__(
        self,
        bands: Mapping[str, Sequence[float]] | None = None,
        baseline: str | None = None,
        training_phrases: Mapping[str, int] | None = None,
    ) -> None:
        self._bands = read_bands(bands or {})
        self._given = None if baseline in (None, FIRST) else Baseline(str(baseline))
        self._wants_first = baseline == FIRST
        self._training_phrases = _checked_counts(training_phrases or {})
        self.begin()

    def begin(self) -> None:
        """Begin a run: nothing is known of it."""
        self.findings: list[dict[str, Any]] = []
        self.sentence = ""
        self._baseline = self._given
        self._memory: Mapping[str, Mapping[str, str | None]] = {}
        self._states: list[str] = ["ok", "unclear"]

    def look(
        self,
        entries: Sequence[Mapping[str, Any]],
        evaluations: Evaluations,
        training: Evaluation | None,
        samples: Sequence[Mapping[str, Any]],
        verdict: Verdict | None,
        folder: Path | None = None,
    ) -> list[str]:
        """Judge the last evaluation of a run, after some training.

        Args:
            entries: The run's evaluations, the last one included.
            evaluations: Its results; of several dataloaders the first is judged.
            training: Its result on samples of the training set.
            samples: Its samples.
            verdict: What the losses say.
            folder: Where the run's evaluations before this one are stored; None for nowhere.

        Returns:
            Lines for what has changed since the evaluation before.
        """
        try:
            if self._wants_first and self._baseline is None and folder is not None:
                self._baseline = _first(entries, folder)
            return self._look(entries, evaluations, training, samples, verdict)
        except Exception as error:  # noqa: BLE001  whatever a metric of the user's makes it raise
            warnings.warn(
                f"The evaluation could not be judged: {type(error).__name__}: {error}", stacklevel=2
            )
            return []

    def _look(
        self,
        entries: Sequence[Mapping[str, Any]],
        evaluations: Evaluations,
        training: Evaluation | None,
        samples: Sequence[Mapping[str, Any]],
        verdict: Verdict | None,
    ) -> list[str]:
        (loader, evaluation), *_ = evaluations.items()
        main = primary_key(evaluation.scorers)
        if main is None:
            return []
        key = log_key("val", main, loader)
        run = read_checkpoints(entries, key)
        going = trend([one.value for one in run], [one.step for one in run])
        mine = [sample for sample in samples if sample["loader"] == (loader or "")]
        before = {}
        if self._baseline is not None:
            before = self._baseline.tables(evaluation.scorers, mine, loader or "")
        found = diagnose(
            read_material(
                evaluation.scorers,
                evaluation.tables,
                mine,
                floors=_floors(entries[0], loader),
                trends={main: going},
                training={} if training is None else training.tables,
                baseline=before,
                training_phrases=self._training_phrases,
            ),
            self._memory,
            bands=self._bands,
        )
        self._memory = found.memory
        self.findings = [one.as_dict() for one in found.findings]
        self.sentence = judgement(verdict, going, best_checkpoints(run), main)
        lines = list(found.news)
        # A direction that cannot be told for once is no news.
        direction = self._states[1] if going.state == "unclear" else going.state
        states: list[str] = ["ok" if verdict is None else verdict.state, direction]
        if states != self._states and self.sentence:
            lines.append(self.sentence)
        self._states = states
        return lines

    def state_dict(self) -> dict[str, Any]:
        """Plain values, for a resumed run to go on from."""
        return {
            "memory": {family: dict(one) for family, one in self._memory.items()},
            "states": list(self._states),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Args:
            state: What `state_dict` gave.
        """
        self._memory, self._states = state["memory"], list(state["states"])


def _first(entries: Sequence[Mapping[str, Any]], folder: Path) -> Baseline | None:
    """The first evaluation after some training; None where that is the last one."""
    trained = [entry["index"] for entry in entries if entry["step"]]
    if len(trained) < 2:
        return None
    try:
        stored = Run(folder).indices
    except StoreError:  # nothing could be stored so far
        return None
    return Baseline(folder, stored.index(trained[0])) if trained[0] in stored else None


def _checked_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """How often phrases are annotated."""
    for phrase, count in counts.items():
        whole = isinstance(count, int) and not isinstance(count, bool)
        if not (isinstance(phrase, str) and whole and count >= 0):
            raise ConfigurationError(
                f"Expected `training_phrases` to give phrases with how often each is annotated, but "
                f"got {phrase!r}: {count!r}"
            )
    return dict(counts)


def _floors(first: Mapping[str, Any], loader: str | None) -> dict[str, float]:
    """The untrained model's values, where the run's first evaluation is of it."""
    if first["step"]:
        return {}
    start = log_key("val", "", loader)
    return {
        key.removeprefix(start): value
        for key, value in first["values"].items()
        if key.startswith(start) and not math.isnan(value)
    }
