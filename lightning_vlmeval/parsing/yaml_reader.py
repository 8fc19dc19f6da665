"""A strict reader of YAML that stops at a depth and at a number of values."""

from collections import Counter
from typing import Any

import yaml

from lightning_vlmeval.parsing.readers import (
    MAX_DIGITS,
    Reading,
    Unreadable,
    check_digits,
    too_deep,
)

# What SafeLoader raises on bad text beside its own errors: `!!bool x` is a KeyError, `!!timestamp x`
# an AttributeError, 2024-13-01 a ValueError.
_YAML_ERRORS = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


def read_yaml(text: str, max_depth: int = 64, max_nodes: int = 100_000) -> Reading:
    """The YAML document that a text is, as PyYAML's SafeLoader reads it.

    That is YAML 1.1. What YAML 1.2 would read otherwise: `yes`, `no`, `on` and `off` are booleans,
    `010` is 8, `1:30` is 90, `2024-01-02` is a date, `<<` merges, and `1e3` is text. Aliases are
    followed, each counted with all that it stands for; one inside its own anchor is refused.

    Args:
        text: The whole answer: one document.
        max_depth: How deep mappings and lists may nest, through aliases too.
        max_nodes: How many values there may be, aliases written out.

    Raises:
        Unreadable: The text is not YAML, or beyond a limit.

    Example:
        >>> read_yaml("a: [1, yes]").value
        {'a': [1, True]}
    """
    try:
        loader = _BoundedLoader(text, max_depth, max_nodes)
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
    except Unreadable:
        raise
    except _YAML_ERRORS as error:
        raise Unreadable("other", " ".join(str(error).split()) or type(error).__name__) from None
    return Reading(value, loader.duplicate_keys)


class _BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which stops at a depth and at a number of values.

    Both are counted with aliases written out: they cost nothing to load, but whoever walks the
    value afterwards pays for each.
    """

    def __init__(self, text: str, max_depth: int, max_nodes: int) -> None:
        super().__init__(text)
        self.duplicate_keys = 0
        self._max_depth, self._max_nodes = max_depth, max_nodes
        self._depth, self._nodes = 0, 0
        self._heights = [0]  # of the tallest child so far, for each open collection
        self._sizes: dict[int, tuple[int, int]] = {}  # number of values and height of a node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node, with its children."""
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise Unreadable("other", "an alias inside its own anchor")
            size, height = self._sizes[id(node)]
            self._count(size, height)
            return node
        inner = self.check_event(yaml.SequenceStartEvent, yaml.MappingStartEvent)
        before = self._nodes
        self._count(1, int(inner))
        self._depth += inner
        self._heights.append(0)
        node = super().compose_node(parent, index)
        height = self._heights.pop() + inner
        self._depth -= inner
        self._heights[-1] = max(self._heights[-1], height)
        self._sizes[id(node)] = (self._nodes - before, height)
        if isinstance(node, yaml.MappingNode):
            self.duplicate_keys += _repeated_keys(node)
        return node

    def _count(self, size: int, height: int) -> None:
        """Add nodes, or stop where there are too many or they reach too deep."""
        self._nodes += size
        self._heights[-1] = max(self._heights[-1], height)
        if self._depth + height > self._max_depth:
            raise too_deep(self._max_depth)
        if self._nodes > self._max_nodes:
            raise Unreadable("too_long", f"more than {self._max_nodes} values")


def _bounded_int(loader: _BoundedLoader, node: yaml.ScalarNode) -> int:
    """An integer, unless its decimal form is too long; a hexadecimal one may write a longer one."""
    if len(node.value) > MAX_DIGITS:
        raise Unreadable("too_long", f"an integer of more than {MAX_DIGITS} digits")
    value = int(loader.construct_yaml_int(node))
    check_digits(value)
    return value


_BoundedLoader.add_constructor("tag:yaml.org,2002:int", _bounded_int)


def _repeated_keys(node: yaml.MappingNode) -> int:
    """How many scalar keys of a mapping stand there a second time."""
    keys = Counter(
        (key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)
    )
    return sum(keys.values()) - len(keys)
