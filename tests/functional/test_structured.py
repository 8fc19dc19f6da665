import copy
import json
import math
import pickle
import re
import tracemalloc

import numpy as np
import pytest

from lightning_vlmeval.errors import ConfigurationError, InputError, InputTypeError
from lightning_vlmeval.functional.comparators import Number
from lightning_vlmeval.functional.consistency import structure_consistency, structure_signature
from lightning_vlmeval.functional.structured import StructuredOutputScorer
from lightning_vlmeval.table import Table

FENCE = "```"
TARGET = {"type": "dent", "count": 2, "place": {"x": 1.0, "y": 2.0}}
SCHEMA = {"type": str, "count": int, "place": {"x": float, "y": float}}
ANSWERS = [
    json.dumps(TARGET),
    f"{FENCE}json\n{json.dumps(TARGET)}\n{FENCE}",
    '{"type": "dent", "count": "2", "place": {"x": 2, "y": 1},}',
    '{"type": "dent", "count": 2, "place": {"x": 1.0, "y": 2',
    "There is a dent.",
    "",
    '{"type": "dent", "type": "dent", "size": 2}',
]


def table(scorer: StructuredOutputScorer, preds: list[str], target: list[object]) -> Table:
    ids = tuple(f"s{i}" for i in range(len(preds)))
    groups = tuple(f"g{i // 2}" for i in range(len(preds)))
    return Table(
        scorer.columns,
        ids,
        scorer.rows(preds, target),
        groups,
        tuple(scorer.payloads(preds, target)),
    )


def scores(preds: list[str], target: list[object], **options: object) -> dict[str, float]:
    scorer = StructuredOutputScorer(**options)
    return scorer.score(table(scorer, preds, target))


def test_by_hand() -> None:
    """Seven answers of four fields each; two are strict, five can be read.

    Right fields: 4, 4, 1 (the type), 3 (one is cut off), 0, 0, 1 (the type): 13 of 28 expected.
    Produced: 4, 4, 4, 3, 0, 0, 2: 17, of which one (the size) is hallucinated.
    The third has x and y swapped; "2" for 2 is just wrong.
    """
    found = scores(ANSWERS, [TARGET] * 7, schema=SCHEMA)
    want = {
        "format_compliance": 2 / 7,
        "format_compliance_lenient": 5 / 7,
        "duplicate_keys": 1 / 7,
        "cause_empty": 1 / 7,
        "cause_fence": 1 / 7,
        "cause_prose": 1 / 7,
        "cause_trailing_comma": 1 / 7,
        "cause_cut_off": 1 / 7,
        "cause_quotes": 0,
        "cause_other": 0,
        "schema_adherence": 2 / 7,
        "schema_missing": 4 / 7,  # cut off, prose, empty, and the last
        "schema_unexpected": 1 / 7,
        "schema_wrong_type": 1 / 7,
        "schema_out_of_range": 0,
        "field_precision": 13 / 17,
        "field_recall": 13 / 28,
        "field_f1": 26 / 45,
        "missing_rate": 12 / 28,  # 1 + 4 + 4 + 3
        "hallucinated_rate": 1 / 17,
        "swapped_rate": 2 / 17,
        "wrong_unit_rate": 0,
        "exact_match": 2 / 7,
        # The structures are A A B C D, as "2" is a text: B; C lacks y; D.
        "consistency": 2 / 5,
        # Groups: A A, B C, (one is left in the others)
        "group_consistency": 3 / 4,
        "structure_entropy": 2 / 5 * math.log2(5 / 2) + 3 / 5 * math.log2(5),
    }
    assert {key: found[key] for key in want} == pytest.approx(want)


def test_keys_are_in_the_order_of_the_scores() -> None:
    scorer = StructuredOutputScorer()
    assert tuple(scores(ANSWERS, [TARGET] * 7)) == scorer.keys
    assert tuple(scorer.from_sums(np.ones((2, len(scorer.columns))))) == scorer.keys
    assert scorer.rows([], []).shape == (0, len(scorer.columns))
    assert scorer.payloads([], []) == []


NAN = float("nan")


@pytest.mark.parametrize(
    ("pred", "target", "options", "want"),
    [
        # Neither a schema nor a target: nothing to say of them.
        ("{}", None, {}, {"schema_adherence": NAN, "field_f1": NAN, "exact_match": NAN}),
        ("{}", None, {"required_fields": ["a"]}, {"schema_adherence": 0, "schema_missing": 1}),
        # Nothing is expected and nothing is there.
        ("{}", {}, {}, {"field_f1": NAN, "field_recall": NAN, "exact_match": 1, "donut_f1": NAN}),
        ("{}", {"a": None}, {}, {"field_f1": NAN, "exact_match": 1, "tree_edit_accuracy": 1}),
        ('{"a": 1}', {}, {}, {"field_precision": 0, "field_recall": NAN, "field_f1": 0}),
        ("{}", {"a": 1}, {}, {"field_precision": 0, "field_recall": 0, "field_f1": 0}),
        ("{}", {"a": 1}, {}, {"hallucinated_rate": NAN, "missing_rate": 1, "exact_match": 0}),
        # An answer that is not read lacks all fields.
        ("no", {"a": 1}, {}, {"missing_rate": 1, "field_f1": 0, "exact_match": 0, "donut_f1": 0}),
        ("no", {}, {}, {"exact_match": 0, "tree_edit_accuracy": 0, "field_f1": NAN}),
        ("no", None, {"schema": {"a": int}}, {"schema_adherence": 0, "schema_missing": 1}),
        ("{'a': 1}", {"a": 1}, {}, {"field_f1": 1, "format_compliance": 0, "exact_match": 1}),
        ("{'a': 1}", {"a": 1}, {"reading": "strict"}, {"field_f1": 0, "consistency": NAN}),
        ("{'a': 1}", {"a": 1}, {"reading": "strict"}, {"format_compliance_lenient": 1}),
        # Targets as text, in the format of the answers.
        ('{"a": 1}', '{"a": 1.0}', {}, {"exact_match": 1}),
        ("a: 2024-01-02", {"a": "2024-01-02"}, {"format": "yaml"}, {"exact_match": 1}),
        ("a: 2024-01-02", "a: 2024-01-02", {"format": "yaml"}, {"exact_match": 1}),
        ("a,b\n1,x\n,y", [{"a": 1, "b": "x"}, {"a": None, "b": "y"}], {"format": "csv"}, {"exact_match": 1}),
        ("b,a\nx,1", "a,b\n1,x", {"format": "csv"}, {"exact_match": 1, "donut_f1": 1}),
        ("a,b\n1,x", "a,b\n1,x", {"format": "csv", "schema": {"a": int, "b": str}}, {"schema_adherence": 1}),
        ("a;b\n1;x", "a;b\n1;x", {"format": "csv", "delimiter": ";"}, {"format_compliance": 1}),
        ("1,x", [["x", 1]], {"format": "csv", "header": False}, {"exact_match": 1}),
        ("a=1", {"a": "1"}, {"format": re.compile(r"a=(?P<a>\d)")}, {"exact_match": 1}),
        ("{}", (), {}, {"exact_match": 1}),
        # Limits.
        ("[[1]]", [[1]], {"max_depth": 1}, {"cause_too_deep": 1, "field_recall": 0}),
        ("[[1]]", [[1]], {"max_length": 4}, {"cause_too_long": 1, "field_recall": 0}),
        # Options of the fields.
        ('{"a": 9}', {"a": 10}, {"comparators": {"a": {"number": {"relative": 0.1}}}}, {"field_f1": 1}),
        ('{"a": null}', {"a": None}, {"nulls": "value"}, {"field_f1": 1}),
        ('{"a": "5 cm"}', {"a": "5 mm"}, {}, {"wrong_unit_rate": 1, "field_f1": 0}),
    ],
)  # fmt: skip
def test_odd_input(
    pred: str, target: object, options: dict[str, object], want: dict[str, float]
) -> None:
    found = scores([pred], [target], **options)
    assert {key: found[key] for key in want} == pytest.approx(want, nan_ok=True)


def test_rows_of_a_whole_are_those_of_its_parts() -> None:
    scorer = StructuredOutputScorer(schema=SCHEMA)
    whole = scorer.rows(ANSWERS, [TARGET] * 7)
    parts = [scorer.rows([answer], [TARGET]) for answer in ANSWERS]
    assert np.array_equal(whole, np.vstack(parts))
    assert scorer.payloads(ANSWERS, [TARGET] * 7) == [
        scorer.payloads([answer], [TARGET])[0] for answer in ANSWERS
    ]
    many = scorer.from_sums(np.stack([whole.sum(0), whole[:3].sum(0)]))
    few = scorer.from_sums(whole[:3].sum(0))
    for key, values in many.items():
        assert values.shape == (2,)
        assert np.array_equal(values[1], few[key], equal_nan=True)


def test_each_samples_own_scores() -> None:
    scorer = StructuredOutputScorer(schema=SCHEMA)
    own = scorer.sample_scores(table(scorer, ANSWERS, [TARGET] * 7))
    assert own["field_f1"][:3] == pytest.approx([1, 1, 1 / 4])
    assert own["format_compliance"].tolist() == [1, 0, 0, 0, 0, 0, 1]
    assert np.isnan(own["consistency"]).all()
    for key in scorer.keys:
        values = own[key][~np.isnan(own[key])]
        assert ((values >= 0) & (values <= 1)).all(), key


def test_the_finer_grain_adds_up() -> None:
    scorer = StructuredOutputScorer(schema=SCHEMA)
    whole = table(scorer, ANSWERS, [TARGET] * 7)
    keys, finer = scorer.field_rows(whole)
    first = scorer.columns.index("right")
    for sample, row in zip(whole.ids, whole.rows, strict=True):
        mine = [row for (owner, _), row in zip(keys, finer, strict=True) if owner == sample]
        assert np.array_equal(np.sum(mine, axis=0)[:6], row[first : first + 6])
    by_path = dict(zip(keys, finer.tolist(), strict=True))
    assert by_path["s2", "place.x"] == [0, 1, 1, 0, 1, 0, 0, 0, 0, 0]
    assert by_path["s2", "count"] == [0, 1, 1, 0, 0, 0, 0, 0, 1, 0]
    assert by_path["s6", "size"] == [0, 0, 1, 1, 0, 0, 0, 1, 0, 0]
    assert by_path["s6", "place"] == [0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert by_path["s4", "type"] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0], "not read: the field is missing"


def test_each_field_by_hand() -> None:
    """Of seven answers five have the type, all right; the count is missing in three, and once "2"."""
    scorer = StructuredOutputScorer(schema=SCHEMA)
    fields = scorer.field_scores(table(scorer, ANSWERS, [TARGET] * 7))
    assert list(fields) == ["count", "place", "place.x", "place.y", "size", "type"]
    assert fields["type"]["recall"] == 5 / 7
    assert fields["type"]["precision"] == 1
    count = fields["count"]
    assert (count["expected"], count["produced"], count["recall"]) == (7, 4, 3 / 7)
    assert (count["missing_rate"], count["schema_missing"]) == (3 / 7, 1 / 7)
    assert (count["precision"], count["schema_wrong_type"]) == (3 / 4, 1 / 7)
    assert fields["place.x"]["swapped_rate"] == 1 / 4
    assert fields["place.y"]["schema_missing"] == 1 / 7, "cut off"
    assert fields["size"]["hallucinated_rate"] == 1
    assert math.isnan(fields["size"]["recall"])
    assert fields["place"]["schema_missing"] == 1 / 7


def test_one_pass_gives_what_two_give() -> None:
    scorer = StructuredOutputScorer(schema=SCHEMA)
    rows, payloads = scorer.tabulate(ANSWERS, [TARGET] * 7)
    assert np.array_equal(rows, scorer.rows(ANSWERS, [TARGET] * 7))
    assert payloads == scorer.payloads(ANSWERS, [TARGET] * 7)


# ------------------------------------------------------------------------------------- consistency


def test_structure_signature() -> None:
    one = {"b": [{"x": 1}, {"x": 2.5}], "a": None}
    assert structure_signature(one) == '{"a":null,"b":[{"x":number}]}'
    assert structure_signature({"a": None, "b": [{"x": 7}]}) == structure_signature(one)
    assert structure_signature([1, "a", [True], []]) == "[[]|[boolean]|number|text]"
    assert structure_signature({'"a"': 1}) != structure_signature({"a": 1})


@pytest.mark.parametrize(
    ("signatures", "groups", "want"),
    [
        ([], [], (NAN, NAN, NAN)),
        (["a"], ["g"], (1, NAN, 0)),
        (["a", "b"], ["", ""], (0.5, NAN, 1)),  # without a group nothing is shared
        (["a", "b", "b", "c"], ["g", "g", "g", "h"], (0.5, 2 / 3, 1.5)),
        (["a", "a", "b", "b"], ["g", "g", "h", "h"], (0.5, 1, 1)),
    ],
)
def test_consistency(signatures: list[str], groups: list[str], want: tuple[float, ...]) -> None:
    assert structure_consistency(signatures, groups) == pytest.approx(want, nan_ok=True)


def test_consistency_does_not_depend_on_the_order() -> None:
    scorer = StructuredOutputScorer()
    whole = table(scorer, ANSWERS, [TARGET] * 7)
    turned = whole.take(range(6, -1, -1))
    assert {k: v.hex() for k, v in scorer.score(whole).items()} == {
        k: v.hex() for k, v in scorer.score(turned).items()
    }


# ----------------------------------------------------------------------- signature, errors, hostile


def test_every_option_is_in_the_signature() -> None:
    plain = StructuredOutputScorer()
    assert str(plain.signature()).startswith(
        "structured|format:json|schema:none|required_fields:none"
    )
    others = [
        StructuredOutputScorer(format="yaml"),
        StructuredOutputScorer(format="csv"),
        StructuredOutputScorer(format="csv", delimiter=";"),
        StructuredOutputScorer(format="csv", header=False),
        StructuredOutputScorer(format=re.compile("a")),
        StructuredOutputScorer(format=json.loads),
        StructuredOutputScorer(schema={"a": int}),
        StructuredOutputScorer(schema={"a": float}),
        StructuredOutputScorer(required_fields=["a"]),
        StructuredOutputScorer(comparators={"a": "number"}),
        StructuredOutputScorer(comparators={"a": Number(relative=0.1)}),
        StructuredOutputScorer(nulls="value"),
        StructuredOutputScorer(reading="strict"),
        StructuredOutputScorer(max_length=10),
        StructuredOutputScorer(max_depth=10),
    ]
    signatures = {str(scorer.signature()) for scorer in (plain, *others)}
    assert len(signatures) == 1 + len(others)
    long = StructuredOutputScorer(schema={"type": "object", "required": ["a"]})
    same = StructuredOutputScorer(schema={"required": ["a"], "type": "object"})
    assert long.signature() == same.signature()
    assert long.options()[-1][0] == "version"
    assert "jsonschema" in long.options()[-1][1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "xml"}, "Expected `format` to be 'json', 'yaml', 'csv', a regular"),
        ({"reading": "loose"}, "Expected `reading` to be 'lenient' or 'strict', but got 'loose'"),
        ({"nulls": "x"}, "Expected `nulls` to be 'absent' or 'value', but got 'x'"),
        ({"schema": {"a": 1}}, "but got a mapping with the keys ['a'] and no types"),
        ({"comparators": {"a": "x"}}, "Expected a comparator, a function, or one of exact"),
        ({"comparators": 3, "format": "csv"}, "Expected `comparators` to be a mapping from paths"),
        ({"required_fields": "a"}, "Expected `required_fields` to be a list of names"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        StructuredOutputScorer(**options)


def test_wrong_samples() -> None:
    scorer = StructuredOutputScorer()
    message = (
        "Expected a target that is a text to be json as a whole, but it cannot be read: Expecting "
        "property name enclosed in double quotes: line 1 column 2 (char 1). Give the object itself, or "
        "None for no target; where answers are prose, leave out this metric (`output_format=None` in "
        "the callback)"
    )
    with pytest.raises(InputError, match=re.escape(message)) as found:
        scorer.rows(["{}", "{}"], ["{}", "{'a': 1}"])
    assert found.value.index == 1
    cycle: list[object] = []
    cycle.append(cycle)
    message = (
        "Expected each target to be a value that JSON can write, but it is nested deeper than 100"
    )
    with pytest.raises(InputError, match=message) as found:
        scorer.rows(["{}", "{}"], [{}, cycle])
    assert found.value.index == 1
    with pytest.raises(InputTypeError, match="Expected each prediction to be a text") as found:
        scorer.rows(["{}", {}], ["{}", "{}"])
    assert found.value.index == 1
    with pytest.raises(
        InputTypeError, match="Expected each target to be a mapping, a list"
    ) as found:
        scorer.rows(["{}"], [3])
    assert found.value.index == 0
    with pytest.raises(InputError, match="to have the same length, but got 1 and 2"):
        scorer.rows(["{}"], ["{}", "{}"])


def test_copies() -> None:
    scorer = StructuredOutputScorer(schema=SCHEMA, comparators={"count": "number"})
    for copied in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer)):
        assert copied == scorer
        assert copied.signature() == scorer.signature()
        assert np.array_equal(
            copied.rows(ANSWERS, [TARGET] * 7), scorer.rows(ANSWERS, [TARGET] * 7)
        )


HOSTILE = [
    json.dumps({"place": [{"x": i} for i in range(5000)], "type": "x" * 20_000}),
    json.dumps({f"k{i}": i for i in range(5000)}),
    '{"a":' * 60 + "1" + "}" * 60,
    '{"count": 1e999, "type": "\\ud800", "place": -1e999}',
    '{"count": ' + "9" * 4000 + "}",
    f'{{"{"k" * 40_000}": {json.dumps({f"a{i}": 1 for i in range(4000)})}}}',
    "[" * 100_000,
    '["' * 10_000,
    "x" * 10_000_000,
    "{'\x00': '\ud800', \"\ufeff\": NaN, }",
    "a: &a {n: 1}\nb: [*a, *a]\n1: 2020-01-01\n? x\n",
    "a,b\n" + "1,\n" * 5000,
]


@pytest.mark.parametrize("format", ["json", "yaml", "csv"])
@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_answers_are_scored(answer: str, format: str) -> None:
    target = [TARGET] * 3 if format == "csv" else {**TARGET, "list": [TARGET] * 3}
    schema = {"properties": {"place": {"uniqueItems": True}, "count": {"multipleOf": 0.01}}}
    scorer = StructuredOutputScorer(format=format, schema=schema, required_fields=["type"])
    rows = scorer.rows([answer], [target])
    assert np.isfinite(rows).all()
    assert (rows >= 0).all()
    assert len(scorer.payloads([answer], [target])[0]) < 60_000
    for key, value in scorer.from_sums(rows[0]).items():
        assert np.isnan(value) or 0 <= value <= 1, key


MANY = json.dumps({f"a{i}": 1 for i in range(4000)})
LONG_KEYS = {
    "one long key": f'{{"{"k" * 40_000}": {MANY}}}',
    "long keys under long keys": f'{{"{"k" * 900}": ' * 45 + MANY + "}" * 45,
}


@pytest.mark.parametrize("answer", LONG_KEYS.values(), ids=LONG_KEYS)
def test_long_keys_over_many_fields_take_little_memory(answer: str) -> None:
    """Written out before each of 4,000 fields, 40,000 characters would take 160 MB."""
    schema = {"additionalProperties": {"additionalProperties": {"type": "object"}}}
    scorer = StructuredOutputScorer(schema=schema)
    scorer.rows(["{}"], [TARGET])
    tracemalloc.start()
    rows, _ = scorer.tabulate([answer], [TARGET])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows[0, scorer.columns.index("hallucinated")] == 4000
    assert peak < 60e6
