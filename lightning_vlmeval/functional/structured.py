"""Structured answers (JSON, YAML, CSV): do they parse, keep to the schema, and hold the right values?"""

import functools
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from lightning_vlmeval import __version__
from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.comparator_specs import ComparatorSpec
from lightning_vlmeval.functional.comparators import Exact
from lightning_vlmeval.functional.consistency import structure_consistency, structure_signature
from lightning_vlmeval.functional.field_breakdown import (
    digest_of,
    field_rates,
    field_rows,
    field_scores,
    pack_fields,
    structure_of,
)
from lightning_vlmeval.functional.fields import FIELD_COUNTS, FieldComparison, total_counts
from lightning_vlmeval.functional.reading import (
    Answer,
    answer_violations,
    read_answer,
    target_value,
)
from lightning_vlmeval.functional.schema import Schema
from lightning_vlmeval.functional.scorer import Scorer, Scores, check_lengths, ratio
from lightning_vlmeval.functional.trees import tree_scores
from lightning_vlmeval.functional.violations import KINDS, Violation
from lightning_vlmeval.parsing.payload import CAUSES, Format, Payload, PayloadFormat
from lightning_vlmeval.table import Floats, Table

_FORMAT_COLUMNS = ("samples", "strict", "lenient", "duplicates")
_SCHEMA_COLUMNS = ("checked", "conforming", *KINDS)
_TARGET_COLUMNS = ("compared", "exact", *FIELD_COUNTS, "flat_right", "flat_wrong", "tree_accuracy")
_COLUMNS = (*_FORMAT_COLUMNS, *_SCHEMA_COLUMNS, *_TARGET_COLUMNS, *CAUSES)
_AT = {name: position for position, name in enumerate(_COLUMNS)}

_CONSISTENCY = ("consistency", "group_consistency", "structure_entropy")


@dataclass(frozen=True)
class StructuredOutputScorer(Scorer):
    """Format compliance, schema adherence, field accuracy and consistency of structured answers.

    ============================  ================================  ==============================
    key                           of                                counts
    ============================  ================================  ==============================
    format_compliance             answers                           those that parse, strictly
    format_compliance_lenient     answers                           those that a value is read from
    duplicate_keys                answers                           with a key twice in one mapping
    cause_...                     answers                           not strict for this cause; one
                                                                    answer may have several
    schema_adherence              answers                           read, and without a violation
    schema_missing                answers                           not read, or with a field missing
    schema_unexpected, _wrong_    answers                           read, and with such a violation
    type, _out_of_range
    field_precision               fields produced                   right ones
    field_recall                  fields expected                   right ones
    field_f1                      half of both                      right ones
    missing_rate                  fields expected                   not there
    hallucinated_rate             fields produced                   that the target does not have
    swapped_rate                  fields produced                   with another field's value
    wrong_unit_rate               fields produced                   right but for the unit
    exact_match                   answers with a target             all fields right, none besides
    donut_f1                      as Donut's `cal_f1`               fields, flat and as texts
    tree_edit_accuracy            answers with a target             mean of Donut's `cal_acc`
    consistency                   answers read                      with the most frequent structure
    group_consistency             answers read, in groups of two    the same, within each group
                                  or more
    structure_entropy             answers read                      entropy of the structures, bits
    ============================  ================================  ==============================

    All are in [0, 1] but `structure_entropy`. What repairs or constrained decoding would buy is
    `format_compliance_lenient` less `format_compliance`. An answer that is not read has none of the
    fields: all that its target expects are missing. Where a key counts of nothing it is NaN: the
    schema's without a schema, the fields' without targets. Precision is 0 where nothing is produced
    and something expected. The last three are no sums over samples: only `score` gives them, from
    the structures beside the rows, while `from_sums` has NaN for them. `field_scores` breaks the
    fields down by their paths.

    What an answer is, and its causes, is told by `PayloadFormat`; what the schema's violations are
    by `Schema`; what is counted of the fields by `FieldComparison`; the trees by
    `tree_scores`.

    Args:
        format: `json`, `yaml`, `csv`, a regular expression (compiled, or a text that begins with `^`),
            or a function from the text to its value, which raises ValueError to refuse it.
        schema: A JSON Schema, or the short form as in ``{"defect_type": str, "count": int}``; for a
            CSV it is for each row.
        required_fields: Names of fields that must be there.
        comparators: For a field's path, how its values are compared; "*" is the default.
        nulls: Whether a null is the same as no field (`absent`), or a `value` like others.
        reading: Whether fields, schema and structure are of what can be read with repairs (`lenient`)
            or of strict answers alone (`strict`).
        delimiter: What stands between two cells of a CSV.
        header: Whether the first row of a CSV holds the names of the columns.
        max_length: The most characters of an answer that are read; longer ones fail as `too_long`.
        max_depth: The deepest nesting that is read; deeper ones fail as `too_deep`.

    Raises:
        ConfigurationError: An option cannot work.

    Example:
        >>> scorer = StructuredOutputScorer(schema={"type": str, "count": int})
        >>> rows = scorer.rows(['{"type": "dent", "count": 2}', "None found."],
        ...                    [{"type": "dent", "count": 1}, {"type": "dent", "count": 1}])
        >>> scores = scorer.from_sums(rows.sum(axis=0))
        >>> [float(scores[key]) for key in ("format_compliance", "schema_adherence", "field_recall")]
        [0.5, 0.5, 0.25]
    """

    name: ClassVar[str] = "structured"
    unbounded: ClassVar[frozenset[str]] = frozenset({"structure_entropy"})

    format: Format = "json"
    schema: Any = None
    required_fields: Sequence[str] = ()
    comparators: Mapping[str, ComparatorSpec] = field(default_factory=dict)
    nulls: Literal["absent", "value"] = "absent"
    reading: Literal["lenient", "strict"] = "lenient"
    delimiter: str = ","
    header: bool = True
    max_length: int = 100_000
    max_depth: int = 64

    def __post_init__(self) -> None:
        if self.reading not in ("lenient", "strict"):
            raise ConfigurationError(
                f"Expected `reading` to be 'lenient' or 'strict', but got {self.reading!r}"
            )
        # Made here, so that an option that cannot work raises before the first sample.
        _ = self._parser, self._rules, self._comparison

    @functools.cached_property
    def _parser(self) -> PayloadFormat:
        return PayloadFormat(
            self.format,
            self.delimiter,
            self.header,
            max_length=self.max_length,
            max_depth=self.max_depth,
        )

    @functools.cached_property
    def _rules(self) -> Schema:
        return Schema(self.schema, self.required_fields)

    @functools.cached_property
    def _comparison(self) -> FieldComparison:
        comparators = self.comparators
        if self.format == "csv" and isinstance(comparators, Mapping):  # every cell is text
            comparators = {"*": Exact(typed=False), **comparators}
        return FieldComparison(comparators, self.nulls)

    @property
    def columns(self) -> tuple[str, ...]:
        """The name of each statistic in a row."""
        return _COLUMNS

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the scores."""
        return tuple(self.from_sums(np.zeros(len(_COLUMNS))))

    def options(self) -> tuple[tuple[str, str], ...]:
        """What else changes the number."""
        comparison = self._comparison.comparators
        named = ";".join(f"{path}={comparison[path]!r}" for path in sorted(comparison))
        pairs = [
            ("format", self._parser.name),
            ("schema", digest_of(self._rules.text).hex() if self._rules.text else "none"),
            ("required_fields", ",".join(sorted(self._rules.required_fields)) or "none"),
            ("comparators", named or "exact"),
            ("nulls", self.nulls),
            ("reading", self.reading),
        ]
        if self.format == "csv":
            pairs += [("delimiter", self.delimiter), ("header", "yes" if self.header else "no")]
        pairs += [("max_length", str(self.max_length)), ("max_depth", str(self.max_depth))]
        libraries = [("jsonschema", bool(self._rules.text)), ("PyYAML", self.format == "yaml")]
        versions = [f"{lib} {importlib.metadata.version(lib)}" for lib, used in libraries if used]
        return (*pairs, ("version", ", ".join([__version__, *versions])))

    def rows(
        self,
        preds: Sequence[str],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> Floats:
        """The statistics of each sample, float64 of shape (n, K).

        Args:
            preds: One text for each sample.
            target: For each sample what it should hold: a mapping or a list, a text in the same
                format, or None where only format and schema are asked for.
            prompts: Not used.
            truncated: Not used.

        Raises:
            InputTypeError: A prediction is not a text, or a target none of these.
            InputError: The lengths differ, or the text of a target cannot be read.
        """
        return self.tabulate(preds, target)[0]

    def payloads(self, preds: Sequence[str], target: Sequence[Any]) -> list[bytes]:
        """What no sum holds: the hash of each answer's structure, and the counts of its fields.

        Args:
            preds: As for `rows`.
            target: As for `rows`.
        """
        return self.tabulate(preds, target)[1]

    def tabulate(
        self,
        preds: Sequence[str],
        target: Sequence[Any],
        *,
        prompts: Sequence[str] | None = None,
        truncated: Sequence[bool] | None = None,
    ) -> tuple[Floats, list[bytes]]:
        """The rows and what is kept beside them, each answer read once.

        Args:
            preds: As for `rows`.
            target: As for `rows`.
            prompts: Not used.
            truncated: Not used.
        """
        check_lengths(preds, target)
        rows, payloads = np.zeros((len(preds), len(_COLUMNS))), []
        for index, (text, wanted) in enumerate(zip(preds, target, strict=True)):
            answer = read_answer(text, self._parser, self.reading == "lenient", index)
            expected = target_value(wanted, self._parser, index)
            violations = self._violations(answer)
            counts = {} if expected is None else self._comparison.counts(answer.value, expected)
            self._fill_format(rows[index], answer.payload)
            self._fill_schema(rows[index], answer, violations)
            if expected is not None:
                self._fill_fields(rows[index], answer, expected, total_counts(counts))
            structure = structure_signature(answer.value) if answer.read else None
            payloads.append(pack_fields(structure, _with_violations(counts, violations)))
        return rows, payloads

    def from_sums(self, sums: Floats) -> Scores:
        """The scores of column sums: a pure function, vectorised over the leading axes.

        Args:
            sums: Shape (..., K).
        """
        sums = np.asarray(sums, float)
        column = {name: sums[..., position] for name, position in _AT.items()}
        samples, checked, compared = (column[n] for n in ("samples", "checked", "compared"))
        first = _AT[FIELD_COUNTS[0]]
        fields = field_rates(sums[..., first : first + len(FIELD_COUNTS)])
        return {
            "format_compliance": ratio(column["strict"], samples),
            "format_compliance_lenient": ratio(column["lenient"], samples),
            "duplicate_keys": ratio(column["duplicates"], samples),
            **{f"cause_{cause}": ratio(column[cause], samples) for cause in CAUSES},
            "schema_adherence": ratio(column["conforming"], checked),
            **{f"schema_{kind}": ratio(column[kind], checked) for kind in KINDS},
            **{f"field_{key}": fields[key] for key in ("precision", "recall", "f1")},
            **{key: value for key, value in fields.items() if key.endswith("_rate")},
            "exact_match": ratio(column["exact"], compared),
            "donut_f1": ratio(
                column["flat_right"], column["flat_right"] + column["flat_wrong"] / 2
            ),
            "tree_edit_accuracy": ratio(column["tree_accuracy"], compared),
            **{key: np.full(samples.shape, np.nan) for key in _CONSISTENCY},
        }

    def score(self, table: Table) -> dict[str, float]:
        """The scores of a table, consistency included.

        Args:
            table: Rows that this scorer made, with their payloads; each id once.
        """
        scores = super().score(table)
        structures = zip(map(structure_of, table.payloads), table.groups, strict=True)
        read = [(structure, group) for structure, group in structures if structure]
        found = structure_consistency([one for one, _ in read], [group for _, group in read])
        return {**scores, **dict(zip(_CONSISTENCY, found, strict=True))}

    def read(self, text: str) -> Any:
        """An answer's value in JSON's terms; None where nothing of it counts.

        Args:
            text: The whole answer.

        Raises:
            InputTypeError: It is not a text.
        """
        return read_answer(text, self._parser, self.reading == "lenient").value

    def read_target(self, target: Any) -> Any:
        """A target's value in JSON's terms.

        Args:
            target: As for `rows`.

        Raises:
            InputTypeError: It is none of these.
            InputError: Its text cannot be read.
        """
        return target_value(target, self._parser)

    def field_rows(self, table: Table) -> tuple[list[tuple[str, str]], Floats]:
        """The finer grain: a row of counts for each field of each sample; see `field_rows`.

        Args:
            table: Rows that this scorer made, with their payloads.
        """
        return field_rows(table)

    def field_scores(self, table: Table) -> dict[str, dict[str, float]]:
        """The scores of each field, by its path; see `field_scores`.

        Args:
            table: Rows that this scorer made, with their payloads; each id once.
        """
        return field_scores(table)

    def _violations(self, answer: Answer) -> list[Violation]:
        checks = self._rules.text or self._rules.required_fields
        if not checks or not answer.read:
            return []
        return answer_violations(answer.payload, self._rules, self.format)

    def _fill_format(self, row: Floats, payload: Payload) -> None:
        row[_AT["samples"]] = 1
        row[_AT["strict"]] = payload.strict
        row[_AT["lenient"]] = payload.lenient
        row[_AT["duplicates"]] = payload.duplicate_keys > 0
        for cause in payload.causes:
            row[_AT[cause]] = 1

    def _fill_schema(self, row: Floats, answer: Answer, violations: list[Violation]) -> None:
        if not (self._rules.text or self._rules.required_fields):
            return
        row[_AT["checked"]] = 1
        row[_AT["conforming"]] = answer.read and not violations
        row[_AT["missing"]] = not answer.read
        for violation in violations:
            row[_AT[violation.kind]] = 1

    def _fill_fields(self, row: Floats, answer: Answer, expected: Any, counts: list[int]) -> None:
        first = _AT[FIELD_COUNTS[0]]
        row[first : first + len(counts)] = counts
        row[_AT["compared"]] = 1
        row[_AT["exact"]] = answer.read and counts[0] == counts[1] == counts[2]
        first = _AT["flat_right"]
        row[first : first + 3] = tree_scores(answer.value, expected)
        row[_AT["tree_accuracy"]] *= answer.read


def _with_violations(
    counts: Mapping[str, list[int]], violations: Sequence[Violation]
) -> dict[str, list[int]]:
    """The counts of each field, and after them which kinds of violations it has."""
    fields = {path: [*row, *[0] * len(KINDS)] for path, row in counts.items()}
    for violation in violations:
        row = fields.setdefault(violation.path, [0] * (len(FIELD_COUNTS) + len(KINDS)))
        row[len(FIELD_COUNTS) + KINDS.index(violation.kind)] += 1
    return fields
