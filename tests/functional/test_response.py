import re

import pytest

from lightning_vlmeval.errors import ConfigurationError, InputTypeError
from lightning_vlmeval.functional.response import validate_response

FIELDS = ["type", "count"]
SHORT = {"type": {"dent", "hole"}, "count": int}
JSON_SCHEMA = {
    "type": "object",
    "properties": {"type": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
    "required": ["type"],
    "additionalProperties": False,
}


def check(text: str, **options: object) -> tuple[bool, list[str], list[str], object]:
    found = validate_response(text, **options)
    assert set(found) == {"valid", "error", "missing", "unexpected", "data"}
    assert (found["error"] is None) == found["valid"]
    return found["valid"], found["missing"], found["unexpected"], found["data"]


@pytest.mark.parametrize(
    ("text", "valid", "missing", "unexpected"),
    [
        ('{"type": "dent", "count": 2}', True, [], []),
        ('{"type": null, "count": []}', True, [], []),
        ('{"type": "dent", "count": 2, "note": ""}', True, [], ["note"]),  # no error
        ('{"type": "dent"}', False, ["count"], []),
        ("{}", False, ["type", "count"], []),
        ("[]", False, ["type", "count"], []),
        ('[{"type": 1, "count": 2}, {"type": 1, "x": 2}]', False, ["count"], ["x"]),
        ("3", False, ["type", "count"], []),
        ("It is red.", False, ["type", "count"], []),
        ("", False, ["type", "count"], []),
        ('```json\n{"type": "dent", "count": 2}\n```', False, ["type", "count"], []),
        ('{"type": "dent", "count": 2,}', False, ["type", "count"], []),
    ],
)
def test_required_fields(text: str, valid: bool, missing: list[str], unexpected: list[str]) -> None:
    assert check(text, required_fields=FIELDS)[:3] == (valid, missing, unexpected)


def test_text_alone_is_valid_if_it_parses() -> None:
    assert check('{"a": [1, {"b": null}]}') == (True, [], [], {"a": [1, {"b": None}]})
    assert check("42") == (True, [], [], 42)
    assert check('"It is red."') == (True, [], [], "It is red.")
    assert check("[NaN]") == (False, [], [], None)
    assert check("{'a': 1}") == (False, [], [], None)
    assert validate_response("[NaN]")["error"] == "NaN is not JSON"
    assert check("a: 1\nb: [yes]", format="yaml") == (True, [], [], {"a": 1, "b": [True]})
    assert check("It is red.", format="yaml") == (False, [], [], None)
    assert check("a,b\n1,2", format="csv") == (True, [], [], [{"a": "1", "b": "2"}])
    assert check("a,b\n1,2,3", format="csv") == (False, [], [], None)


@pytest.mark.parametrize("schema", [SHORT, JSON_SCHEMA])
def test_schema(schema: object) -> None:
    assert check('{"type": "dent", "count": 2}', schema=schema)[0]
    assert check('{"type": "dent", "count": 2, "x": 1}', schema=schema)[:3] == (False, [], ["x"])
    assert check('{"count": 2}', schema=schema)[:3] == (False, ["type"], [])
    assert check('{"type": "dent", "count": "2"}', schema=schema)[:3] == (False, [], [])
    error = validate_response('{"type": "dent", "count": "2"}', schema=schema)["error"]
    assert error == "'2' is not of type 'integer'"


def test_schema_and_required_fields() -> None:
    found = validate_response('{"type": "dent"}', ["count"], JSON_SCHEMA)
    assert found["missing"] == ["count"]
    assert found["error"] == "'count' is a required field"
    assert check("3", schema={"type": "integer"})[0]


def test_dotted_fields() -> None:
    text = '{"a": {"b": 1, "c": 2}, "d": 3}'
    assert check(text, required_fields=["a.b", "a.x"])[:3] == (False, ["a.x"], ["d"])


def test_csv_columns_and_cells() -> None:
    text = "type,count,note\ndent,2,\nhole,x,\n"
    assert check(text, format="csv", required_fields=["type", "size"])[:3] == (
        False,
        ["size"],
        ["count", "note"],
    )
    assert check("type,count", format="csv", required_fields=FIELDS)[:3] == (True, [], [])
    schema = {**SHORT, "note": str | None}
    found = validate_response(text, schema=schema, format="csv")
    assert not found["valid"]
    assert found["error"] == "'x' is not of type 'integer'"
    assert check("type,count,note\ndent,2,\n", schema=schema, format="csv")[0]
    assert not check("type,count\nrust,2\n", schema=SHORT, format="csv")[0]
    table = {"type": "array", "minItems": 2, "items": JSON_SCHEMA}
    assert not check("type,count\ndent,2\n", schema=table, format="csv")[0]
    assert not check("type,count\ndent,2\ndent,0\n", schema=table, format="csv")[0]
    assert check("type,count\ndent,2\n12,1\n", schema=table, format="csv")[0], "12 may be a text"


def test_yaml_is_checked_in_the_terms_of_json() -> None:
    text = "date: 2024-01-02\n1: x"
    assert check(text, format="yaml", schema={"date": str, "1": str})[0]
    assert check(text, format="yaml", required_fields=["date"])[:3] == (True, [], ["1"])


def test_wrong_arguments() -> None:
    with pytest.raises(InputTypeError, match="Expected `text` to be a string, but got dict"):
        validate_response({})
    with pytest.raises(
        ConfigurationError, match=re.escape("Expected `format` to be 'json', 'yaml'")
    ):
        validate_response("{}", format="xml")
    with pytest.raises(
        ConfigurationError, match="Expected `required_fields` to be a list of names"
    ):
        validate_response("{}", "type")
