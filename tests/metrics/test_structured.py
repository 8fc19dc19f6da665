"""Structured answers in formats other than JSON, and what the metric tells beside its values."""

import re
from typing import Any

import pytest

from lightning_vlmeval.metrics import StructuredOutputScore

TARGET = {"defect": "dent", "count": "2"}


def report(text: str) -> dict[str, str]:
    """A format of a user's own: lines of a name, a colon and a value."""
    return dict(line.split(": ") for line in text.strip().split("\n"))


SENTENCE = r"^(?P<count>\d+) x (?P<defect>\w+)$"
CELLS = list(TARGET.values())


@pytest.mark.parametrize(
    ("options", "target", "answers", "lenient"),
    [
        ({"format": SENTENCE}, TARGET, ["2 x dent", "3 x dent", "a dent"], 2),
        (
            {"format": re.compile(SENTENCE.strip("^$"))},
            TARGET,
            ["2 x dent\n", "3 x dent", "So: 2 x dent."],
            3,
        ),
        (
            {"format": report},
            TARGET,
            ["defect: dent\ncount: 2", "defect: dent\ncount: 3", "```\ndefect: dent\n```"],
            3,
        ),
        ({"format": report}, TARGET, ["defect: dent\ncount: 2", "defect: dent", "dent"], 2),
        (
            {"format": "csv", "delimiter": "|"},
            [TARGET],
            ["defect|count\ndent|2", "defect|count\ndent|3", "A table:\ndefect|count\ndent|2"],
            3,
        ),
        (
            {"format": "csv", "delimiter": "\t", "header": False},
            [CELLS],
            ["dent\t2", "dent\t3", "dent, 2"],
            2,
        ),
    ],
)
def test_other_formats(
    options: dict[str, Any], target: Any, answers: list[str], lenient: int
) -> None:
    """The first answer is right, the second half right, the third not of the format."""
    metric = StructuredOutputScore(**options)
    metric.update(answers, [target] * 3, ids=list("abc"))
    scores = {key: float(value) for key, value in metric.compute().items()}
    assert scores["format_compliance"] == 2 / 3
    assert scores["format_compliance_lenient"] == lenient / 3
    own = metric.sample_scores()
    assert own["exact_match"][:2].tolist() == [1, 0]
    assert own["field_recall"][:2].tolist() == [1, 1 / 2]


def test_fields_one_by_one() -> None:
    metric = StructuredOutputScore(format=SENTENCE)
    metric.update(["2 x dent", "3 x dent"], [TARGET] * 2, ids=["a", "b"])
    metric.update(["2 x hole"], [TARGET], ids=["c"])
    recall = {field: scores["recall"] for field, scores in metric.field_scores().items()}
    assert recall == {"count": 2 / 3, "defect": 2 / 3}


def test_formats_that_read_differently_have_other_signatures() -> None:
    one = StructuredOutputScore(format=re.compile("a"))
    two = StructuredOutputScore(format=re.compile("a", re.IGNORECASE))
    assert one.signature() != two.signature()
    same = StructuredOutputScore(format="^a"), StructuredOutputScore(format=re.compile("^a"))
    assert same[0].signature() == same[1].signature()
