"""The structured value in a model's answer: strictly, leniently, and why it is not strict."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.parsing.plain_values import plain_value
from lightning_vlmeval.parsing.readers import (
    Reading,
    Unreadable,
    is_container,
    read_csv,
    read_json,
)
from lightning_vlmeval.parsing.recovery import (
    Recovery,
    fenced_blocks,
    from_fences,
    recover_csv,
    recover_json,
    recover_yaml,
)
from lightning_vlmeval.parsing.yaml_reader import read_yaml
from lightning_vlmeval.signature import qualified_name

CAUSES = (
    "empty",
    "fence",
    "prose",
    "trailing_comma",
    "quotes",
    "cut_off",
    "nan_literal",
    "ragged_rows",
    "too_deep",
    "too_long",
    "other",
)
"""Why an answer is not a document of its format; one answer may have several."""

Format = str | re.Pattern[str] | Callable[[str], Any]
"""`json`, `yaml`, `csv`, a regular expression, or a function from the text to its value."""

# By any of these a user's function refuses a text: XML's parser raises a SyntaxError.
_REFUSALS = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError),
    *(SyntaxError, yaml.YAMLError),
)


@dataclass(frozen=True)
class Payload:
    """What an answer holds.

    Args:
        value: What was read, strictly or else leniently; None where nothing was.
        strict: Whether the whole answer is one document of the format.
        lenient: Whether a value could be read at all; true of each strict answer too.
        causes: Why the answer is not strict, in the order of `CAUSES`; empty if it is.
        duplicate_keys: How many keys stood twice in one mapping; the last one counts.
        columns: The names in a CSV header.
        error: The strict reader's message; empty if the answer is strict.
    """

    value: Any
    strict: bool
    lenient: bool
    causes: tuple[str, ...] = ()
    duplicate_keys: int = 0
    columns: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class PayloadFormat:
    r"""How answers are written, and up to which limits they are read.

    Args:
        format: `json` (RFC 8259), `yaml` (PyYAML's SafeLoader), `csv` (RFC 4180), a regular
            expression (compiled, or a text that begins with `^`) that the stripped answer must match
            as a whole (its named groups are the value, else its numbered ones), or a function that
            gives the value or raises ValueError. How long these take is up to whoever wrote them.
        delimiter: What stands between two cells of a CSV.
        header: Whether the first row of a CSV holds the names of the columns.
        scalars: Whether JSON and YAML may hold a single value, such as a number or a sentence, at
            the top instead of a mapping or a list.
        max_length: The most characters that are read.
        max_depth: The deepest nesting that is read.

    Raises:
        ConfigurationError: An option cannot work.

    What an answer is under the format `json`:

    =========================  ======  =======  =====================
    answer                     strict  lenient  causes
    =========================  ======  =======  =====================
    ``{"a": 1}``               yes     yes
    empty, or white space      no      no       empty
    ``It is red.``             no      no       prose
    a fenced ``{"a": 1}``      no      yes      fence
    ``So: {"a": 1}``           no      yes      prose
    ``{"a": 1,}``              no      yes      trailing_comma
    ``{'a': 1}``               no      yes      quotes
    ``{"a": 1, "b": "re``      no      yes      cut_off
    ``{"a": NaN}``             no      yes      nan_literal
    ``{"a": 1 "b": 2}``        no      no       other
    ``12`` (`scalars` off)     no      no       other
    over `max_depth`           no      no       too_deep
    over `max_length`          no      no       too_long
    ``{"a": 1, "a": 2}``       yes     yes      (a duplicate key)
    =========================  ======  =======  =====================

    Example:
        >>> payload = PayloadFormat("json").parse('```json\n{"count": 2,}\n```')
        >>> payload.value, payload.strict, payload.causes
        ({'count': 2}, False, ('fence', 'trailing_comma'))
    """

    format: Format = "json"
    delimiter: str = ","
    header: bool = True
    scalars: bool = False
    max_length: int = 100_000
    max_depth: int = 64

    def __post_init__(self) -> None:
        object.__setattr__(self, "format", _checked_format(self.format))
        one = isinstance(self.delimiter, str) and len(self.delimiter) == 1
        if not one or self.delimiter in '"\r\n\0 ':
            raise ConfigurationError(
                "Expected `delimiter` to be one character, no quote, blank or line break, "
                f"but got {self.delimiter!r}"
            )
        if self.max_length < 1:
            raise ConfigurationError(
                f"Expected `max_length` to be at least 1, but got {self.max_length}"
            )
        if not 1 <= self.max_depth <= 100:  # beyond, Python's own recursion limit comes near
            raise ConfigurationError(
                f"Expected `max_depth` to be in [1, 100], but got {self.max_depth}"
            )

    @property
    def name(self) -> str:
        """The format in words: its name, the regular expression, or what the function is called."""
        if isinstance(self.format, str):
            return self.format
        if isinstance(self.format, re.Pattern):
            return f"regex {self.format.pattern} flags {int(self.format.flags)}"
        return qualified_name(self.format)

    def parse(self, text: str) -> Payload:
        """What an answer holds; never an exception, whatever the text.

        Args:
            text: The whole answer.
        """
        if len(text) > self.max_length:
            message = f"{len(text)} characters, more than {self.max_length}"
            return Payload(None, False, False, ("too_long",), error=message)
        if not text.strip("\ufeff \t\r\n"):
            return Payload(None, False, False, ("empty",), error="an empty answer")
        try:
            reading = self.read(text)
        except Unreadable as error:
            return self._leniently(text, error)
        return Payload(
            reading.value, True, True, (), reading.duplicate_keys, columns=reading.columns
        )

    def read(self, text: str) -> Reading:
        """The strict reading of an answer.

        Args:
            text: The whole answer.

        Raises:
            Unreadable: It is not one document of the format.
        """
        if not text.isascii():
            _refuse_surrogates(text)
        if self.format == "csv":
            return read_csv(text, self.delimiter, self.header)
        if self.format == "json":
            reading = read_json(text, self.max_depth)
        elif self.format == "yaml":
            reading = read_yaml(text, self.max_depth, self.max_length)
        else:
            return self._read_own(text)
        if not self.scalars and not is_container(reading.value):
            prose = self.format == "yaml" and isinstance(reading.value, str)
            raise Unreadable(
                "prose" if prose else "other", "neither a mapping nor a list at the top"
            )
        return reading

    def _read_own(self, text: str) -> Reading:
        if isinstance(self.format, re.Pattern):
            match = self.format.fullmatch(text.strip())
            if not match:
                raise Unreadable("other", "it does not match the regular expression")
            return Reading(match.groupdict() or list(match.groups()))
        return self._call(text)

    def _call(self, text: str) -> Reading:
        if isinstance(self.format, str | re.Pattern):
            raise TypeError(f"{self.format!r} is not a function")
        try:
            return Reading(plain_value(self.format(text), self.max_depth, self.max_length))
        except Unreadable:
            raise
        except _REFUSALS as error:
            raise Unreadable("other", f"{type(error).__name__}: {error}") from None

    def _leniently(self, text: str, error: Unreadable) -> Payload:
        recovery = self._recover(text) if error.cause not in ("too_long", "too_deep") else None
        if recovery is not None:
            found = recovery.causes or {error.cause}
            return Payload(
                recovery.value,
                False,
                True,
                _ordered(found),
                recovery.duplicate_keys,
                recovery.columns,
                str(error),
            )
        found = {self._cause(text, error)} | ({"fence"} if fenced_blocks(text) else set())
        return Payload(None, False, False, _ordered(found), error=str(error))

    def _recover(self, text: str) -> Recovery | None:
        if self.format == "json":
            return from_fences(text, self.read) or recover_json(text, self.max_depth)
        if self.format == "yaml":
            return recover_yaml(text, self.read, self.max_depth)
        if self.format == "csv":
            return recover_csv(text, self.delimiter, self.header)
        fenced = from_fences(text, self.read)
        if fenced is None and isinstance(self.format, re.Pattern):
            match = self.format.search(text)
            if match:
                value = match.groupdict() or list(match.groups())
                return Recovery(value, frozenset({"prose"}))
        return fenced

    def _cause(self, text: str, error: Unreadable) -> str:
        """The cause where nothing could be read."""
        cut = self.format == "json" and text.lstrip()[:1] in ("{", "[") and _unclosed(text)
        return "cut_off" if cut and error.cause == "other" else error.cause


def parse_payload(
    text: str,
    format: Format = "json",
    *,
    delimiter: str = ",",
    header: bool = True,
    scalars: bool = False,
    max_length: int = 100_000,
    max_depth: int = 64,
) -> Payload:
    r"""The structured value in a model's answer, in one call; see `PayloadFormat`.

    Args:
        text: The whole answer.
        format: `json`, `yaml`, `csv`, a regular expression or a function.
        delimiter: What stands between two cells of a CSV.
        header: Whether the first row of a CSV holds the names of the columns.
        scalars: Whether JSON and YAML may hold a single value at the top.
        max_length: The most characters that are read.
        max_depth: The deepest nesting that is read.

    Raises:
        ConfigurationError: An option cannot work.

    Example:
        >>> parse_payload("a: [1, 2]\nb: yes", "yaml").value
        {'a': [1, 2], 'b': True}
        >>> parse_payload("It is red.", "yaml").causes
        ('prose',)
    """
    return PayloadFormat(format, delimiter, header, scalars, max_length, max_depth).parse(text)


def _checked_format(format: Any) -> Format:
    """The format, a regular expression compiled; ConfigurationError for anything else."""
    if isinstance(format, str) and format.startswith("^"):
        try:
            return re.compile(format)
        except re.error as error:
            raise ConfigurationError(
                f"Expected `format` to be a regular expression, but got {format!r}: {error}"
            ) from None
    named = format in ("json", "yaml", "csv") if isinstance(format, str) else False
    if not (named or isinstance(format, re.Pattern) or callable(format)):
        raise ConfigurationError(
            "Expected `format` to be 'json', 'yaml', 'csv', a regular expression (compiled, or a "
            f"text that begins with '^') or a function, but got {format!r}"
        )
    return format  # type: ignore[no-any-return]  # callable: checked above


def _ordered(causes: set[str] | frozenset[str]) -> tuple[str, ...]:
    return tuple(cause for cause in CAUSES if cause in causes)


def _unclosed(text: str) -> bool:
    return text.count("{") + text.count("[") > text.count("}") + text.count("]")


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unreadable("other", "a lone surrogate, which no UTF-8 text holds") from None
