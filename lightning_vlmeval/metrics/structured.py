"""Structured answers as a stateful metric."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lightning_vlmeval.functional.field_breakdown import field_scores
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.metrics.table_metric import TableMetric


class StructuredOutputScore(TableMetric):
    """Format compliance, schema adherence, field accuracy and consistency of structured answers.

    `compute` returns `format_compliance` (the whole answer parses) and `format_compliance_lenient`
    (after repairs), the causes of failure as `cause_...`, `schema_adherence`, `field_precision`,
    `field_recall`, `field_f1`, `hallucinated_rate`, `swapped_rate`, `wrong_unit_rate`, `donut_f1`,
    `tree_edit_accuracy`, `consistency` and others; `StructuredOutputScorer` defines each, and every
    empty case.

    A target is an object, or a text in the format.

    Args:
        format: "json", "yaml", "csv", a regular expression (compiled, or a text that begins with "^"),
            or a function from a text to its value, which raises ValueError to refuse it.
        schema: A JSON Schema, or the short form as in `{"defect_type": str, "count": int}`.
        required_fields: Names of fields that must be there.
        comparators: For a field's path, how its values are compared; "*" is the default.
        nulls: Whether a null is the same as no field ("absent"), or a "value" like others.
        reading: Whether fields, schema and structure are of what can be read with repairs
            ("lenient") or of strict answers alone ("strict").
        delimiter: What stands between two cells of a CSV.
        header: Whether the first row of a CSV holds the names of the columns.
        max_length: The most characters of an answer that are read.
        max_depth: The deepest nesting that is read.
        **kwargs: torchmetrics' own arguments.

    Example:
        >>> metric = StructuredOutputScore(schema={"type": str, "count": int})
        >>> target = {"type": "dent", "count": 2}
        >>> metric.update(['{"type": "dent", "count": 2}', "None found."], [target, target])
        >>> scores = metric.compute()
        >>> float(scores["format_compliance"]), float(scores["field_recall"])
        (0.5, 0.5)
    """

    def __init__(
        self,
        format: Any = "json",
        schema: Any = None,
        required_fields: Sequence[str] = (),
        comparators: Mapping[str, Any] | None = None,
        nulls: Literal["absent", "value"] = "absent",
        reading: Literal["lenient", "strict"] = "lenient",
        delimiter: str = ",",
        header: bool = True,
        max_length: int = 100_000,
        max_depth: int = 64,
        **kwargs: Any,
    ) -> None:
        scorer = StructuredOutputScorer(
            format=format,
            schema=schema,
            required_fields=required_fields,
            comparators=comparators or {},
            nulls=nulls,
            reading=reading,
            delimiter=delimiter,
            header=header,
            max_length=max_length,
            max_depth=max_depth,
        )
        super().__init__(scorer, **kwargs)

    def field_scores(self) -> dict[str, dict[str, float]]:
        """The scores of each field over the samples of `table()`, by its path.

        Such as `recall`, `hallucinated_rate`, `swapped_rate` and `schema_missing`; see
        `lightning_vlmeval.functional.field_breakdown.field_scores`.

        Example:
            >>> metric = StructuredOutputScore()
            >>> metric.update(['{"type": "dent", "count": 3}'], [{"type": "dent", "count": 2}])
            >>> {field: scores["recall"] for field, scores in metric.field_scores().items()}
            {'count': 0.0, 'type': 1.0}
        """
        return field_scores(self.table())
