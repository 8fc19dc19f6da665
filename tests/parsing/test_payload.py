import functools
import json
import re
import string
from collections.abc import Callable
from xml.etree import ElementTree

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given, settings

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.parsing.loose_json import longest_json
from lightning_vlmeval.parsing.payload import CAUSES, PayloadFormat, parse_payload
from lightning_vlmeval.parsing.plain_values import plain_value
from lightning_vlmeval.parsing.readers import Unreadable, read_json
from lightning_vlmeval.parsing.yaml_reader import read_yaml

FENCE = "```"

# -------------------------------------------------------------------------- what an answer is read as

# The rows of the table in the docstring of PayloadFormat, and more of each kind.
JSON_ANSWERS = [
    ('{"a": 1}', True, {"a": 1}, ()),
    ("", False, None, ("empty",)),
    ("\ufeff \n", False, None, ("empty",)),
    ("It is red.", False, None, ("prose",)),
    (f'{FENCE}json\n{{"a": 1}}\n{FENCE}', False, {"a": 1}, ("fence",)),
    (f'{FENCE}{{"a": 1}}{FENCE}', False, {"a": 1}, ("fence",)),
    (f'{FENCE}json\n{{"a": 1, "b": 2', False, {"a": 1}, ("fence", "cut_off")),
    (f'So:\n{FENCE}\n{{"a": 1}}\n{FENCE}', False, {"a": 1}, ("fence", "prose")),
    (f"{FENCE}\nno\n{FENCE}", False, None, ("fence", "prose")),
    ('So: {"a": 1}', False, {"a": 1}, ("prose",)),
    ('<think>[x]</think>{"a": 1}', False, {"a": 1}, ("prose",)),
    ('See [1]: {"a": [1, 2]} and {}.', False, {"a": [1, 2]}, ("prose",)),
    ('{"a": 1}\n{"b": 2, "c": 3}', False, {"b": 2, "c": 3}, ("prose",)),
    ('{"a": 1,}', False, {"a": 1}, ("trailing_comma",)),
    ("[1, 2,]", False, [1, 2], ("trailing_comma",)),
    ("{'a': 1}", False, {"a": 1}, ("quotes",)),
    ("{'a': 'it\\'s \"so\"'}", False, {"a": 'it\'s "so"'}, ("quotes",)),
    ("{\u201ca\u201d: 1, b: 2}", False, {"a": 1, "b": 2}, ("quotes",)),
    ("{'a': 1,}", False, {"a": 1}, ("trailing_comma", "quotes")),
    ('{"a": 1, "b": "re', False, {"a": 1}, ("cut_off",)),
    ('{"a": 1, "b": 12', False, {"a": 1}, ("cut_off",)),
    ('{"a": 1, "b": 12 ', False, {"a": 1, "b": 12}, ("cut_off",)),
    ('{"a": 1, "b": tru', False, {"a": 1}, ("cut_off",)),
    ('{"a": 1, "b": true', False, {"a": 1, "b": True}, ("cut_off",)),
    ('{"a": 1, "b":', False, {"a": 1}, ("cut_off",)),
    ('{"a": [{"b": 1}, {"c": ', False, {"a": [{"b": 1}]}, ("cut_off",)),
    ('{"a": {"b": {"c": ', False, None, ("cut_off",)),
    ("{", False, None, ("cut_off",)),
    ('{"a": Infinity}', False, {"a": float("inf")}, ("nan_literal",)),
    ('{"a": 1 "b": 2}', False, {"a": 1, "b": 2}, ("other",)),
    ('{"a": None, "b": True}', False, {"a": None, "b": True}, ("other",)),
    ('{"a": "line\nbreak \\_"}', False, {"a": "line\nbreak _"}, ("other",)),
    ('\ufeff{"a": 1}', False, {"a": 1}, ("other",)),
    # A part of a broken answer is not the answer.
    ('{"a": "he said "hi" to", "b": {"c": 1, "d": 2}}', False, None, ("other",)),
    ('{"a": 1,, "b": {"c": 1, "d": 2}}', False, None, ("other",)),
    ("12", False, None, ("other",)),
    ('"red"', False, None, ("other",)),
    ("null", False, None, ("other",)),
    ("[" * 65 + "]" * 65, False, None, ("too_deep",)),
    ("[" + "1, " * 40_000 + "1]", False, None, ("too_long",)),
    ('{"a": ' + "9" * 4301 + "}", False, None, ("too_long",)),
]


@pytest.mark.parametrize(("text", "strict", "value", "causes"), JSON_ANSWERS)
def test_json_answers(text: str, strict: bool, value: object, causes: tuple[str, ...]) -> None:
    payload = parse_payload(text)
    assert payload.strict == strict
    assert payload.lenient == (value is not None)
    assert payload.value == value
    assert payload.causes == causes
    assert bool(payload.error) != strict


YAML_ANSWERS = [
    ("a: 1\nb: [x, yes]", True, {"a": 1, "b": ["x", True]}, ()),
    ("- a\n- b: 1", True, ["a", {"b": 1}], ()),
    ('{"a": 1}', True, {"a": 1}, ()),
    ("It is red.", False, None, ("prose",)),
    ("It is red.\nAnd blue.", False, None, ("prose",)),
    ("42", False, None, ("other",)),
    ("# nothing", False, None, ("other",)),
    (f"{FENCE}yaml\na: 1\n{FENCE}", False, {"a": 1}, ("fence",)),
    (f"Sure:\n{FENCE}\na: 1\n{FENCE}\nBye", False, {"a": 1}, ("fence", "prose")),
    ("Here you are.\n\na: 1\nb:\n  - x\n\nGood luck!", False, {"a": 1, "b": ["x"]}, ("prose",)),
    ('a: 1\nb: "unfin', False, {"a": 1}, ("cut_off",)),
    ('{"a": 1, "b": [1, 2', False, {"a": 1, "b": [1]}, ("cut_off",)),
    ("a: 1\n---\nb: 2", False, None, ("other",)),
    ("x: &x [*x]", False, None, ("other",)),
    ("a: &a {n: 1}\nb: *a", True, {"a": {"n": 1}, "b": {"n": 1}}, ()),
    ("!!python/object/apply:os.getcwd []", False, None, ("other",)),
    ("a: !!bool x", False, None, ("other",)),
    ("a: 2024-13-45", False, None, ("other",)),
    ('a: "\x00"', False, None, ("other",)),
    ("- " * 70 + "x", False, None, ("too_deep",)),
    ("a: 0x" + "f" * 4000, False, None, ("too_long",)),
]


@pytest.mark.parametrize(("text", "strict", "value", "causes"), YAML_ANSWERS)
def test_yaml_answers(text: str, strict: bool, value: object, causes: tuple[str, ...]) -> None:
    payload = parse_payload(text, "yaml")
    assert (payload.strict, payload.lenient) == (strict, value is not None)
    assert payload.value == value
    assert payload.causes == causes


CSV_ANSWERS = [
    ("a,b\n1,2\n", True, [{"a": "1", "b": "2"}], ()),
    ('a,b\r\n"x, ""y""",2\r\n\r\n', True, [{"a": 'x, "y"', "b": "2"}], ()),
    ("a,b", True, [], ()),
    ("Yes, it is", False, None, ("prose",)),
    ("It is red.", False, None, ("prose",)),
    ("a\n1\n2", False, None, ("prose",)),
    ("a,b\n1,2\n3", False, [{"a": "1", "b": "2"}], ("ragged_rows",)),
    ("a,b\n1,2,3", False, None, ("ragged_rows",)),
    ("a,b\n1,2\n\n3,4", False, [{"a": "1", "b": "2"}], ("ragged_rows",)),
    ("a,b\n1,2\n3,4,5\n6,7", False, [{"a": "1", "b": "2"}], ("ragged_rows",)),
    (f"{FENCE}csv\na,b\n1,2\n{FENCE}", False, [{"a": "1", "b": "2"}], ("fence",)),
    ("Here:\na,b\n1,2\nAll done.", False, [{"a": "1", "b": "2"}], ("prose",)),
    ('a,b\n1,2\n3,"x', False, [{"a": "1", "b": "2"}], ("cut_off",)),
    ('a,b\n"x"y,2', False, [{"a": "xy", "b": "2"}], ("other",)),
    ("a,b\x00\n1,2", False, [{"a": "1", "b": "2"}], ("other",)),
]


@pytest.mark.parametrize(("text", "strict", "value", "causes"), CSV_ANSWERS)
def test_csv_answers(text: str, strict: bool, value: object, causes: tuple[str, ...]) -> None:
    payload = parse_payload(text, "csv")
    assert (payload.strict, payload.lenient) == (strict, value is not None)
    assert payload.value == value
    assert payload.causes == causes


def test_csv_options() -> None:
    payload = parse_payload("a;b\n1;2", "csv", delimiter=";", header=False)
    assert payload.value == [["a", "b"], ["1", "2"]]
    assert payload.columns == ()
    assert parse_payload("x,y\n1,2", "csv").columns == ("x", "y")


@pytest.mark.parametrize(
    ("text", "format", "count", "value"),
    [
        ('{"a": 1, "a": 2, "b": {"c": 1, "c": 1}}', "json", 2, {"a": 2, "b": {"c": 1}}),
        ("{'a': 1, 'a': 2}", "json", 1, {"a": 2}),
        ("a: 1\na: 2", "yaml", 1, {"a": 2}),
        ("{a: 1, a: 2}", "yaml", 1, {"a": 2}),
        ("a,a\n1,2", "csv", 1, [{"a": "2"}]),
    ],
)
def test_duplicate_keys_parse_and_are_counted(
    text: str, format: str, count: int, value: object
) -> None:
    payload = parse_payload(text, format)
    assert payload.lenient
    assert payload.duplicate_keys == count
    assert payload.value == value


def test_own_formats() -> None:
    report = PayloadFormat(re.compile(r"Defect: (?P<type>\w+)\. Count: (?P<count>\d+)\."))
    right = report.parse("Defect: dent. Count: 2.\n")
    assert right.strict
    assert right.value == {"type": "dent", "count": "2"}
    around = report.parse("Sure! Defect: dent. Count: 2.")
    assert (around.strict, around.lenient, around.causes) == (False, True, ("prose",))
    assert report.parse("Nothing").causes == ("other",)
    assert parse_payload("7-8", re.compile(r"(\d)-(\d)")).value == ["7", "8"]
    hexadecimal = PayloadFormat(lambda text: [int(text, 16)])
    assert hexadecimal.parse("ff").value == [255]
    assert hexadecimal.parse(f"{FENCE}\nff{FENCE}").causes == ("fence",)
    assert hexadecimal.parse("xyz").causes == ("other",)
    assert hexadecimal.parse("xyz").error.startswith("ValueError: invalid literal")
    assert parse_payload("7-8", r"^(\d)-(\d)").value == ["7", "8"], "a text that begins with ^"
    assert parse_payload("no dents", re.compile("no dents")).value == []
    assert report.name == rf"regex {report.format.pattern} flags 32"
    assert hexadecimal.name.endswith("<lambda>")
    assert PayloadFormat(re.compile("a", re.IGNORECASE)).name != PayloadFormat("^a").name
    assert PayloadFormat("^a").name == PayloadFormat(re.compile("^a")).name


def _refuses(error: type[Exception]) -> Callable[[str], object]:
    def read(text: str) -> object:
        raise error("bad")

    return read


@pytest.mark.parametrize(
    "error",
    [ValueError, KeyError, RecursionError, SyntaxError, ElementTree.ParseError, yaml.YAMLError],
)
def test_how_a_function_refuses_a_text(error: type[Exception]) -> None:
    payload = parse_payload("x", _refuses(error))
    assert (payload.strict, payload.lenient, payload.causes) == (False, False, ("other",))
    assert payload.error in (f"{error.__name__}: bad", "KeyError: 'bad'")


def test_other_errors_of_a_function_are_its_own() -> None:
    with pytest.raises(RuntimeError, match="bad"):
        parse_payload("x", _refuses(RuntimeError))


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (CYCLE, "too_deep"),
        (functools.reduce(lambda inner, _: {"a": inner}, range(900), 1), "too_deep"),
        ([[0] * 400] * 400, "too_long"),
        ({"a": 10**5000}, "too_long"),
    ],
    ids=["cycle", "deep", "large", "integer"],
)
def test_what_a_function_gives_is_bounded(value: object, cause: str) -> None:
    payload = parse_payload("x", lambda _: value)
    assert (payload.value, payload.strict, payload.causes) == (None, False, (cause,))


# ------------------------------------------------------------------------------------ hostile text

SIZE = 20_000
PIECES = [
    *"[{\"'\\",
    '{"a":',
    "[{",
    '["',
    "{'",
    '{"a":"',
    "[1,",
    FENCE,
    FENCE + "json\n",
    '[x {"a":1 ',
    '{"a":1 x',
    "- ",
    "? ",
    "&a ",
    "*a ",
    "{a: ",
    "!!x ",
    '"",',
    'a,"b\n',
    "9",
    "a: b\n",
    "\x00",
    "\ud800",
    "\ufeff",
    "\r",
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("format", ["json", "yaml", "csv"])
def test_repeated_pieces_are_read_or_counted(piece: str, format: str) -> None:
    for start in ("", '{"a": 1, ', "a: 1\n"):
        payload = parse_payload(start + piece * (SIZE // len(piece)), format)
        assert payload.strict or payload.causes
        assert set(payload.causes) <= set(CAUSES)
        assert payload.lenient or payload.value is None


def bomb(line: str, levels: int) -> str:
    return "- &a0 {x: 1}\n" + "".join(line.format(i=i, j=i - 1) for i in range(1, levels))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (bomb("- &a{i} [*a{j}, *a{j}, *a{j}, *a{j}, *a{j}, *a{j}]\n", 12), "too_long"),
        (bomb("- &a{i} {{<<: [*a{j}, *a{j}, *a{j}, *a{j}, *a{j}, *a{j}]}}\n", 12), "too_long"),
        (bomb("- &a{i} [[[[*a{j}]]]]\n", 30), "too_deep"),
        ("a: 1" + ":59" * 3000, "too_long"),
        ("a: " + "9" * 5000, "too_long"),
    ],
)
def test_yaml_bombs(text: str, cause: str) -> None:
    payload = parse_payload(text, "yaml")
    assert not payload.strict
    assert payload.causes == (cause,)


def test_limits_can_be_moved() -> None:
    assert parse_payload("[[1]]", max_depth=1).causes == ("too_deep",)
    assert parse_payload("[[1]]", max_depth=2).strict
    assert parse_payload('["[[["]', max_depth=1).strict, "brackets in a text do not nest"
    assert parse_payload("[[1]]", max_length=4).causes == ("too_long",)
    assert parse_payload("a: [[1]]", "yaml", max_depth=2).causes == ("too_deep",)
    assert parse_payload("[" * 90 + "]" * 90, max_depth=100).strict


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"format": "xml"},
            "Expected `format` to be 'json', 'yaml', 'csv', a regular expression (compiled, or a text "
            "that begins with '^') or a function, but got 'xml'",
        ),
        ({"format": None}, "or a function, but got None"),
        ({"format": "^("}, "Expected `format` to be a regular expression, but got '^(': missing )"),
        ({"delimiter": ", "}, "one character, no quote, blank or line break, but got ', '"),
        ({"delimiter": '"'}, "one character, no quote, blank or line break, but got '\"'"),
        ({"delimiter": "\n"}, "one character, no quote, blank or line break, but got '\\n'"),
        ({"delimiter": None}, "one character, no quote, blank or line break, but got None"),
        ({"max_length": 0}, "Expected `max_length` to be at least 1, but got 0"),
        ({"max_depth": 101}, "Expected `max_depth` to be in [1, 100], but got 101"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        PayloadFormat(**options)


# ------------------------------------------------------------------------------------- properties

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
CONTAINERS = st.lists(VALUES, max_size=5) | st.dictionaries(st.text(), VALUES, max_size=5)
FINITE = CONTAINERS.filter(lambda value: "Infinity" not in json.dumps(value))
NOISE = st.text(alphabet="{}[]:,\"'\\ \n-&*!|>#?<`ab1.e" + string.ascii_letters[:4], max_size=80)


@given(NOISE | st.text(), st.sampled_from(["json", "yaml", "csv"]))
@settings(max_examples=400, deadline=None)
def test_no_text_raises(text: str, format: str) -> None:
    payload = parse_payload(text, format)
    assert payload.strict == (payload.causes == ())
    assert payload.lenient or payload.value is None
    assert payload.lenient or not payload.strict
    if payload.lenient:
        assert isinstance(payload.value, (dict, list))


@given(FINITE)
def test_json_round_trip(value: object) -> None:
    text = json.dumps(value)
    assert read_json(text, max_depth=100).value == value
    if value:
        assert longest_json([text], max_depth=100).value == value, "loosely as well"


@given(FINITE, st.data())
def test_a_cut_answer_gives_what_is_complete(value: object, data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = data.draw(st.integers(0, len(text) - 1))
    payload = parse_payload(text[:cut], max_depth=100)
    assert not payload.strict
    if payload.lenient:
        assert payload.causes == ("cut_off",)
        assert contained(payload.value, value), "nothing is invented"


def contained(part: object, whole: object) -> bool:
    """Whether a value is another one with members left out, of a list the last ones."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and contained(one, whole[key]) for key, one in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(map(contained, part, whole))
    return part == whole


@given(CONTAINERS)
def test_yaml_is_read_as_by_the_safe_loader(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    try:
        want = yaml.safe_load(text)
    except yaml.YAMLError:
        with pytest.raises(Unreadable):
            read_yaml(text)
    else:
        assert read_yaml(text).value == want


def test_plain_values() -> None:
    value = yaml.safe_load(
        "2: 2024-01-02\ntrue: !!set {b, a}\nnull: !!binary aGk=\nx: 2024-01-02 03:04:05"
    )
    assert plain_value(value) == {
        "2": "2024-01-02",
        "true": ["a", "b"],
        "null": "hi",
        "x": "2024-01-02T03:04:05",
    }
    assert plain_value((1, 2.5, None)) == [1, 2.5, None]
