"""Days and moments out of text."""

import datetime
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?P<time>[T ][0-9:.]+(?:Z|[+-][0-9:]+)?)?")

DATE_FORMATS = (
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d %B %Y",
    "%d %b %Y",
    "%B %d, %Y",
    "%b %d, %Y",
    "%B %d %Y",
    "%d-%b-%Y",
)
"""Formats that can be read in one way only, as `datetime.strptime` has them."""

_MAX_TEXT = 64


class Moment(NamedTuple):
    """A point in time.

    Args:
        time: When; midnight where no time of day is given.
        timed: Whether a time of day is given.
    """

    time: datetime.datetime
    timed: bool


def moment(value: Any, formats: Sequence[str] = ()) -> Moment | None:
    """The moment that a text writes, in ISO 8601 or one of some formats; None where it writes none.

    A time with an offset is given in UTC; one without is taken for UTC.

    Args:
        value: A text, or anything else, which is no moment.
        formats: Formats of `datetime.strptime`, tried before `DATE_FORMATS`.

    Example:
        >>> moment("2024-01-02").time.day, moment("Jan 2, 2024").time.day, moment("01/02/2024")
        (2, 2, None)
    """
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        return None
    text = " ".join(value.split())
    iso = _ISO.fullmatch(text)
    if iso:
        try:
            time = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            return None
        return Moment(_in_utc(time), iso["time"] is not None)
    for form in (*formats, *DATE_FORMATS):
        try:
            time = datetime.datetime.strptime(text, form)
        except ValueError:
            continue
        return Moment(_in_utc(time), "%H" in form or "%I" in form)
    return None


def _in_utc(time: datetime.datetime) -> datetime.datetime:
    if time.tzinfo is None:
        return time.replace(tzinfo=datetime.timezone.utc)
    try:
        return time.astimezone(datetime.timezone.utc)
    except OverflowError:  # in the first or the last hours that a datetime can hold
        return time.replace(tzinfo=datetime.timezone.utc)
