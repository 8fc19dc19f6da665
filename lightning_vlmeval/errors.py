"""The errors of this package. Each says what was expected, what came, and what to do.

Every error here is also the built-in error that a caller would expect (`ValueError`, `TypeError`,
`ImportError`), so code that catches those keeps working.
"""

from collections.abc import Sequence


class VLMEvalError(Exception):
    """The base of all errors raised by `lightning_vlmeval`."""


class ConfigurationError(VLMEvalError, ValueError):
    """An option has a value that cannot work."""


class MissingExtraError(VLMEvalError, ImportError):
    """An optional package is needed and not installed; the message names the extra that brings it."""


class ComparisonError(VLMEvalError, ValueError):
    """Two evaluations cannot be compared honestly; the message names the field that differs."""


class InputError(VLMEvalError, ValueError):
    """A sample cannot be scored.

    Args:
        message: What was expected and what came.
        index: The position of the sample in its batch, where one sample is to blame.

    Example:
        >>> str(InputError("Expected a box of 4 numbers, but got 3", index=1).named(["a", "b"]))
        "Expected a box of 4 numbers, but got 3 (sample 'b')"
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index

    def named(self, ids: Sequence[str] | None) -> "InputError":
        """The same error with the sample's id, or its position in the batch, in the message."""
        if self.index is None:
            return self
        name = (
            repr(ids[self.index]) if ids is not None else f"at position {self.index} of the batch"
        )
        return type(self)(f"{self} (sample {name})")


class RankError(VLMEvalError, RuntimeError):
    """Another process of a distributed run did not come where all must."""


class InputTypeError(InputError, TypeError):
    """A sample, or the batch, is of a wrong type."""
