"""Shape: which fields a compiled expression reads, and how much it can multiply its data.

The runtime limits depth and iterations, but not memory or time. The cost of a list that `map`
or `filter` builds is the square of its length, and nested doublings grow exponentially. The
shape is computed from the serialized tree; `tree` describes its format.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from activityctl.domain.cel.functions import MAX_TEXT
from activityctl.domain.cel.regular_expression import pattern_instructions
from activityctl.domain.cel.tree import (
    CALL,
    CONST,
    EXPR,
    ID,
    IDENT,
    LIST,
    LOOP,
    SELECT,
    SOURCE_INFO,
    STRUCT,
    fields_of,
    positions_of,
)

_SCALAR: Final = frozenset(
    {"!_", "-_", "_&&_", "_||_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_-_", "_*_", "_/_"}
    | {"_%_", "@in", "@not_strictly_false", "contains", "startsWith", "endsWith", "matches", "size"}
    | {"indexOf", "lastIndexOf", "int", "uint", "double", "bool", "timestamp", "duration"}
    | {"big.compare", "getDate", "getFullYear", "getMonth", "getHours", "getMinutes", "getSeconds"}
)
"""Functions whose result is small for all arguments."""
_BOUNDED: Final = frozenset({"replace", "join", "format", "big.add"})
"""Our functions whose result has at most MAX_TEXT characters."""

_WEIGHT_OF_PATTERN: Final = 1_000
"""The weight of a pattern that is not known before there is data."""
_WEIGHT_OF_BOUNDED: Final = 50
_STRING: Final = 6
"""Constant.string_value."""


@dataclass(slots=True)
class Shape:
    """What an expression reads and does, independent of the data."""

    names: dict[str, int] = field(default_factory=dict)
    """The names that it reads, with the offset in characters of the first use."""
    paths: dict[str, Any] = field(default_factory=dict)
    """The fields that it reads of each name, nested; None means all below."""
    growth: float = 0
    """The largest possible value, as a multiple of the size of the data or of MAX_TEXT."""
    loops: int = 0
    """The depth of nested iterations."""
    collects: float = 0
    """The most items for `map` or `filter`, as a multiple of the longest list; 0 without them."""
    gathers: bool = False
    """Whether it turns a list into one text."""
    splits: bool = False
    """Whether it turns a text into a list."""
    only_path: tuple[str, ...] = ()
    """The path of an expression that is only a path such as `a.b.c`; else empty."""
    weight: int = 0
    """How much work each character of the data can cause without a loop; at least the nodes."""
    has_patterns: bool = False
    """Whether it compares a text with a regular expression."""
    message: str | None = None
    """A protobuf message that it builds; such a value has no JSON."""


def read_shape(serialized: bytes, names: frozenset[str]) -> Shape:
    """Return the shape of an expression that the runtime serialized."""
    checked = dict(fields_of(dict(fields_of(serialized))[2]))
    positions = positions_of(checked[SOURCE_INFO])
    reader = _ShapeReader(names, positions)
    reader.visit(checked[EXPR], {}, 0)
    reader.shape.only_path = _only_path(checked[EXPR])
    return reader.shape


def _only_path(node: bytes) -> tuple[str, ...]:
    below: tuple[str, ...] = ()
    parts = dict(fields_of(node))
    while SELECT in parts:
        select = dict(fields_of(parts[SELECT]))
        if 3 in select:  # noqa: PLR2004 - Expr.Select.test_only, which is `has`
            return ()
        below = (select[2].decode(), *below)
        parts = dict(fields_of(select[1]))
    return (dict(fields_of(parts[IDENT]))[1].decode(), *below) if IDENT in parts else ()


class _Bound(NamedTuple):
    """The largest size of a value, as multiples of the data that it is made of."""

    growth: float
    """Its total size, as a multiple of the size of the data or of MAX_TEXT."""
    length: float
    """Its length if it is a list, as a multiple of the longest list in the data."""
    inner: float
    """The length of the longest list inside it, as the same multiple."""

    def any_part(self) -> "_Bound":
        """Return the bound of the value or of any part of it."""
        longest = max(self.length, self.inner)
        return _Bound(self.growth, longest, longest)


_SMALL: Final = _Bound(0, 0, 0)


class _ShapeReader:
    """Walks a tree once; `visit` returns the bound of a node's value."""

    def __init__(self, names: frozenset[str], positions: Mapping[int, int]) -> None:
        self.shape = Shape()
        self._names = names
        self._positions = positions

    def visit(self, node: bytes, seen: Mapping[str, _Bound], loops: int) -> _Bound:
        parts = dict(fields_of(node))
        self.shape.weight += 1
        bound = self._bound(parts, seen, loops)
        self.shape.growth = max(self.shape.growth, bound.growth)
        return bound

    def _bound(self, parts: dict[int, Any], seen: Mapping[str, _Bound], loops: int) -> _Bound:
        if IDENT in parts or SELECT in parts:
            return self._path(parts, (), seen, loops)
        if CALL in parts:
            return self._call(parts[CALL], seen, loops)
        if LOOP in parts:
            return self._loop(dict(fields_of(parts[LOOP])), seen, loops)
        if LIST in parts:
            items = [item for number, item in fields_of(parts[LIST]) if number == 1]
            return _literal_bound([self.visit(item, seen, loops) for item in items])
        if STRUCT in parts:
            return self._struct(parts[STRUCT], seen, loops)
        return _Bound(len(parts.get(CONST, b"")) / MAX_TEXT, 0, 0)

    def _path(
        self, parts: dict[int, Any], below: tuple[str, ...], seen: Mapping[str, _Bound], loops: int
    ) -> _Bound:
        if SELECT in parts:
            select = dict(fields_of(parts[SELECT]))
            operand = dict(fields_of(select[1]))
            if SELECT in operand or IDENT in operand:
                return self._path(operand, (select[2].decode(), *below), seen, loops)
            return self.visit(select[1], seen, loops).any_part()
        name = dict(fields_of(parts[IDENT]))[1].decode()
        if name in seen:
            return seen[name].any_part() if below else seen[name]
        if name in self._names:
            self.shape.names.setdefault(name, self._positions.get(parts[ID], 0))
            _add_path(self.shape.paths, (name, *below))
        return _Bound(1, 1, 1)

    def _call(self, call: bytes, seen: Mapping[str, _Bound], loops: int) -> _Bound:
        function, bounds = "", []
        for number, part in fields_of(call):
            if number == 2:  # noqa: PLR2004 - Expr.Call.function
                function = part.decode()
            else:
                bounds.append(self.visit(part, seen, loops))
        self.shape.gathers |= function in {"join", "format"}
        self.shape.splits |= function == "split"
        if function == "matches":
            self.shape.weight += _weight_of_pattern(part)
            self.shape.has_patterns = True
        if function in _SCALAR:
            return _SMALL
        if function in _BOUNDED:
            self.shape.weight += _WEIGHT_OF_BOUNDED
            return _Bound(1, 0, 0)
        whole = _sum_bound(bounds)
        if function == "_+_":
            return whole._replace(length=sum(bound.length for bound in bounds))
        if function == "split":
            return whole._replace(length=1)
        return whole if function == "_?_:_" else whole.any_part()

    def _struct(self, struct: bytes, seen: Mapping[str, _Bound], loops: int) -> _Bound:
        bounds = []
        for number, part in fields_of(struct):
            if number == 1:
                self.shape.message = part.decode()
                continue
            inner = [value for kind, value in fields_of(part) if kind in {3, 4}]  # key and value
            bounds += [self.visit(value, seen, loops) for value in inner]
        return _literal_bound(bounds)

    def _loop(self, loop: dict[int, Any], seen: Mapping[str, _Bound], loops: int) -> _Bound:
        over = self.visit(loop[2], seen, loops)
        begin = self.visit(loop[4], seen, loops)
        self.shape.loops = max(self.shape.loops, loops + 1)
        collects = LIST in dict(fields_of(loop[4]))
        if collects:
            self.shape.collects = max(self.shape.collects, over.length)
        accumulator, item = loop[3].decode(), _Bound(over.growth, over.inner, over.inner)
        variables = {loop[number].decode(): item for number in (1, 8) if number in loop}
        inner = {**seen, **variables, accumulator: begin}
        self.visit(loop[5], inner, loops + 1)
        step = self.visit(loop[6], inner, loops + 1)
        whole = _Bound(
            max(begin.growth, step.growth),
            over.length if collects else max(begin.length, step.length),
            max(begin.inner, step.inner),
        )
        return self.visit(loop[7], {**seen, accumulator: whole}, loops)


def _sum_bound(bounds: Sequence[_Bound]) -> _Bound:
    growth = sum(bound.growth for bound in bounds)
    length = max((bound.length for bound in bounds), default=0)
    return _Bound(growth, length, max((bound.inner for bound in bounds), default=0))


def _literal_bound(bounds: Sequence[_Bound]) -> _Bound:
    """Return the bound of a list or map literal; its length is limited by the source."""
    return _sum_bound([bound.any_part() for bound in bounds])._replace(length=0)


def _weight_of_pattern(node: bytes) -> int:
    """Return the weight of a regular expression, given the node of the pattern."""
    constant = dict(fields_of(dict(fields_of(node)).get(CONST, b"")))
    text = constant.get(_STRING)
    return pattern_instructions(text.decode()) if text is not None else _WEIGHT_OF_PATTERN


def _add_path(paths: dict[str, Any], path: tuple[str, ...]) -> None:
    for part in path[:-1]:
        inner = paths.setdefault(part, {})
        if inner is None:
            return
        paths = inner
    paths[path[-1]] = None
