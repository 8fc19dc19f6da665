"""What a score was made with, as one line of text: scores whose signatures differ do not compare."""

from dataclasses import dataclass
from urllib.parse import quote, unquote

# Printed as they are in a value; anything else, the separators above all, is percent-encoded.
_PLAIN = " !#$&'()*+,-./;<=>?@[]^_`{}~:"


@dataclass(frozen=True)
class Signature:
    """The recipe of a score: its name, every option that changes the number, the library's version.

    Printed in sacrebleu's manner: ``name|option:value|...|version:x``, the options in a fixed order.

    Args:
        name: The metric's name.
        options: Pairs of an option and its value, in the order in which they are printed.

    Example:
        >>> a = Signature("grounding", (("iou", "0.5"), ("version", "0.1.0")))
        >>> print(a)
        grounding|iou:0.5|version:0.1.0
        >>> Signature.parse(str(a)) == a
        True
        >>> a.differences(Signature("grounding", (("iou", "0.75"), ("version", "0.1.0"))))
        ['iou: 0.5 and 0.75']
    """

    name: str
    options: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        pairs = (f"{key}:{quote(value, safe=_PLAIN)}" for key, value in self.options)
        return "|".join([self.name, *pairs])

    @classmethod
    def parse(cls, text: str) -> "Signature":
        """Read a printed signature back.

        Args:
            text: What ``str(signature)`` gave.
        """
        name, *fields = text.split("|")
        pairs = (field.partition(":") for field in fields)
        return cls(name, tuple((key, unquote(value)) for key, _, value in pairs))

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
