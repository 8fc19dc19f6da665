"""Comparators by name, by options, or as a function of a user's own."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.functional.comparators import (
    Comparator,
    Date,
    Exact,
    Number,
    Set,
    Similarity,
    Text,
)
from lightning_vlmeval.signature import qualified_name


@dataclass(frozen=True)
class Custom(Comparator):
    """A user's own rule.

    An answer's value may be anything. Where the function raises an error on it, and none on the
    target's value in its place, the value is wrong.

    Args:
        function: From the answer's value and the target's to whether they are the same.

    Raises:
        ConfigurationError: The function does not take two values.

    Example:
        >>> rule = Custom(lambda pred, target: abs(float(pred) - float(target)) < 0.5)
        >>> rule.equal("2.2", 2), rule.equal("two", 2)
        (True, False)
    """

    function: Callable[[Any, Any], bool]

    def __post_init__(self) -> None:
        try:
            inspect.signature(self.function).bind(None, None)
        except TypeError as error:
            raise ConfigurationError(
                f"Expected a comparator to be a function of two values, but got {self!r}: {error}"
            ) from None
        except ValueError:  # written in C, and does not tell
            return

    def equal(self, pred: Any, target: Any) -> bool:
        """Whether a value is right."""
        try:
            return bool(self.function(pred, target))
        except Exception:  # noqa: BLE001 - which one is up to the function
            self.function(target, target)  # a mistake of the function, and not of the answer?
            return False

    def __repr__(self) -> str:
        return qualified_name(self.function)


_NAMED: dict[str, type[Comparator]] = {
    "exact": Exact,
    "text": Text,
    "number": Number,
    "date": Date,
    "similarity": Similarity,
    "set": Set,
}

ComparatorSpec = Comparator | str | Mapping[str, Mapping[str, Any]] | Callable[[Any, Any], bool]
"""A comparator, its name, its name with options, or a function."""


def comparator(spec: ComparatorSpec) -> Comparator:
    """The comparator that a specification names.

    Args:
        spec: A comparator; one of `exact`, `text`, `number`, `date`, `similarity`, `set`; such a name
            with its options, as in ``{"number": {"relative": 0.01}}``; or a function of two values.

    Raises:
        ConfigurationError: It names none, or an option is wrong.

    Example:
        >>> comparator({"number": {"relative": 0.01}})
        Number(absolute=0.0, relative=0.01, unit=None, other_units=(), decimal='.')
    """
    if isinstance(spec, Comparator):
        return spec
    if isinstance(spec, Mapping) and len(spec) == 1:
        name, options = next(iter(spec.items()))
        if name in _NAMED:
            try:
                return _NAMED[name](**options)
            except TypeError as error:
                raise ConfigurationError(
                    f"Expected options of the comparator {name!r}, but got {options!r}: {error}"
                ) from None
    if isinstance(spec, str) and spec in _NAMED:
        return _NAMED[spec]()
    if callable(spec):
        return Custom(spec)
    raise ConfigurationError(
        f"Expected a comparator, a function, or one of {', '.join(_NAMED)} (with its options as in "
        f"{{'number': {{'relative': 0.01}}}}), but got {spec!r}"
    )
