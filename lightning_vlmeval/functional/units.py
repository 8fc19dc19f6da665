"""Numbers with units, out of text, and their conversion."""

import functools
import importlib
import re
import unicodedata
from typing import Any, NamedTuple

from lightning_vlmeval.errors import ConfigurationError, MissingExtraError

# A number with decimals after a point, and what stands before and after it.
_NUMBER = re.compile(
    r"(?P<before>[^\w\s.,+-]{1,3}|[A-Z]{3})?\s*"
    r"(?P<number>[+-]?(?:[0-9]{1,3}(?:[,' ][0-9]{3})+|[0-9]+)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?)"
    r"(?P<after>\s*[^\d\s.,:'/+-].{0,19})?",
    re.DOTALL,
)
_MAX_TEXT = 64  # a longer text is a sentence, not a quantity

# The parts of a unit such as mm, kg/m^3 or N*m. No power of a power: a registry would compute it.
_UNIT_PART = re.compile(r"[^\W\d_]+|[%°*/^ ()-]|(?<=[\^*-])[1-9](?![\d^*])")

_COMMON = """
    nm \u03bcm um mm cm dm m km in inch ft yd mi mg g kg t lb lbs oz ms s min h °C °F K C F % ppm
    V mV kV A mA W kW N kN Nm Pa kPa MPa bar psi Hz kHz MHz GHz L l ml mL cl
    mm2 cm2 m2 mm3 cm3 m3 km/h mph m/s rpm $ € £ ¥ USD EUR GBP JPY CHF
"""
COMMON_UNITS = frozenset(_COMMON.split())
"""Units that are known for units without a registry."""


class Quantity(NamedTuple):
    """A number and the text of its unit, "" for none."""

    number: float
    unit: str


def quantity(value: Any, decimal: str = ".") -> Quantity | None:
    """The number that a value is or writes, with its unit; None where it is no number.

    Args:
        value: A number, or a text such as "1,200.5 mm", "$12" or "5 %".
        decimal: The sign before decimals, "." or ","; the other one groups thousands.

    Example:
        >>> quantity("1,200.5 mm"), quantity("$12"), quantity("about 5")
        (Quantity(number=1200.5, unit='mm'), Quantity(number=12.0, unit='$'), None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return Quantity(_float(value), "")
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        return None
    text = unicodedata.normalize("NFKC", value).replace("\u2212", "-").strip()
    if decimal == ",":
        text = text.translate({ord("."): ",", ord(","): "."})
    match = _NUMBER.fullmatch(text)
    if not match or not any(sign.isdigit() for sign in match["number"]):
        return None
    unit = (match["before"] or "") + (match["after"] or "")
    return Quantity(float(re.sub("[,' ]", "", match["number"])), unit.strip())


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond float64
        return float("inf") if value > 0 else float("-inf")


@functools.lru_cache(maxsize=1)
def _registry() -> Any:
    """Pint's registry of units: optional, and slow to make, so imported when first asked for."""
    try:
        pint = importlib.import_module("pint")
    except ImportError:
        raise MissingExtraError(
            "Expected `pint` for a number with a unit, but it is not installed: "
            "pip install 'lightning-vlmeval[units]'"
        ) from None
    return pint.UnitRegistry()


@functools.lru_cache(maxsize=1024)
def known_unit(text: str) -> Any:
    """The unit that a text names, as `pint` has it; None for an unknown one.

    Args:
        text: Such as "mm" or "kg/m^3".

    Raises:
        MissingExtraError: `pint` is not installed.
    """
    spelled = unicodedata.normalize("NFKC", text).replace("\u00b7", "*").replace("%", "percent")
    spelled = re.sub(r"(?<=[^\W\d_])(?=[1-9])", "^", spelled)  # m2 is m^2
    if len(text) > 20 or _UNIT_PART.sub("", spelled):
        return None
    registry = _registry()
    try:
        return registry.Unit(spelled)
    except Exception:  # noqa: BLE001 - pint raises errors of its own, tokenize's and Python's
        return None


def check_unit(text: str) -> None:
    """Raise unless a text names a unit.

    Args:
        text: Such as "mm".

    Raises:
        ConfigurationError: It names none.
        MissingExtraError: `pint` is not installed.
    """
    if known_unit(text) is None:
        raise ConfigurationError(
            f"Expected `unit` to name a unit that pint knows, but got {text!r}"
        )


def converted(number: float, unit: str, to: str) -> float | None:
    """A number of one unit in another; None where one of them is unknown, or they do not convert.

    Args:
        number: How many.
        unit: Of what.
        to: The other unit.

    Raises:
        MissingExtraError: `pint` is not installed.
    """
    here, there = known_unit(unit), known_unit(to)
    if here is None or there is None or not here.is_compatible_with(there):
        return None
    return float(_registry().Quantity(number, here).to(there).magnitude)
