"""When a field of an answer is right: comparators by the kind of its value."""

import datetime
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from rapidfuzz.distance import Levenshtein

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.dates import moment
from lightning_vlmeval.functional.units import COMMON_UNITS, check_unit, converted, quantity
from lightning_vlmeval.functional.values import folded, frozen


class Comparator(ABC):
    """A rule that says whether a value is the target's. Frozen dataclasses, printed in signatures."""

    @abstractmethod
    def equal(self, pred: Any, target: Any) -> bool:
        """Whether a value is right.

        Args:
            pred: The answer's value, of JSON's types.
            target: The target's value.
        """

    def wrong_unit(self, pred: Any, target: Any) -> bool:
        """Whether a wrong value is the right number with another unit, or with none.

        Args:
            pred: The answer's value.
            target: The target's value; its unit is a common one.
        """
        if not isinstance(target, str):
            return False
        ours, theirs = quantity(pred), quantity(target)
        return (
            ours is not None
            and theirs is not None
            and ours.number == theirs.number
            and ours.unit != theirs.unit
            and theirs.unit in COMMON_UNITS
            and (not ours.unit or ours.unit in COMMON_UNITS)
        )


@dataclass(frozen=True)
class Exact(Comparator):
    """Equal values of the same JSON type; 1 and 1.0 are equal, 1 and true are not.

    Args:
        typed: Whether a text differs from the number or the boolean that it writes. Off for CSV,
            where every cell is text.

    Example:
        >>> Exact().equal("2", 2), Exact(typed=False).equal("2.0", 2)
        (False, True)
    """

    typed: bool = True

    def equal(self, pred: Any, target: Any) -> bool:
        """Whether a value is right."""
        if not self.typed and isinstance(pred, str) and not isinstance(target, str):
            if isinstance(target, bool):
                return pred.strip().casefold() == str(target).casefold()
            if isinstance(target, (int, float)):
                number = quantity(pred)
                return number is not None and not number.unit and number.number == target
        return bool(frozen(pred) == frozen(target))


@dataclass(frozen=True)
class Text(Comparator):
    """Equal texts but for case, white space and compatibility forms (NFKC); numbers as text.

    Example:
        >>> Text().equal("Deep  scratch ", "deep scratch")
        True
    """

    def equal(self, pred: Any, target: Any) -> bool:
        """Whether a value is right."""
        return folded(pred) == folded(target)


@dataclass(frozen=True)
class Number(Comparator):
    """Numbers, or texts of numbers with a unit, that differ by at most a tolerance.

    A text may group thousands and carry a unit before or after the number ("1,200.5 mm", "$12").
    Two lists are compared element by element, in order.

    Args:
        absolute: The largest difference allowed.
        relative: The largest difference allowed, as a share of the target; the larger one counts.
        unit: What a number without a unit is in: others are converted to it, by `pint`. Without it,
            the texts of the units must be equal.
        other_units: Units in which a model may give a bare number by mistake; such a value is
            wrong, and counted as a wrong unit.
        decimal: The sign before decimals in a text, "." or ",".

    Raises:
        ConfigurationError: A tolerance is negative or not finite, or a unit is unknown.
        MissingExtraError: `unit` or `other_units` is given and `pint` is not installed.

    Example:
        >>> Number(relative=0.05).equal("1.04 mm", "1.0 mm"), Number().equal("12 cm", "12 mm")
        (True, False)
        >>> Number().wrong_unit("12 cm", "12 mm")
        True
    """

    absolute: float = 0.0
    relative: float = 0.0
    unit: str | None = None
    other_units: tuple[str, ...] = ()
    decimal: str = "."

    def __post_init__(self) -> None:
        for name in ("absolute", "relative"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(
                    f"Expected `{name}` to be a finite number of at least 0, but got {value}"
                )
        if self.decimal not in (".", ","):
            raise ConfigurationError(
                f"Expected `decimal` to be '.' or ',', but got {self.decimal!r}"
            )
        if self.other_units and self.unit is None:
            raise ConfigurationError("Expected `unit` beside `other_units`, but got None")
        object.__setattr__(self, "other_units", tuple(self.other_units))
        for unit in (*([self.unit] if self.unit else []), *self.other_units):
            check_unit(unit)

    def equal(self, pred: Any, target: Any) -> bool:
        """Whether a value is right."""
        if isinstance(pred, list) and isinstance(target, list):
            return len(pred) == len(target) and all(map(self.equal, pred, target))
        ours, theirs = quantity(pred, self.decimal), quantity(target, self.decimal)
        if ours is None or theirs is None:
            return Exact().equal(pred, target)
        if self.unit is None:
            return ours.unit == theirs.unit and self._near(ours.number, theirs.number)
        mine = converted(ours.number, ours.unit or self.unit, self.unit)
        other = converted(theirs.number, theirs.unit or self.unit, self.unit)
        return mine is not None and other is not None and self._near(mine, other)

    def wrong_unit(self, pred: Any, target: Any) -> bool:
        """Whether a wrong value is the right number with another unit, or in another unit.

        Args:
            pred: The answer's value.
            target: The target's value.
        """
        ours, theirs = quantity(pred, self.decimal), quantity(target, self.decimal)
        if ours is None or theirs is None:
            return False
        same = self._near(ours.number, theirs.number)
        if same and ours.unit != theirs.unit and (theirs.unit or self.unit):
            return True
        if self.unit is None or ours.unit:
            return False
        unit = theirs.unit or self.unit
        others = (converted(theirs.number, unit, other) for other in self.other_units)
        return any(other is not None and self._near(ours.number, other) for other in others)

    def _near(self, pred: float, target: float) -> bool:
        if pred == target:
            return True
        # Without a tolerance, the rounding of a conversion still must not count.
        allowed = max(self.absolute, self.relative * abs(target), 1e-12 * abs(target))
        return abs(pred - target) <= allowed if math.isfinite(allowed) else False


@dataclass(frozen=True)
class Date(Comparator):
    """The same day, or the same moment where both have a time, however it is written.

    ISO 8601 and the formats listed are read; what is no date is compared as text.

    Args:
        formats: Further formats, as `datetime.strptime` has them, tried in this order. 01/02/2024 is
            read only if a format says which part is the day.

    Raises:
        ConfigurationError: A format has a directive that there is not.

    Example:
        >>> Date().equal("2 January 2024", "2024-01-02")
        True
        >>> Date(("%d/%m/%Y",)).equal("02/01/2024", "2024-01-02")
        True
    """

    formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.formats, str):
            raise ConfigurationError(
                f"Expected `formats` to be a list of formats, but got {self.formats!r}"
            )
        for form in self.formats:
            _check_date_format(form)
        object.__setattr__(self, "formats", tuple(self.formats))

    def equal(self, pred: Any, target: Any) -> bool:
        """Whether a value is right."""
        ours, theirs = moment(pred, self.formats), moment(target, self.formats)
        if ours is None or theirs is None:
            return folded(pred) == folded(target)
        if ours.timed and theirs.timed:
            return ours.time == theirs.time
        return ours.time.date() == theirs.time.date()


def _check_date_format(form: str) -> None:
    try:
        datetime.datetime.strptime("", form)
    except ValueError as error:
        if "bad directive" in str(error) or "stray" in str(error):
            raise ConfigurationError(
                f"Expected a format as `datetime.strptime` has them, but got {form!r}: {error}"
            ) from None


@dataclass(frozen=True)
class Similarity(Comparator):
    """Texts whose normalised Levenshtein similarity reaches a threshold, case and space apart.

    Args:
        threshold: In (0, 1]; similarity is 1 - distance / length of the longer text.

    Raises:
        ConfigurationError: The threshold is out of range.

    Example:
        >>> Similarity(0.8).equal("scratch", "scratches")
        False
    """

    threshold: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigurationError(
                f"Expected `threshold` to be in (0, 1], but got {self.threshold}"
            )

    def equal(self, pred: Any, target: Any) -> bool:
        """Whether a value is right."""
        similarity = Levenshtein.normalized_similarity(folded(pred), folded(target))
        return similarity >= self.threshold


@dataclass(frozen=True)
class Set(Comparator):
    """The same members, whatever their order, number and case: of a list, or of a listing in text.

    Args:
        separator: What stands between two members in a text.

    Example:
        >>> Set().equal(["dent", "Scratch"], "scratch, dent")
        True
    """

    separator: str = ","

    def equal(self, pred: Any, target: Any) -> bool:
        """Whether a value is right."""
        return self._members(pred) == self._members(target)

    def _members(self, value: Any) -> frozenset[str]:
        parts = value.split(self.separator) if isinstance(value, str) else value
        if not isinstance(parts, list):
            parts = [parts]
        return frozenset(folded(part) for part in parts) - {""}
