import importlib
import re

import pytest

from lightning_vlmeval.errors import ConfigurationError, MissingExtraError
from lightning_vlmeval.functional import units
from lightning_vlmeval.functional.comparator_specs import Custom, comparator
from lightning_vlmeval.functional.comparators import Date, Exact, Number, Set, Similarity, Text
from lightning_vlmeval.functional.units import converted, known_unit, quantity


@pytest.mark.parametrize(
    ("rule", "pred", "target", "equal"),
    [
        (Exact(), 1, 1.0, True),
        (Exact(), True, 1, False),
        (Exact(), "A", "a", False),
        (Exact(), {"a": [1, {}]}, {"a": [1.0, {}]}, True),
        (Exact(), [1, 2], [2, 1], False),
        (Exact(), float("nan"), float("nan"), False),
        (Exact(typed=False), "2.0", 2, True),
        (Exact(typed=False), "2 mm", 2, False),
        (Exact(typed=False), "TRUE", True, True),
        (Exact(typed=False), "yes", True, False),
        (Text(), "Stra\u00dfe \n 5", "STRASSE 5", True),
        (Text(), "\uff11", 1, True),  # a full-width digit
        (Text(), "true", True, True),
        (Text(), "a", "a.", False),
        (Number(), 5, "5", True),
        (Number(), "5.0", 5, True),
        (Number(absolute=0.5), 5.5, 5, True),
        (Number(absolute=0.5), 5.6, 5, False),
        (Number(relative=0.1), -110, -100, True),
        (Number(relative=0.1), 111, 100, False),
        (Number(absolute=2, relative=0.1), 12, 10, True),
        (Number(), "1,200.50 mm", "1200.5mm", True),
        (Number(), "$1,200", "1200 $", True),
        (Number(), "5 mm", "5 cm", False),
        (Number(), "5 mm", 5, False),
        (Number(decimal=","), "1.200,5", 1200.5, True),
        (Number(decimal=","), "1.200,5", "1200,5", True),
        (Number(), "many", "many", True),
        (Number(), "many", 5, False),
        (Number(), True, True, True),
        (Number(), True, 1, False),
        (Number(relative=1), 10**400, 10**400, True),
        (Number(relative=1), 10**400, 1, False),
        (Number(relative=1), float("nan"), 1, False),
        (Date(), "2024-01-02", "2024-01-02T10:30:00", True),
        (Date(), "2024-01-02T12:30:00+02:00", "2024-01-02T10:30:00Z", True),
        (Date(), "2024-01-02T10:31:00", "2024-01-02T10:30:00", False),
        (Date(), "January 2, 2024", "2 Jan 2024", True),
        (Date(), "02/01/2024", "2024-01-02", False),
        (Date(("%d/%m/%Y",)), "02/01/2024", "2024-01-02", True),
        (Date(("%m/%d/%Y",)), "02/01/2024", "2024-01-02", False),
        (Date(), "2024-02-30", "2024-02-30", True),  # no dates: compared as text
        (Date(), "0001-01-01T00:00:00+14:00", "0001-01-01", True),
        (Date(), "soon", "Soon", True),
        (Date(), 20240102, "2024-01-02", False),
        (Similarity(0.75), "abcd", "abcx", True),  # 1 of 4 letters differs
        (Similarity(0.76), "abcd", "abcx", False),
        (Similarity(), "", "", True),
        (Set(), ["b", "A", "a"], ["a", "B"], True),
        (Set(), "a, b", ["b", "a"], True),
        (Set(";"), "a; b", "b;a", True),
        (Set(), ["a"], ["a", "b"], False),
        (Set(), [{"x": 1}], [{"x": 1}], True),
        (Set(), 5, "5", True),
        (Custom(str.startswith), "abc", "ab", True),
    ],
)
def test_equal(rule: object, pred: object, target: object, equal: bool) -> None:
    assert rule.equal(pred, target) is equal


@pytest.mark.parametrize(
    ("rule", "pred", "target", "wrong"),
    [
        (Exact(), "12 cm", "12 mm", True),
        (Exact(), "12", "12 mm", True),
        (Exact(), 12, "12 mm", True),
        (Exact(), "$12", "12 \u20ac", True),
        (Exact(), "13 cm", "12 mm", False),
        (Exact(), "12 dogs", "12 cats", False),  # no unit that is known
        (Exact(), "12 mm", 12, False),
        (Exact(), "cm", "mm", False),
        (Number(relative=0.1), "12.5 cm", "12 mm", True),
        (Number(), "12 dogs", "12 cats", True),  # named a number with a unit by its comparator
        (Number(), "x", "12 mm", False),
    ],
)
def test_wrong_unit(rule: object, pred: object, target: object, wrong: bool) -> None:
    assert not rule.equal(pred, target)
    assert rule.wrong_unit(pred, target) is wrong


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("1,200.5 mm", (1200.5, "mm")),
        ("\u22123.5e2 N", (-350.0, "N")),
        ("12mm\u00b2", (12.0, "mm2")),
        ("\u20ac 1 200", (1200.0, "\u20ac")),
        ("USD 5", (5.0, "USD")),
        (".5", (0.5, "")),
        ("+7.", (7.0, "")),
        (3, (3.0, "")),
        (-(10**400), (float("-inf"), "")),
        ("about 5", None),
        ("1,2", None),
        ("1.2.3", None),
        ("2024-01-02", None),
        ("12:30", None),
        ("1/2", None),
        ("", None),
        ("mm", None),
        ("\u0663 mm", None),
        ("5" * 65, None),
        (True, None),
        (None, None),
        ([1], None),
    ],
)
def test_quantities(value: object, want: tuple[float, str] | None) -> None:
    assert quantity(value) == want


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ("text", Text()),
        ({"number": {"relative": 0.1}}, Number(relative=0.1)),
        ({"date": {"formats": ["%d.%m.%Y"]}}, Date(("%d.%m.%Y",))),
        (Set(";"), Set(";")),
    ],
)
def test_specifications(spec: object, want: object) -> None:
    assert comparator(spec) == want


def test_a_function_is_named_by_where_it_is() -> None:
    assert repr(comparator(str.startswith)).endswith("str.startswith")
    assert comparator(lambda ours, theirs: 1).equal(1, 2) is True


def test_a_function_that_cannot_read_an_answer_finds_it_wrong() -> None:
    near = comparator(lambda pred, target: abs(float(pred) - float(target)) < 0.5)
    assert near.equal("2.2", 2)
    for odd in ("two", None, [], {}, "9" * 5000):
        assert not near.equal(odd, 2)
    with pytest.raises(ValueError, match="could not convert string to float: 'two'"):
        near.equal(2, "two")  # not the answer's fault


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fuzzy", "one of exact, text, number, date, similarity, set"),
        ({"number": {}, "text": {}}, "but got {'number': {}, 'text': {}}"),
        ({"number": {"tolerance": 1}}, "Expected options of the comparator 'number', but got"),
        ({"number": {"absolute": -1}}, "Expected `absolute` to be a finite number of at least 0"),
        ({"number": {"relative": float("nan")}}, "Expected `relative` to be a finite number"),
        ({"number": {"decimal": ";"}}, "Expected `decimal` to be '.' or ',', but got ';'"),
        ({"number": {"other_units": ["cm"]}}, "Expected `unit` beside `other_units`, but got None"),
        ({"similarity": {"threshold": 0}}, "Expected `threshold` to be in (0, 1], but got 0"),
        ({"date": {"formats": "%d"}}, "Expected `formats` to be a list of formats, but got '%d'"),
        (
            {"date": {"formats": ["%d/%m/%Y", "%Q"]}},
            "but got '%Q': 'Q' is a bad directive in format",
        ),
        (
            {"date": {"formats": ["%Y%"]}},
            "Expected a format as `datetime.strptime` has them, but got",
        ),
        (
            abs,
            "Expected a comparator to be a function of two values, but got builtins.abs: too many",
        ),
        (lambda pred: True, "too many positional arguments"),
        (lambda pred, target, tolerance: True, "missing a required argument: 'tolerance'"),
        (3, "but got 3"),
    ],
)
def test_wrong_specifications(spec: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        comparator(spec)


def test_units_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    for cached in (units._registry, units.known_unit):
        cached.cache_clear()
    with pytest.raises(
        MissingExtraError, match=re.escape("pip install 'lightning-vlmeval[units]'")
    ):
        Number(unit="mm")
    assert Number().equal("5 mm", "5 mm"), "needs no conversion"


class TestWithPint:
    @pytest.fixture(autouse=True)
    def _pint(self) -> None:
        pytest.importorskip("pint", reason="the extra `units` is not installed")

    def test_conversion(self) -> None:
        assert converted(25.4, "mm", "inch") == pytest.approx(1)
        assert converted(100, "\u00b0C", "degF") == pytest.approx(212)
        assert converted(1, "km/h", "m/s") == pytest.approx(1 / 3.6)
        assert converted(1, "mm\u00b2", "m2") == pytest.approx(1e-6)
        assert converted(1, "mm", "kg") is None
        assert converted(1, "mm", "dogs") is None

    def test_number_with_a_unit(self) -> None:
        rule = Number(unit="mm", other_units=("cm", "inch"))
        for pred in ("12 mm", 12, "12", "1.2 cm", "0.012 m"):
            assert rule.equal(pred, "12 mm"), pred
            assert rule.equal("12 mm", pred), pred
        for pred in ("12 cm", 1.2, "1.2", 12 / 25.4, "12 kg"):
            assert not rule.equal(pred, "12 mm"), pred
            assert rule.wrong_unit(pred, "12 mm"), pred
        assert not rule.wrong_unit(13, 12)
        assert not rule.wrong_unit("1.3 cm", 12)

    @pytest.mark.parametrize(
        "text",
        ["m^9^9^9", "m**9**9", "9^9", "m^(9^9)", "1e9", "xyz", ")", "m/", "l" * 30, "a.b", "$"],
    )
    def test_hostile_units(self, text: str) -> None:
        assert known_unit(text) is None
        assert not Number(unit="mm").equal(f"5 {text}", 5)

    def test_unknown_unit(self) -> None:
        message = "Expected `unit` to name a unit that pint knows, but got 'dogs'"
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            Number(unit="dogs")
