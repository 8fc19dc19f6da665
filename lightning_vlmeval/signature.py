"""What a score was made with, as one line of text: scores whose signatures differ do not compare."""

from typing import Any
from urllib.parse import quote, unquote

# Printed as they are in a value; anything else, the separators above all, is percent-encoded.
_PLAIN = " !#$&'()*+,-./;<=>?@[]^_`{}~:"
_ERRORS = "surrogatepass"  # so that any text is read back as it was


class Signature(str):
    """The recipe of a score: its name, every option that changes the number, the library's version.

    A string in sacrebleu's manner, ``name|option:value|...|version:x``, the options in a fixed
    order; being a string, it goes into JSON and logs as it is.

    Args:
        name: The metric's name.
        options: Pairs of an option and its value, in the order in which they are printed.

    Example:
        >>> a = Signature("grounding", (("iou", "0.5"), ("version", "0.1.0")))
        >>> print(a)
        grounding|iou:0.5|version:0.1.0
        >>> Signature.parse("grounding|iou:0.5|version:0.1.0") == a
        True
        >>> a.differences(Signature("grounding", (("iou", "0.75"), ("version", "0.1.0"))))
        ['iou: 0.5 and 0.75']
    """

    __slots__ = ("name", "options")
    name: str
    options: tuple[tuple[str, str], ...]

    def __new__(cls, name: str, options: tuple[tuple[str, str], ...] = ()) -> "Signature":
        """Join the name and the options."""
        fields = (f"{key}:{quote(value, safe=_PLAIN, errors=_ERRORS)}" for key, value in options)
        self = super().__new__(cls, "|".join([name, *fields]))
        self.name = name
        self.options = options
        return self

    def __reduce__(self) -> tuple[type, tuple[str, tuple[tuple[str, str], ...]]]:
        return type(self), (self.name, self.options)

    @classmethod
    def parse(cls, text: str) -> "Signature":
        """Read a printed signature back.

        Args:
            text: What ``str(signature)`` gave.
        """
        name, *fields = text.split("|")
        pairs = (field.partition(":") for field in fields)
        return cls(name, tuple((key, unquote(value, errors=_ERRORS)) for key, _, value in pairs))

    def differences(self, other: "Signature") -> list[str]:
        """What differs from another signature, one line a field; empty where scores compare.

        Args:
            other: The signature to compare with.
        """
        mine, theirs = dict(self.options), dict(other.options)
        lines = [f"name: {self.name} and {other.name}"] if self.name != other.name else []
        for key in dict.fromkeys([*mine, *theirs]):
            if mine.get(key) != theirs.get(key):
                lines.append(f"{key}: {mine.get(key, 'absent')} and {theirs.get(key, 'absent')}")
        return lines


def qualified_name(function: Any) -> str:
    """A function's name with its module; of an object that is called like one, its class's.

    Args:
        function: Anything that can be called.

    Example:
        >>> qualified_name(quote), qualified_name(str.split)
        ('urllib.parse.quote', 'builtins.str.split')
    """
    named = function if hasattr(function, "__qualname__") else type(function)
    module = getattr(named, "__module__", None) or "builtins"  # None of `str.split`
    return f"{module}.{named.__qualname__}"
