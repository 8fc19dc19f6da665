"""What a command says: tables and JSON on standard output or in a file, progress beside it."""

import argparse
import json
import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_vlmeval.errors import ConfigurationError
from lightning_vlmeval.runs.files import plain, write_whole

_CONTROLS = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_COLOURS = {"good": "32", "bad": "31", "faint": "2"}
_WIDTH = 60


def shown(text: str) -> str:
    r"""A text without a character that could steer a terminal: those are shown by their numbers.

    Args:
        text: Whatever a model, or a file, said.

    Example:
        >>> shown("red\x1b[31m \u202eevil")
        'red\\x1b[31m \\u202eevil'
    """
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in _CONTROLS
        else char
        for char in text
    )


def short(text: str) -> str:
    """The beginning of a text, on one line.

    Args:
        text: Any text.
    """
    text = shown(text)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def number(value: float | None, form: str = ".4f") -> str:
    """A value, or "undefined".

    Args:
        value: NaN or None where it is undefined.
        form: How it is printed.
    """
    return "undefined" if value is None or value != value else format(value, form)


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells in columns, the first to the left, the others to the right.

    Args:
        rows: The first is the head.

    Example:
        >>> table_lines([["key", "value"], ["a", "0.5"], ["long", "10.25"]])
        ['key   value', 'a       0.5', 'long  10.25']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"{first:<{widths[0]}}", *cells]).rstrip())
    return lines


def coloured(text: str, colour: str) -> str:
    """A text in a colour, on a terminal whose user has not said NO_COLOR.

    Args:
        text: It says the same without the colour.
        colour: ``good``, ``bad`` or ``faint``.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty():
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def write(args: argparse.Namespace, lines: Sequence[str], data: Mapping[str, Any]) -> None:
    """Give the result in the format that was asked for, where it was asked for.

    Args:
        args: With `format` and `output`.
        lines: The result as text.
        data: The result as values.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    text = "\n".join(lines)
    if args.format == "json":
        text = json.dumps(plain(data), indent=2, allow_nan=False)
    if args.output is None:
        print(text)
    else:
        write_file(args.output, f"{text}\n".encode("utf-8", "backslashreplace"))


def write_file(name: str, data: bytes) -> None:
    """Write exactly this file, whole or not at all; a link stays one, a device is written to.

    Args:
        name: The file.
        data: Its bytes.

    Raises:
        ConfigurationError: It cannot be written.
    """
    path = Path(os.path.realpath(name))
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            write_whole(path, data)
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be written: {error.strerror}") from None


def note(text: str) -> None:
    """Say something beside the result.

    Args:
        text: One line.
    """
    print(f"note: {shown(text)}", file=sys.stderr)


class Progress:
    """How far long work is, on the terminal's one line; silent where nobody looks.

    Args:
        total: How many steps there are.
    """

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._visible = sys.stderr.isatty()

    def advance(self, steps: int, what: str) -> None:
        """Say that steps are done.

        Args:
            steps: How many more.
            what: What is being done.
        """
        self._done += steps
        if self._visible:
            print(
                f"\r\x1b[K{what}: {self._done / max(1, self._total):.0%}", end="", file=sys.stderr
            )

    def close(self) -> None:
        """Leave the line empty."""
        if self._visible:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
