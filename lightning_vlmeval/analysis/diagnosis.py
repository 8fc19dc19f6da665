"""What is wrong with a model, from its scores: patterns with what they mean and what shows them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from lightning_vlmeval.analysis.bands import RELATIVE, Band, Condition, Rule
from lightning_vlmeval.analysis.finding import Finding, Number
from lightning_vlmeval.analysis.influence import check_level
from lightning_vlmeval.analysis.material import Material
from lightning_vlmeval.analysis.measures import CHANGE, Measured, Measures
from lightning_vlmeval.analysis.part_measures import Strengths
from lightning_vlmeval.analysis.rules import RULES
from lightning_vlmeval.errors import ConfigurationError

Mode = Literal["auto", "bands", "relative"]
Memory = dict[str, dict[str, str | None]]
"""By family: the slug `shown`, and the `candidate` that the last evaluation alone spoke for."""

MAX_SAMPLES = 20
"""The most samples that a finding names."""

_BUDGET = "error_budget/f1_"


@dataclass(frozen=True)
class Diagnosis:
    """What an evaluation shows.

    Args:
        findings: In their order of precedence: what makes other values say little comes first.
        memory: What the next evaluation's diagnosis needs, as JSON holds it.
        news: A line for each pattern that is told for the first time, or no longer.
    """

    findings: tuple[Finding, ...]
    memory: Memory = field(default_factory=dict)
    news: tuple[str, ...] = ()

    def __getitem__(self, slug: str) -> Finding:
        return next(one for one in self.findings if one.slug == slug)

    @property
    def slugs(self) -> tuple[str, ...]:
        """The names of the findings."""
        return tuple(one.slug for one in self.findings)


def diagnose(
    material: Material,
    memory: Mapping[str, Mapping[str, str | None]] | None = None,
    *,
    bands: Mapping[str, Band] | None = None,
    mode: Mode = "auto",
    rules: Sequence[Rule] = RULES,
    level: float = 0.95,
) -> Diagnosis:
    """The patterns that an evaluation shows, each with its meaning, advice, numbers and samples.

    A value is "high" where its whole interval lies from its band's upper edge on, "low" where it lies
    below the lower edge. A pattern holds where all its conditions do. Of a family of patterns the
    first that holds is told; where none does and the values alone, without their intervals, fit one,
    that is told as not decided. A pattern changes only when two evaluations in a row say so.

    Precision and recall are far apart, whatever their level and with a baseline too, where their
    difference lies beyond its band and its whole interval beyond half of it.

    With a baseline, boxes and texts are judged against it: "high" is higher than the baseline's and
    "low" is lower, by a paired test on the samples that both have, at a level corrected for the number
    of values tested.

    | value | patterns that need it |
    |---|---|
    | not given, undefined, or of no samples | are not looked for; without BERTScore that is told |
    | without an interval, as of one sample | are not decided |
    | not given any more | are no longer told |

    Args:
        material: The evaluation.
        memory: What the diagnosis of the evaluation before gave; None for the first.
        bands: When values are low and high, instead of the defaults in `BANDS`, by key.
        mode: "bands", or "relative" to the baseline; "auto" is relative where there is one.
        rules: The patterns.
        level: The confidence of the intervals.

    Raises:
        ConfigurationError: An option cannot work, or "relative" has no baseline.
        ComparisonError: The baseline has no sample in common.

    Example:
        >>> from lightning_vlmeval.functional.grounding import GroundingScorer
        >>> from lightning_vlmeval.table import Table
        >>> scorer, boxes = GroundingScorer(), [[[0, 0, 9, 9]]] * 60
        >>> rows = scorer.rows([[[0, 0, 9, 9]]] * 10 + [[]] * 50, boxes)
        >>> table = Table(scorer.columns, tuple(map(str, range(60))), rows)
        >>> found = diagnose(Material({"grounding": scorer}, {"grounding": table}))
        >>> print(found.findings[0].slug, found.findings[0].numbers["grounding/recall"])
        cautious 0.167 [0.0915, 0.284]
    """
    check_level(level)
    if mode not in get_args(Mode):
        raise ConfigurationError(
            f"Expected `mode` among {', '.join(get_args(Mode))}, but got {mode!r}"
        )
    if mode == "relative" and not material.baseline:
        raise ConfigurationError('Expected a `baseline` in the material with mode="relative"')
    relative = mode == "relative" or (mode == "auto" and bool(material.baseline))
    judge = _Judge(Measures(material, bands or {}, level), rules, relative)
    families: dict[str, list[Rule]] = {}
    for rule in rules:
        families.setdefault(rule.family, []).append(rule)
    findings, kept = [], {}
    for family, rows in families.items():
        finding, kept[family] = judge.family(rows, (memory or {}).get(family))
        if finding is not None:
            findings.append(finding)
    return Diagnosis(tuple(findings), kept, _news(findings, kept, memory or {}))


def _news(
    findings: Sequence[Finding], kept: Memory, before: Mapping[str, Mapping[str, str | None]]
) -> tuple[str, ...]:
    """What changed since the evaluation before, in lines."""
    told = {one.slug: one for one in findings}
    lines = []
    for family, memory in kept.items():
        old, new = before.get(family, {}).get("shown"), memory["shown"]
        if new is not None and new != old:
            lines.append(f"{new}: {told[new].line()}")
        elif old is not None and new is None:
            lines.append(f"{old}: no longer.")
    return tuple(lines)


class _Judge:
    """Holds rules against the values of one evaluation."""

    def __init__(self, measures: Measures, rules: Sequence[Rule], relative: bool) -> None:
        self._measures, self._relative = measures, relative
        keys = {
            condition.key
            for rule in rules
            if rule.family in RELATIVE
            for condition in rule.conditions
            if condition.side in ("high", "low")
        }
        self._tested = [key for key in sorted(keys) if measures[key] is not None]

    def family(
        self, rules: Sequence[Rule], before: Mapping[str, str | None] | None
    ) -> tuple[Finding | None, dict[str, str | None]]:
        """The finding of a family of rules, and what to remember of it."""
        states = {rule.slug: self._holds(rule) for rule in rules}
        now = next((slug for slug, state in states.items() if state), None)
        by_slug = {rule.slug: rule for rule in rules}
        shown, candidate = now, None
        if before is not None and before.get("shown") != now and before.get("candidate", "") != now:
            shown, candidate = before.get("shown"), now
        if shown is not None and shown in by_slug and self._known(by_slug[shown]):
            memory = {"shown": shown} | ({} if shown == now else {"candidate": candidate})
            return self._finding(by_slug[shown], standing=shown != now), memory
        memory = {"shown": None} | ({} if now is None else {"candidate": now})
        return self._undecided(rules, states), memory

    def _holds(self, rule: Rule) -> bool | None:
        """Whether a pattern holds; None where the intervals do not tell."""
        states = [self._meets(rule, condition) for condition in rule.conditions]
        if False in states:
            return False
        return None if None in states else True

    def _meets(self, rule: Rule, condition: Condition, *, point: bool = False) -> bool | None:
        """Whether a condition is met, by the interval or by the value alone."""
        if condition.side in ("plateaued", "declining"):
            trend = self._measures.trend(condition.key)
            return trend is not None and trend.state == condition.side
        measured = self._value(rule, condition)
        if condition.side == "missing":
            return measured is None
        if measured is None:
            return False
        if condition.side == "known":
            return True
        number = measured.number
        if condition.side == "some":
            return number.value > 0
        low, high = (number.value,) * 2 if point else (number.low, number.high)
        band = condition.band or measured.band
        if condition.side.startswith("far "):
            return _far(number.value, low, high, condition.side, band)
        if condition.side == "not high":
            return not _beyond(low, high, "high", band)
        return _beyond(low, high, condition.side, band)

    def _value(self, rule: Rule, condition: Condition) -> Measured | None:
        """What a condition looks at: the value, or its change against the baseline."""
        decides = condition.side in ("high", "low") and rule.family in RELATIVE
        if self._relative and decides:
            found = self._measures.against(condition.key, len(self._tested))
            if found is not None:
                return found
        return self._measures[condition.key]

    def _known(self, rule: Rule) -> bool:
        """Whether the values of a pattern are there."""
        return all(
            condition.side == "missing"
            or self._measures.trend(condition.key) is not None
            or self._value(rule, condition) is not None
            for condition in rule.conditions
        )

    def _undecided(
        self, rules: Sequence[Rule], states: Mapping[str, bool | None]
    ) -> Finding | None:
        """The first pattern that the values fit and their intervals do not prove."""
        for rule in rules:
            met = [self._meets(rule, condition, point=True) for condition in rule.conditions]
            if rule.kind == "note" or states[rule.slug] is not None or not all(met):
                continue
            finding = self._finding(rule)
            straddling = "; ".join(
                f"{measured.name} {measured.number} ({_edge(condition, measured)})"
                for condition in rule.conditions
                if self._meets(rule, condition) is None
                and (measured := self._value(rule, condition)) is not None
            )
            return Finding(
                f"{rule.family}-not-decided",
                f"Not decided whether `{rule.slug}` holds: {straddling}.",
                "More validation samples would narrow the interval.",
                finding.numbers,
                finding.samples,
                "undecided",
            )
        return None

    # ------------------------------------------------------------------------------ findings

    def _finding(self, rule: Rule, *, standing: bool = False) -> Finding:
        """A pattern with its numbers and samples."""
        numbers: dict[str, Number] = {}
        against = False
        for condition in rule.conditions:
            measured = self._value(rule, condition)
            if measured is None:
                continue
            numbers[measured.name] = measured.number
            against |= measured.band == CHANGE
            trend = self._measures.trend(condition.key)
            if condition.side in ("plateaued", "declining") and trend is not None:
                change = Number(trend.change, trend.low, trend.high)
                numbers[f"change of {measured.name}"] = change
        meaning, advice = rule.meaning, rule.advice
        if against:
            meaning = f"Against the baseline (high is higher, low is lower). {meaning}"
            advice = rule.advice_against or advice
        if standing:
            meaning += " (This evaluation alone does not show it; it takes two in a row to change.)"
        if rule.family == "grounding" and rule.slug != "finds-and-fits":
            numbers |= self._budget()
        return Finding(rule.slug, meaning, advice, numbers, self._samples(rule), rule.kind)

    def _budget(self) -> dict[str, Number]:
        """The two errors whose repair would gain the most F1."""
        found = {
            name: measured.number
            for key in self._measures.keys
            if key.startswith(_BUDGET) and (measured := self._measures[key]) is not None
            for name in [f"F1 without {key.removeprefix(_BUDGET).removesuffix('_fixed')}"]
        }
        best = sorted(found, key=lambda name: -found[name].value)[:2]
        return {name: found[name] for name in best}

    def _samples(self, rule: Rule) -> tuple[str, ...]:
        """The samples that show a pattern, those that show it most first."""
        if rule.evidence:
            parts = [(self._measures.strengths(key), weight) for key, weight in rule.evidence]
        else:
            measured = self._measures[rule.conditions[0].key]
            sign = -1.0 if rule.conditions[0].side == "low" else 1.0
            parts = [] if measured is None else [(measured.strengths(), sign)]
        return _strongest(parts)


def _edge(condition: Condition, measured: Measured) -> str:
    """Where high or low begins."""
    if measured.band == CHANGE:
        return f"{condition.side}er than the baseline's"
    band = condition.band or measured.band
    if condition.side.startswith("far "):
        edge = band.low if condition.side == "far below 0" else band.high
        return f"far from {edge:.3g}, its interval from {edge / 2:.3g}"
    return f"high from {band.high:.3g}" if condition.side == "high" else f"low below {band.low:.3g}"


def _beyond(low: float, high: float, side: str, band: Band) -> bool | None:
    """Whether an interval lies on one side of a band; None where it straddles the edge."""
    if math.isnan(low) or math.isnan(high) or math.isnan(band.low):
        return None
    edge = band.high if side == "high" else band.low
    if high < edge:
        return side == "low"
    return side == "high" if low >= edge else None


def _far(value: float, low: float, high: float, side: str, band: Band) -> bool | None:
    """Whether a difference is beyond its band; None where its interval is not beyond half of it.

    Were it enough that the interval leaves out 0, a true difference of 0.06 would be told as one of
    0.15 in 3 % of evaluations of 50 samples.
    """
    if math.isnan(low) or math.isnan(high):
        return None
    if side == "far below 0":
        value, low, edge = -value, -high, -band.low
    else:
        edge = band.high
    return (low >= edge / 2 or None) if value >= edge else False


def _strongest(parts: Sequence[tuple[Strengths, float]]) -> tuple[str, ...]:
    """The samples whose weighted sums are above the mean, the largest first."""
    known = [(strengths, weight) for strengths, weight in parts if strengths]
    if not known:
        return ()
    shared = set.intersection(*(set(strengths) for strengths, _ in known))
    sums = {name: sum(weight * strengths[name] for strengths, weight in known) for name in shared}
    sums = {name: value for name, value in sums.items() if not math.isnan(value)}
    if not sums:
        return ()
    mean = float(np.mean(list(sums.values())))
    shown = [name for name, value in sums.items() if value >= mean - 1e-12]
    return tuple(sorted(shown, key=lambda name: (-sums[name], name))[:MAX_SAMPLES])
