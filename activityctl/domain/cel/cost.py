"""Estimates how long an evaluation takes at most, from the expression and the size of its data.

The figures are nanoseconds, measured with the runtime and rounded up. They do not depend on what
the data contains, only on how much there is of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from activityctl.domain.cel.functions import MAX_PIECES, MAX_TEXT
from activityctl.domain.cel.regular_expression import MOST_INSTRUCTIONS, pattern_instructions
from activityctl.domain.cel.tree import (
    Call,
    Comprehension,
    Constant,
    Identifier,
    ListLiteral,
    MapLiteral,
    Node,
    Select,
)

_NODE: Final = 150
_ITERATION: Final = 300
_VALUE: Final = 250
"""To convert, compare or copy one value."""
_BY_PYTHON: Final = 1_000
"""To give one value to a function of ours, or to return it as JSON."""
_COLLECTED: Final = 30
"""For each pair of items of a list that `map` or `filter` builds."""
_MATCH: Final = 20
"""For each character of the text and each instruction of the pattern."""
_COMPILE: Final = 500
"""For each instruction of a pattern."""
_MOST_ITERATIONS: Final = 10_000
_COMPARISONS: Final = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_LOGIC: Final = frozenset({"!_", "_&&_", "_||_", "@not_strictly_false"})


class Extent(NamedTuple):
    """How large a value is at most."""

    values: float
    chars: float
    length: float = 0
    """The items of a list or map."""
    part_values: float = 0
    """The values in the largest part, at any depth; the same for the characters and items."""
    part_chars: float = 0
    part_length: float = 0
    text: str | None = None
    """The text itself, if it is known."""

    @property
    def part(self) -> "Extent":
        """Any part of it."""
        sizes = (self.part_values, self.part_chars, self.part_length)
        return Extent(*sizes, *sizes)


SMALL: Final = Extent(1, 32)


def extent_of(value: Any) -> Extent:
    """Measure a value in the runtime's form."""
    if isinstance(value, str):
        return Extent(1, len(value), text=value)
    if isinstance(value, list):
        return _extent_of_many(value, ())
    if isinstance(value, dict):
        return _extent_of_many(list(value.values()), value)
    return SMALL


def _extent_of_many(items: Sequence[Any], keys: Iterable[str]) -> Extent:
    """Measure a list or map; what has no items in it is counted without a call for each."""
    texts = [len(item) for item in items if isinstance(item, str)]
    names = [len(key) for key in keys]
    inner = _extent_of_items(
        [extent_of(item) for item in items if isinstance(item, list | dict)], sum(names)
    )
    return Extent(
        inner.values + len(items),
        inner.chars + sum(texts) + 32 * (len(items) - len(texts)),
        len(items),
        max(inner.part_values, 1),
        max(inner.part_chars, max(texts, default=0), max(names, default=0), 32),
        inner.part_length,
    )


def _extent_of_items(items: Sequence[Extent], chars: float) -> Extent:
    return Extent(
        1 + sum(item.values for item in items),
        chars + sum(item.chars for item in items),
        len(items),
        max((max(item.values, item.part_values) for item in items), default=0),
        max((max(item.chars, item.part_chars) for item in items), default=0),
        max((max(item.length, item.part_length) for item in items), default=0),
    )


def _sum(extents: Sequence[Extent]) -> Extent:
    """Return the extent of a value that is made of all of these."""
    whole = _extent_of_items(extents, 0)
    return whole._replace(length=sum(extent.length for extent in extents))


def _largest(extents: Sequence[Extent]) -> Extent:
    """Return the extent of a value that is one of these."""
    return Extent(*(max(sizes) for sizes in zip(*(extent[:6] for extent in extents), strict=True)))


def estimate(root: Node, data: dict[str, Any]) -> float:
    """Return the nanoseconds that an evaluation with this data takes at most."""
    walk = _Walk(data)
    result = walk.visit(root, {}, 1)
    whole = walk.extent_of(data)
    return walk.work + whole.values * _VALUE + whole.chars + result.values * _BY_PYTHON


@dataclass(slots=True)
class _Walk:
    """Adds up the work of all nodes, each as often as the loops around it evaluate it."""

    data: dict[str, Any]
    work: float = 0
    measured: dict[int, Extent] = field(default_factory=dict)

    def extent_of(self, value: Any) -> Extent:
        """Measure a value of the data, once."""
        if id(value) not in self.measured:
            self.measured[id(value)] = extent_of(value)
        return self.measured[id(value)]

    def visit(self, node: Node, seen: Mapping[str, Extent], times: float) -> Extent:
        """Add the work of a node; return the extent of its value."""
        self.work += _NODE * times
        match node:
            case Constant(text=text):
                return Extent(1, len(text), text=text) if text else SMALL
            case Identifier() | Select():
                return self._path(node, seen, times)
            case Call():
                return self._call(node, seen, times)
            case ListLiteral(items=parts) | MapLiteral(parts=parts):
                extents = [self.visit(part, seen, times) for part in parts]
                self.work += _VALUE * len(parts) * times
                return _extent_of_items(extents, 0)
            case Comprehension():
                return self._loop(node, seen, times)

    def _path(self, node: Node, seen: Mapping[str, Extent], times: float) -> Extent:
        names: list[str] = []
        while isinstance(node, Select):
            if node.is_has:
                self.visit(node.of, seen, times)
                return SMALL
            names.append(node.field)
            node = node.of
        if not isinstance(node, Identifier):
            return self.visit(node, seen, times).part
        if node.name in seen:
            return seen[node.name].part if names else seen[node.name]
        value: Any = self.data.get(node.name)
        for name in reversed(names):
            value = value.get(name) if isinstance(value, dict) else None
        return self.extent_of(value)

    def _loop(self, loop: Comprehension, seen: Mapping[str, Extent], times: float) -> Extent:
        over = self.visit(loop.over, seen, times)
        begin = self.visit(loop.begin, seen, times)
        count = min(_MOST_ITERATIONS, over.length)
        inside = min(_MOST_ITERATIONS, times * count)
        self.work += _ITERATION * inside
        item = _largest((over.part, SMALL))
        inner = {**seen, **dict.fromkeys(loop.variables, item), loop.accumulator: begin}
        self.visit(loop.condition, inner, inside)
        step = self.visit(loop.step, inner, inside)
        if isinstance(loop.begin, ListLiteral):
            self.work += _COLLECTED * count * count * times
            one = _largest((step, step.part))
            parts = (one.values, one.chars, max(one.length, one.part_length))
            step = Extent(1 + one.values * count, one.chars * count, count, *parts)
        return self.visit(loop.result, {**seen, loop.accumulator: _largest((begin, step))}, times)

    def _call(self, call: Call, seen: Mapping[str, Extent], times: float) -> Extent:
        extents = [self.visit(argument, seen, times) for argument in call.arguments]
        function = call.function
        if function in _LOGIC:
            return SMALL
        if function == "_?_:_":
            return _largest(extents[1:])
        if function == "_[_]":
            return _largest((extents[0].part, SMALL))
        self.work += times * _work_of(function, extents)
        return _result_of(function, extents)


def _work_of(function: str, extents: Sequence[Extent]) -> float:  # noqa: C901, PLR0911 - a table
    """Return the nanoseconds of one call; there is one case for each kind of function."""
    first, last = extents[0], extents[-1]
    whole_values = sum(extent.values for extent in extents)
    whole_chars = sum(extent.chars for extent in extents)
    match function:
        case _ if function in _COMPARISONS:
            return _compare(first, last)
        case "@in":
            return last.length * (_VALUE + _compare(first, last.part))
        case "startsWith" | "endsWith":
            return min(first.chars, last.chars)
        case "contains" | "indexOf" | "lastIndexOf" | "split":
            return first.chars * (1 + last.chars / 50)
        case "matches":
            count = _instructions(last)
            return count * (_COMPILE + first.chars * _MATCH)
        case "replace":
            return first.chars * (2 + extents[1].chars / 50) + MAX_TEXT
        case "size":
            return first.chars
        case "_+_":
            return whole_values * _VALUE / 4 + whole_chars
        case "big.add" | "big.compare":
            return 100_000
        case "join":
            return whole_values * _BY_PYTHON + whole_chars * 5
        case "format" | "sort":
            return whole_values * _BY_PYTHON * 3 + whole_chars * 20
        case _:
            return _NODE + whole_values * _VALUE + whole_chars * 5


def _compare(left: Extent, right: Extent) -> float:
    return min(left.values, right.values) * _VALUE + min(left.chars, right.chars)


def _instructions(pattern: Extent) -> int:
    if pattern.text is not None:
        return pattern_instructions(pattern.text)
    return MOST_INSTRUCTIONS


def _result_of(function: str, extents: Sequence[Extent]) -> Extent:
    chars = min(MAX_TEXT, sum(extent.chars for extent in extents))
    match function:
        case "_+_":
            return _sum(extents)
        case "split":
            pieces = min(MAX_PIECES, chars + 1)
            return Extent(1 + pieces, chars, pieces, 1, chars)
        case "replace" | "format" | "join":
            return Extent(1, MAX_TEXT)
        case "@in" | "contains" | "startsWith" | "endsWith" | "matches" | "size":
            return SMALL
        case _ if function in _COMPARISONS:
            return SMALL
        case _:
            return _largest([*extents, SMALL])
