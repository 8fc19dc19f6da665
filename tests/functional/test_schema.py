import copy
import pickle
import re
import socket

import pytest

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.schema import Schema, missing_fields
from lightning_vlmeval.functional.short_schema import expand

SHORT = {
    "type": {"dent", "scratch"},
    "count": int,
    "size": float,
    "ok": bool,
    "note?": str,
    "by": str | None,
    "place": {"x": float, "y": float},
    "tags": [str],
}
RIGHT = {
    "type": "dent",
    "count": 2,
    "size": 1.5,
    "ok": True,
    "by": None,
    "place": {"x": 1, "y": 2.5},
    "tags": ["a", "b"],
}


def found(schema: object, value: object, *required: str) -> list[tuple[str, str]]:
    return [(one.kind, one.path) for one in Schema(schema, required).violations(value)]


@pytest.mark.parametrize(
    ("change", "violations"),
    [
        ({}, []),
        ({"note": "x"}, []),
        ({"by": "me"}, []),
        ({"size": 2, "count": 2.0}, []),  # JSON Schema: 2.0 is an integer, and any number a number
        ({"count": ...}, [("missing", "count")]),
        ({"place": {"x": 1}}, [("missing", "place.y")]),
        ({"extra": 1}, [("unexpected", "extra")]),
        ({"place": {"x": 1, "y": 2, "z": 3}}, [("unexpected", "place.z")]),
        ({"count": "2"}, [("wrong_type", "count")]),
        ({"count": True}, [("wrong_type", "count")]),
        ({"count": 2.5}, [("wrong_type", "count")]),
        ({"ok": None}, [("wrong_type", "ok")]),
        ({"by": 3}, [("wrong_type", "by")]),
        ({"place": [1, 2]}, [("wrong_type", "place")]),
        ({"tags": ["a", 1, 2]}, [("wrong_type", "tags[]")]),
        ({"type": "hole"}, [("out_of_range", "type")]),
        (
            {"count": ..., "extra": 1, "size": "x", "type": "hole"},
            [
                ("missing", "count"),
                ("unexpected", "extra"),
                ("wrong_type", "size"),
                ("out_of_range", "type"),
            ],
        ),
    ],
)
def test_short_form(change: dict[str, object], violations: list[tuple[str, str]]) -> None:
    value = {key: one for key, one in {**RIGHT, **change}.items() if one is not ...}
    assert found(SHORT, value) == violations


def test_short_forms_of_other_kinds() -> None:
    assert found([{"a": int}], [{"a": 1}, {"b": 1}]) == [("missing", "a"), ("unexpected", "b")]
    assert found({"a": (int, str)}, {"a": 1.5}) == [("wrong_type", "a")]
    assert found({"a": object, "b": list, "c": dict}, {"a": None, "b": [1], "c": {}}) == []
    assert expand(None) == {"type": "null"}


@pytest.mark.parametrize(
    ("schema", "value", "violations"),
    [
        ({"type": "object"}, [], [("wrong_type", "")]),
        ({"minimum": 3, "maximum": 4}, 5, [("out_of_range", "")]),
        ({"properties": {"a": {"enum": [1]}}}, {"a": 2}, [("out_of_range", "a")]),
        ({"properties": {"a": {"pattern": "^x"}}}, {"a": "y"}, [("out_of_range", "a")]),
        ({"items": {"multipleOf": 2}}, [2, 3, 5], [("out_of_range", "")]),
        ({"uniqueItems": True}, [{"a": 1}, {"a": 1.0}], [("out_of_range", "")]),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}, {"a": True}], []),
        ({"dependentRequired": {"a": ["b", "c"]}}, {"a": 1, "c": 1}, [("missing", "b")]),
        (
            {
                "properties": {"a": {}},
                "patternProperties": {"^x": {}},
                "additionalProperties": False,
            },
            {"a": 1, "xy": 2, "b": 3, "c": 4},
            [("unexpected", "b"), ("unexpected", "c")],
        ),
        ({"prefixItems": [{}], "items": False}, [1, 2], [("unexpected", "")]),
        ({"unevaluatedProperties": False}, {"a": 1}, [("unexpected", "")]),
        ({"not": {"required": ["a"]}}, {"a": 1}, [("out_of_range", "")]),
        (False, {}, [("out_of_range", "")]),
        (True, {}, []),
        ({"anyOf": [False, False]}, 1, [("out_of_range", "")]),
        # The alternative that fits best is blamed, here the one for mappings.
        (
            {"anyOf": [{"type": "null"}, {"type": "object", "required": ["a", "b"]}]},
            {"a": 1},
            [("missing", "b")],
        ),
        (
            {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}},
            {"a": "x"},
            [("wrong_type", "a")],
        ),
        (
            {
                "$schema": "http://json-schema.org/draft-03/schema#",
                "properties": {"a": {"required": True}},
            },
            {},
            [("missing", "a")],
        ),
        (
            {
                "$schema": "http://json-schema.org/draft-04/schema#",
                "minimum": 1,
                "exclusiveMinimum": True,
            },
            1,
            [("out_of_range", "")],
        ),
    ],
)
def test_json_schema(schema: object, value: object, violations: list[tuple[str, str]]) -> None:
    assert found(schema, value) == violations


@pytest.mark.parametrize(
    ("value", "missing"),
    [
        ({"a": 1, "b": {"c": None}, "d.e": 1}, []),
        ({"a": 1, "b": {}}, ["b.c", "d.e"]),
        ({"b": 3, "d": {"e": 1}}, ["a", "b.c"]),
        ([{"a": 1, "b": {"c": 1}, "d.e": 1}, {"a": 1, "b": {"c": 1}}], ["d.e"]),
        ([], ["a", "b.c", "d.e"]),
        ("a", ["a", "b.c", "d.e"]),
    ],
)
def test_required_fields(value: object, missing: list[str]) -> None:
    assert missing_fields(value, ["a", "b.c", "d.e"]) == missing
    assert found(None, value, "a", "b.c", "d.e") == [("missing", name) for name in missing]


def test_required_fields_and_a_schema_together() -> None:
    assert found({"a": int}, {"b": 1}, "a", "b") == [("missing", "a"), ("unexpected", "b")]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"type": "integr"},
            "Expected `schema` to be a valid JSON Schema, but 'integr' is not valid",
        ),
        ({"a": "str"}, "but got a mapping with the keys ['a'] and no types"),
        ({"a": int, "b": 3}, "Expected a field of the short schema to be str, int, float, bool"),
        ({"a": complex}, "but got <class 'complex'>"),
        ({"enum": [object()]}, "Expected `schema` to be a JSON Schema or a mapping from names"),
        (
            {"$schema": "https://example.com/own", "type": "object"},
            "but got 'https://example.com/own'",
        ),
        ({"pattern": "("}, "Expected `schema` to be a valid JSON Schema, but '(' is not a 'regex'"),
    ],
)
def test_wrong_schemas(schema: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Schema(schema)


def test_wrong_required_fields() -> None:
    message = "Expected `required_fields` to be a list of names, but got 'ab'"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Schema(None, "ab")


@pytest.mark.parametrize(
    "reference",
    [
        "https://example.com/schema.json",
        "http://127.0.0.1:1/x.json#/a",
        "file:///etc/hostname",
        "other.json",
        "#/$defs/none",
    ],
)
@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef"])
def test_nothing_is_loaded_from_elsewhere(
    reference: str, keyword: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*args: object) -> None:
        raise AssertionError("the network was asked for a schema")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    with pytest.raises(ConfigurationError, match=re.escape(f"but got {reference!r}; nothing is")):
        Schema({"properties": {"a": {"anyOf": [{keyword: reference}]}}})
    # In a value that a schema names, the word is no reference.
    assert found({"const": {"$ref": reference}}, {"$ref": reference}) == []


def test_numbers_that_no_float_holds() -> None:
    assert found({"multipleOf": 0.01}, 10**400) == [("out_of_range", "")]
    assert found({"multipleOf": 0.01}, float("inf")) == [("out_of_range", "")]


def test_a_schema_without_end() -> None:
    assert found({"$ref": "#"}, {}) == [("out_of_range", "")]
    tree = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    value: dict[str, object] = {}
    for _ in range(60):
        value = {"a": value}
    assert found(tree, value) == []


def test_copies() -> None:
    schema = Schema(SHORT, ["type"])
    for copied in (copy.deepcopy(schema), pickle.loads(pickle.dumps(schema))):
        assert copied.text == schema.text
        assert copied.violations({}) == schema.violations({})
