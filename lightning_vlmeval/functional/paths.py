"""The path of a field: the keys on the way to it."""

MAX_LENGTH = 500
"""Where paths are cut: an answer may be full of long keys under long keys."""


def below(path: str, key: str) -> str:
    """The path of what stands under a key.

    Args:
        path: Of the mapping; "" for the whole answer.
        key: The key.

    Example:
        >>> below("", "size"), below("size", "width")
        ('size', 'size.width')
    """
    return f"{path}.{key}"[:MAX_LENGTH] if path else key[:MAX_LENGTH]


def items(path: str) -> str:
    """The path that the items of a list share; at the top the mark is left out.

    Args:
        path: Of the list.

    Example:
        >>> items("parts"), items("")
        ('parts[]', '')
    """
    return f"{path}[]"[:MAX_LENGTH] if path else ""
