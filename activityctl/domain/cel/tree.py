"""Reads the tree of a compiled expression into plain nodes.

The runtime gives its tree only in serialized form, as a protobuf `cel.expr.CheckedExpr`. The
field numbers are from the schema of that message.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from activityctl.frozen_dataclass import frozen_dataclass

TYPES, EXPR, SOURCE_INFO = 3, 4, 5
ID, CONST, IDENT, SELECT, CALL, LIST, STRUCT, LOOP = 2, 3, 4, 5, 6, 7, 8, 9
_POSITIONS: Final = 4
_TEXT: Final = 6
_TEST_ONLY: Final = 3
"""Expr.Select.test_only: true for `has`."""
_VARINT_END: Final = 128
_CONSTANTS: Final = ("", "null", "bool", "int", "uint", "double", "string", "bytes")
"""The kinds of constants by the field number in `cel.expr.Constant`."""
_PRIMITIVES: Final = ("", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN: Final = ("", "", "timestamp", "duration")


class Constant(NamedTuple):
    """A literal; `text` is the value of a string, and empty for other kinds."""

    id: int
    kind: str
    text: str


class Identifier(NamedTuple):
    """A name of the scope or a variable of a loop."""

    id: int
    name: str


class Select(NamedTuple):
    """`of.field`, or `has(of.field)` if `is_has`."""

    id: int
    of: "Node"
    field: str
    is_has: bool


class Call(NamedTuple):
    """A call of a function, operator or method; the receiver of a method is the first argument."""

    id: int
    function: str
    arguments: "tuple[Node, ...]"


class ListLiteral(NamedTuple):
    """A list literal."""

    id: int
    items: "tuple[Node, ...]"


class MapLiteral(NamedTuple):
    """A map literal; `parts` are keys and values in turn."""

    id: int
    parts: "tuple[Node, ...]"


class Comprehension(NamedTuple):
    """An expanded macro such as `exists` or `map`."""

    id: int
    variables: tuple[str, ...]
    over: "Node"
    accumulator: str
    begin: "Node"
    condition: "Node"
    step: "Node"
    result: "Node"


Node: TypeAlias = Constant | Identifier | Select | Call | ListLiteral | MapLiteral | Comprehension


@frozen_dataclass
class Tree:
    """An expression: the root node, and the position and kind of each node by its id."""

    root: Node
    positions: Mapping[int, int]
    """Offsets in characters; the offset of a field is that of its dot."""
    kinds: Mapping[int, str]
    """The kinds that the compiler knows: `bool`, `int`, `list`, `timestamp`, …"""


def read_tree(serialized: bytes) -> Tree:
    """Return the tree of an expression that the runtime serialized."""
    checked, kinds = dict[int, Any](), dict[int, str]()
    for number, part in fields_of(dict(fields_of(serialized))[2]):
        if number == TYPES:
            entry = dict(fields_of(part))
            if kind := _kind(entry[2]):
                kinds[entry[1]] = kind
        else:
            checked[number] = part
    return Tree(_node(checked[EXPR]), positions_of(checked[SOURCE_INFO]), kinds)


def positions_of(source_info: bytes) -> dict[int, int]:
    """Return the offset in characters of each node, by its id."""
    positions: dict[int, int] = {}
    for number, entry in fields_of(source_info):
        if number == _POSITIONS:
            pair = dict(fields_of(entry))
            positions[pair.get(1, 0)] = pair.get(2, 0)
    return positions


def _kind(serialized: bytes) -> str:
    (number, value), *_ = fields_of(serialized)
    match number:
        case 2:
            return "null"
        case 3:
            return _PRIMITIVES[value]
        case 5:
            return _WELL_KNOWN[value]
        case 6:
            return "list"
        case 7:
            return "map"
        case _:
            return ""


def _node(serialized: bytes) -> Node:  # noqa: PLR0911 - one return per kind of node
    parts = dict(fields_of(serialized))
    key = parts.pop(ID, 0)
    ((number, body),) = parts.items()
    match number:
        case 3:
            return _constant(key, body)
        case 4:
            return Identifier(key, dict(fields_of(body))[1].decode())
        case 5:
            select = dict(fields_of(body))
            return Select(key, _node(select[1]), select[2].decode(), _TEST_ONLY in select)
        case 6:
            return _call(key, body)
        case 7:
            return ListLiteral(
                key, tuple(_node(item) for kind, item in fields_of(body) if kind == 1)
            )
        case 8:
            return MapLiteral(key, tuple(_map_parts(body)))
        case _:
            return _loop(key, dict(fields_of(body)))


def _constant(key: int, body: bytes) -> Constant:
    for number, value in fields_of(body):
        return Constant(key, _CONSTANTS[number], value.decode() if number == _TEXT else "")
    return Constant(key, "null", "")


def _call(key: int, body: bytes) -> Call:
    function, arguments = "", []
    for number, part in fields_of(body):
        if number == 2:  # noqa: PLR2004 - Expr.Call.function
            function = part.decode()
        else:
            arguments.append(_node(part))
    return Call(key, function, tuple(arguments))


def _map_parts(body: bytes) -> Iterator[Node]:
    for number, entry in fields_of(body):
        if number == 2:  # noqa: PLR2004 - Expr.CreateStruct.entries
            yield from (_node(part) for kind, part in fields_of(entry) if kind in {3, 4})


def _loop(key: int, body: dict[int, Any]) -> Comprehension:
    variables = tuple(body[number].decode() for number in (1, 8) if number in body)
    begin, condition, step, result = (_node(body[number]) for number in (4, 5, 6, 7))
    over, accumulator = _node(body[2]), body[3].decode()
    return Comprehension(key, variables, over, accumulator, begin, condition, step, result)


def fields_of(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a protobuf message: integers for varints, bytes for all others."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
                yield tag >> 3, value
            case 2:
                length, at = _varint(message, at)
                yield tag >> 3, message[at : at + length]
                at += length
            case kind:
                length = 8 if kind == 1 else 4
                yield tag >> 3, message[at : at + length]
                at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < _VARINT_END:
            return value, at
        shift += 7
