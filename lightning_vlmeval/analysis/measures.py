"""The values that patterns ask for, by key, each with its interval, its band and its samples."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

from lightning_vlmeval.analysis.bands import BANDS, DIFFERENCE, PRIMARY, RAW_BERTSCORE, Band
from lightning_vlmeval.analysis.comparison import compare_tables
from lightning_vlmeval.analysis.contrasts import difference
from lightning_vlmeval.analysis.finding import Number
from lightning_vlmeval.analysis.imbalance import imbalance
from lightning_vlmeval.analysis.intervals import Interval, interval
from lightning_vlmeval.analysis.material import Material
from lightning_vlmeval.analysis.part_measures import (
    Part,
    Strengths,
    annotator_sizes,
    phrase_sizes,
    rare_phrases,
)
from lightning_vlmeval.analysis.shares import (
    ShareScorer,
    common_structures,
    conflicting_boxes,
    conflicting_references,
    shared_opening,
    short_references,
)
from lightning_vlmeval.analysis.trend import Trend
from lightning_vlmeval.functional.grounding import GroundingScorer
from lightning_vlmeval.functional.scorer import Scorer
from lightning_vlmeval.keys import metric_key
from lightning_vlmeval.table import Table

FLOORED = ("text/bertscore_f1", "text/bleu")
"""The scores that have a floor: what unrelated answers get."""

CHANGE = Band(-1e-9, 1e-9)
"""Of a difference of two evaluations: on one side of 0, not at it."""


def primary_key(scorers: Mapping[str, Scorer]) -> str | None:
    """The main value of an evaluation: the first of `PRIMARY` that its metrics give.

    Args:
        scorers: The metrics by name.

    Example:
        >>> from lightning_vlmeval.functional.answers import AnswerScorer
        >>> primary_key({"answers": AnswerScorer()})
        'answers/exact_match'
    """
    given = {metric_key(one.name, key) for one in scorers.values() for key in one.keys}
    return next((key for key in PRIMARY if key in given), None)


@dataclass(frozen=True)
class Measured:
    """A value that a pattern asks for.

    Args:
        name: What it is called among a finding's numbers.
        number: The value with its interval.
        strengths: How much each sample shows of it, by id.
        band: When it is low or high.
    """

    name: str
    number: Number
    strengths: Callable[[], Strengths]
    band: Band


@dataclass(frozen=True)
class _Source:
    """Where a key's values come from."""

    metric: str
    scorer: Scorer
    table: Table
    key: str
    name: str

    def strengths(self) -> Strengths:
        scores = self.scorer.sample_scores(self.table)[self.key]
        return dict(zip(self.table.ids, scores.tolist(), strict=True))


class Measures:
    """Finds the values of an evaluation by key; each is worked out once.

    Args:
        material: The evaluation.
        bands: When values are low or high, instead of the defaults, by key.
        level: The confidence of the intervals.
    """

    def __init__(self, material: Material, bands: Mapping[str, Band], level: float) -> None:
        self._material, self._own_bands, self._level = material, bands, level
        self._intervals: dict[int, dict[str, Interval]] = {}
        self._found: dict[str, Measured | None] = {}

    def __getitem__(self, key: str) -> Measured | None:
        if key not in self._found:
            self._found[key] = self._measure(key)
        return self._found[key]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all scores."""
        return tuple(self._sources)

    def trend(self, key: str) -> Trend | None:
        """The trend of a value; None where it is not known.

        Args:
            key: The value.
        """
        return self._material.trends.get(self._resolved(key))

    def against(self, key: str, num_keys: int) -> Measured | None:
        """The change of a value against the baseline, of so many that are tested.

        Args:
            key: The value.
            num_keys: The interval is at the level of confidence that so many together need.
        """
        name = f"{key} against the baseline"
        if name not in self._found:
            self._found[name] = self._change(key, name, num_keys)
        return self._found[name]

    def strengths(self, key: str) -> Strengths:
        """How much of a score each sample has, by id; counts too.

        Args:
            key: The score.
        """
        source = self._sources.get(self._resolved(key))
        return {} if source is None else source.strengths()

    # ----------------------------------------------------------------------------- measuring

    def _change(self, key: str, name: str, num_keys: int) -> Measured | None:
        source = self._sources.get(key)
        if source is None or source.metric not in self._material.baseline:
            return None
        level = 1 - (1 - self._level) / num_keys
        before = self._material.baseline[source.metric]
        compared = compare_tables(
            source.scorer, before, source.table, keys=[source.key], level=level
        )
        found = compared.differences[source.key]
        if math.isnan(found.difference):
            return None
        number = Number(found.difference, found.low, found.high)
        return Measured(name, number, source.strengths, CHANGE)

    def _measure(self, key: str) -> Measured | None:
        special: dict[str, Callable[[], Part | None]] = {
            "gap/primary": self._gap,
            DIFFERENCE: self._imbalance,
            "phrase/size_ratio": partial(phrase_sizes, self._material, self._level),
            "phrase/rare_gap": partial(rare_phrases, self._material, self._level),
            "annotator/size_ratio": self._annotator_sizes,
        }
        if key in special:
            found = special[key]()
            if found is None:
                return None
            name, number, strengths = found
            return Measured(name, number, strengths, self._named_band(key))
        key = self._resolved(key)
        source = self._sources.get(key)
        if source is None:
            return None
        one = self._interval(source.scorer, source.table)[source.key]
        if math.isnan(one.value):
            return None
        number = Number(one.value, one.low, one.high)
        return Measured(source.name, number, source.strengths, self._band(source, key))

    def _interval(self, scorer: Scorer, table: Table) -> dict[str, Interval]:
        """The intervals of a table's scores, worked out once."""
        if id(table) not in self._intervals:
            self._intervals[id(table)] = interval(scorer, table, level=self._level)
        return self._intervals[id(table)]

    def _resolved(self, key: str) -> str:
        """What "primary" stands for."""
        if key != "primary":
            return key
        return primary_key(self._material.scorers) or key

    def _band(self, source: _Source, key: str) -> Band:
        """When a value is low or high; NaN where nothing says it."""
        if key in self._own_bands:
            return self._own_bands[key]
        band = BANDS.get(key, Band(math.nan, math.nan))
        floor = self._floor(source, key)
        if key == "text/bertscore_f1" and floor is None:
            return RAW_BERTSCORE
        if floor is None:
            return band
        return Band(floor + band.low * (1 - floor), floor + band.high * (1 - floor))

    def _floor(self, source: _Source, key: str) -> float | None:
        """Where the way to 1 begins; None where it is not known."""
        if key == "grounding/iou":
            return float(getattr(source.scorer, "iou_threshold", 0.5))
        if key not in FLOORED:
            return None
        if getattr(source.scorer, "rescale_with_baseline", False):
            return 0.0
        floor = self._material.floors.get(key)
        return floor if floor is not None and 0 <= floor < 1 else None

    # ------------------------------------------------------------------------------- sources

    @cached_property
    def _sources(self) -> dict[str, _Source]:
        """Where each key's values come from; the first metric of a kind gives them."""
        found: dict[str, _Source] = {}
        for metric, scorer in self._material.scorers.items():
            table = self._material.tables.get(metric)
            if table is None or not len(table):
                continue
            for key in scorer.keys:
                name = metric_key(scorer.name, key)
                found.setdefault(name, _Source(metric, scorer, table, key, name))
                if name == "error_budget/size_ratio":
                    found.setdefault("boxes/size_ratio", found[name])
                if name == "text/bleu":
                    self._add(found, "text/short_references", short_references(table))
            if scorer.name == "structured" and "structured/consistency" in found:
                self._add(found, "structured/consistency", common_structures(table))
        self._add_texts(found)
        return found

    def _add_texts(self, found: dict[str, _Source]) -> None:
        """The shares that come from the texts."""
        material = self._material
        references = material.references
        for key, texts in (
            ("answers", {name: [text] for name, text in material.answers.items()}),
            ("references", references),
        ):
            opening = shared_opening(texts) if texts else None
            if opening is not None:
                name = f'share of {key} that begin with "{opening[0]}"'
                self._add(found, f"{key}/shared_opening", opening[1], name)
        images = material.images or self._groups
        conflicts = {
            "references/conflicting": conflicting_references(references, material.prompts, images),
            "boxes/conflicting": None
            if material.parts is None
            else conflicting_boxes(material.parts, material.prompts, images),
        }
        for key, table in conflicts.items():
            if table is not None:
                name = "share of samples that conflict, of those asked more than once"
                self._add(found, key, table, name)

    def _add(self, found: dict[str, _Source], key: str, table: Table, name: str = "") -> None:
        """A share as a source."""
        groups = self._groups
        grouped = replace(table, groups=tuple(groups.get(one, "") for one in table.ids))
        found[key] = _Source("", ShareScorer(), grouped, "share", name or key)

    @cached_property
    def _groups(self) -> dict[str, str]:
        """The group of each sample."""
        return {
            name: group
            for table in self._material.tables.values()
            for name, group in zip(table.ids, table.groups, strict=True)
            if group
        }

    def _gap(self) -> Part | None:
        """How far training samples are ahead of validation samples."""
        key = self._resolved("primary")
        source = self._sources.get(key)
        training = self._material.training.get(source.metric) if source is not None else None
        if source is None or training is None or not len(training):
            return None
        of_training = self._interval(source.scorer, training)[source.key]
        found = difference(of_training, self._interval(source.scorer, source.table)[source.key])
        if math.isnan(found.value):
            return None
        return f"{key} on training less validation samples", found, source.strengths

    def _imbalance(self) -> Part | None:
        """How far precision is ahead of recall."""
        source = self._sources.get("grounding/f1")
        if source is None or not isinstance(source.scorer, GroundingScorer):
            return None
        found = imbalance(source.scorer, source.table, self._level)
        if math.isnan(found.value):
            return None
        return "grounding/precision less grounding/recall", found, source.strengths

    def _annotator_sizes(self) -> Part | None:
        """The annotator whose boxes differ most surely in size."""
        source = self._sources.get("boxes/size_ratio")
        if source is None:
            return None
        return annotator_sizes(source.scorer, source.table, self._material.annotators, self._level)

    def _named_band(self, key: str) -> Band:
        """The band of a value that no score gives; of a gap, in the unit of the main value's band."""
        if key in self._own_bands:
            return self._own_bands[key]
        main = self._resolved("primary")
        if key != "gap/primary" or main not in FLOORED:
            return BANDS[key]
        own, usual = self._band(self._sources[main], main), BANDS[main]
        unit = (own.high - own.low) / (usual.high - usual.low)
        return Band(BANDS[key].low * unit, BANDS[key].high * unit)
