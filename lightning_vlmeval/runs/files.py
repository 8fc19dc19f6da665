"""Files that are there whole or not at all, and lines of JSON that any reader can read."""

import contextlib
import gzip
import json
import math
import os
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lightning_vlmeval.errors import VLMEvalError

_STRAY = re.compile(r"\..+\.[0-9]+-[0-9a-f]{8}\.tmp")


class StoreError(VLMEvalError, ValueError):
    """What lies on disk is not what was expected; the message names the file, and the line."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that at any moment it is there whole, as it was before, or not at all.

    The bytes go to a file beside it, which then takes its place.

    Args:
        path: The file; its folder is made.
        data: Its bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name as durable as the bytes, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_strays(folder: Path) -> None:
    """Remove what a killed process left of `write_whole`.

    Args:
        folder: It alone, not what is below.
    """
    for path in folder.glob(".*.tmp"):
        if _STRAY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """A value as JSON holds it: arrays and tensors as lists, NaN and infinities as null.

    Args:
        value: Anything; what JSON has no form for becomes its text.

    Example:
        >>> plain({"f1": np.float64("nan"), "box": np.array([1.5, 2.0])})
        {'f1': None, 'box': [1.5, 2.0]}
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    try:
        return plain(value.tolist())
    except Exception:  # noqa: BLE001  no array, or one that cannot be listed, as a sparse tensor
        return str(value)


def json_line(value: Mapping[str, Any]) -> bytes:
    r"""An object as one line of JSON in valid UTF-8, without its end.

    A lone surrogate, which UTF-8 has no form for, is written as JSON's escape and read back as it
    was.

    Args:
        value: Anything that `plain` takes.

    Example:
        >>> json_line({"id": "a", "score": float("nan"), "text": "line 1\nline 2"})
        b'{"id":"a","score":null,"text":"line 1\\nline 2"}'
    """
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError):  # a NaN, or a key that is no text
        text = _ENCODER.encode(plain(value))
    return text.encode("utf-8", "backslashreplace")


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain
)


def packed_lines(values: Iterable[Mapping[str, Any]]) -> bytes:
    """Objects as lines of JSON, compressed; the same bytes whenever they are made.

    Args:
        values: The objects.
    """
    body = b"".join(json_line(value) + b"\n" for value in values)
    return gzip.compress(body, 1, mtime=0)


def lines_of(path: Path) -> list[bytes]:
    r"""The lines of a file, split at "\\n" alone: texts may hold other ends of lines.

    Args:
        path: Compressed where its name ends with ``.gz``.

    Raises:
        StoreError: It cannot be read, or is not whole.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = _unpacked(data)
        return data.split(b"\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise StoreError(f"{path}: expected a whole gzip file, but: {error}") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from None


def _unpacked(data: bytes) -> bytes:
    if not data:  # which `gzip` takes for a whole file of nothing
        raise EOFError("it is empty")
    return gzip.decompress(data)


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with the number of its line, from 1.

    Args:
        path: Compressed where its name ends with ``.gz``. Empty lines are passed over.

    Raises:
        StoreError: The file cannot be read, or a line is not a JSON object; it is named.
    """
    for number, line in enumerate(lines_of(path), 1):
        if line.strip():
            yield number, parsed_object(line, f"{path}:{number}")


def read_object(path: Path) -> dict[str, Any]:
    """The object of a file of JSON.

    Args:
        path: The file.

    Raises:
        StoreError: It cannot be read, or is not one JSON object.
    """
    return parsed_object(b"\n".join(lines_of(path)), str(path))


def parsed_object(data: bytes, place: str) -> dict[str, Any]:
    """A JSON object out of its bytes.

    Args:
        data: UTF-8.
        place: What to call them in an error.

    Raises:
        StoreError: They are something else.
    """
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise StoreError(f"{place}: expected UTF-8 text, but got other bytes") from None
    except json.JSONDecodeError as error:
        raise StoreError(f"{place}: expected a JSON object, but got {error}") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; 1,000 brackets
        raise StoreError(f"{place}: expected a JSON object, but {error}") from None
    if not isinstance(value, dict):
        raise StoreError(f"{place}: expected a JSON object, but got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    """What JSON calls a value."""
    kinds = {str: "a string", list: "an array", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def check_kinds(value: Mapping[str, Any], kinds: Mapping[str, type], place: str) -> None:
    """Raise where a field that is there is not what readers take it for.

    Args:
        value: A JSON object.
        kinds: `dict` or `list`, by field.
        place: What to call it in an error.

    Raises:
        StoreError: A field is something else; null is nothing.
    """
    for name, kind in kinds.items():
        field = value.get(name)
        if field is not None and not isinstance(field, kind):
            raise StoreError(
                f"{place}: expected {name!r} to be {'an object' if kind is dict else 'an array'}, "
                f"but got {field!r:.80}"
            )


def number_or_nan(value: Any) -> float:
    """A stored number; NaN for null.

    Args:
        value: What `json.loads` gave.

    Raises:
        TypeError: It is neither.
    """
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number or null, but got {_kind(value)}")
    return float(value)


def floats(value: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A stored row of numbers; NaN for null.

    Args:
        value: What `json.loads` gave.

    Raises:
        TypeError: It is not an array of numbers and nulls.
    """
    if not isinstance(value, list):
        raise TypeError(f"expected an array, but got {_kind(value)}")
    return np.array([number_or_nan(one) for one in value], dtype=np.float64)
