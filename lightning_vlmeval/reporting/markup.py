"""Text for HTML pages: whatever a model wrote stays text, and nothing in it is invisible."""

import html
import re
from typing import Any

# Control marks, zero-width marks, marks that turn the direction of what comes after them, and halves
# of characters, which no file in UTF-8 can hold.
_MARKS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: Any) -> str:
    """Text whose invisible marks are written out, so that none can turn or hide what follows.

    Args:
        text: Anything; its text is taken.

    Example:
        >>> visible("1\u202e2")
        '1⟨U+202E⟩2'
    """
    return _MARKS.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", str(text))


def escaped(text: Any) -> str:
    """Text for an element or an attribute of HTML or SVG.

    Args:
        text: Anything; its text is taken.

    Example:
        >>> escaped('<img src=x onerror="alert(1)">')
        '&lt;img src=x onerror=&quot;alert(1)&quot;&gt;'
    """
    return html.escape(visible(text))


def said(text: Any) -> str:
    """What somebody else wrote, as an element that keeps its direction to itself.

    Args:
        text: Anything; its text is taken.

    Example:
        >>> said("a & b")
        '<bdi class="said">a &amp; b</bdi>'
    """
    return f'<bdi class="said">{escaped(text)}</bdi>'
