"""Finds what a trigger needs in fields of an event, as keys for the lookup tables of the index.

A key never rules out an event that matches or for which a filter fails. It may let other events
pass. The tables are in `index_table.py`.
"""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from activityctl.domain.cel.clauses import clause_of
from activityctl.domain.cel.field_path import MISSING, FieldPath
from activityctl.domain.cel.program import Program, compiled
from activityctl.domain.cel.tree import Call
from activityctl.domain.events.parts import ANY, FilterPart, Part, PatternPart, ValuePart
from activityctl.domain.routing.index_fields import UNINDEXABLE, IndexedField, scalar_key
from activityctl.domain.routing.index_operand import (
    constant_value,
    event_expression,
    event_path,
    is_cheap,
)
from activityctl.domain.routing.index_pattern import required_text
from activityctl.domain.values.model import JsonValue

_FIELD: Final = r"(?P<field>[\w.`-]+)"  # no spaces and slashes, so no comments
_STARTS_OR_ENDS_WITH: Final = re.compile(
    rf"{_FIELD}\.(?P<end>start|end)sWith\((?P<text>.*)\)", re.DOTALL
)
_CONTAINS: Final = re.compile(
    r"(?P<field>.+)\.(?P<function>contains|matches)\((?P<text>.*)\)", re.DOTALL
)
_EXISTS: Final = re.compile(rf"{_FIELD}\.exists\(\s*(?P<item>\w+)\s*,(?P<test>.*)\)", re.DOTALL)
_HAS: Final = re.compile(rf"has\({_FIELD}\)")
_MOST_ALTERNATIVES: Final = 8
_LONGEST_ITEM: Final = 1024
"""Characters of a value that an item of a list is compared with."""


class KeyCondition(NamedTuple):
    """The event's field must have one of these keys; for `inside`, contain one of these texts."""

    field: IndexedField
    keys: frozenset[Hashable]


Alternatives: TypeAlias = tuple[KeyCondition, ...]
"""Conditions on different fields of which one must hold."""
_NOT_KNOWN: Final[Alternatives] = ()


def key_conditions(
    parts: Sequence[Part], params: Mapping[str, JsonValue]
) -> Iterator[Alternatives]:
    """Yield what the parts need, as far as keys can express it."""
    guarded = {path for part in parts if (path := _guarded_path(part)) is not None}
    for part in parts:
        match part:
            case PatternPart():
                condition = _pattern_condition(part)
                found = (condition,) if condition is not None else _NOT_KNOWN
            case ValuePart():
                found = (_condition(IndexedField(part.path, "short form"), part.values),)
            case FilterPart():
                found = _filter_conditions(part.text, params)
                if len(found) == 1 and found[0].field.path in guarded:
                    (field, keys) = found[0]
                    found = (KeyCondition(field._replace(missing_rule="guarded filter"), keys),)
        if found:
            yield found


def _condition(field: IndexedField, values: Sequence[Any]) -> KeyCondition:
    return KeyCondition(field, frozenset(map(scalar_key, values)))


def _pattern_condition(part: PatternPart) -> KeyCondition | None:
    heads = [pattern.partition(ANY)[0] for pattern in part.patterns if ANY in pattern]
    path = (part.attribute,)
    if not heads:
        return _condition(IndexedField(path, "short form"), part.patterns)
    length = min(map(len, heads))
    if length == 0:
        return None
    starts = frozenset(pattern.partition(ANY)[0][:length] for pattern in part.patterns)
    return KeyCondition(IndexedField(path, "short form", "start", length), starts)


def _filter_conditions(text: str, params: Mapping[str, JsonValue]) -> Alternatives:
    """Return the conditions of a filter that compares fields of the event with constants.

    Such filters are `event.a.b == params.c`, in either order, `… in params.d`,
    `….startsWith("x")`, `….endsWith("x")`, `….contains("x")`, `….matches("x")`,
    `params.c in event.tags`, `event.items.exists(i, i.a == params.c)`, or several of them,
    joined by `||`. An expression over the event may stand for the field in some of them.
    """
    clause = clause_of(text)
    condition: KeyCondition | None = None
    match clause.operator, clause.operands:
        case "==", (left, right):
            condition = _equality_condition(left, right, params) or _equality_condition(
                right, left, params
            )
        case "in", (field, values):
            condition = _list_condition(field, values, params) or _tag_condition(
                field, values, params
            )
        case "||", alternatives:
            return _either([_filter_conditions(text, params) for text in alternatives])
        case "", _:
            condition = (
                _end_condition(text, params)
                or _inside_condition(text, params)
                or _item_condition(text, params)
            )
    return (condition,) if condition is not None else _NOT_KNOWN


def _field_of(text: str) -> IndexedField | None:
    """Return the field of the event, or the expression over it, that an operand is."""
    if (path := event_path(text)) is not None:
        return IndexedField(path, "filter")
    expression = event_expression(text)
    return None if expression is None else IndexedField((expression,), "filter", is_expression=True)


def _equality_condition(
    field: str, value: str, params: Mapping[str, JsonValue]
) -> KeyCondition | None:
    found = _field_of(field)
    if found is None or (wanted := constant_value(value, params)) is MISSING:
        return None
    return _condition(found, [wanted])


def _list_condition(
    field: str, values: str, params: Mapping[str, JsonValue]
) -> KeyCondition | None:
    found, wanted = _field_of(field), constant_value(values, params)
    return _condition(found, wanted) if found is not None and isinstance(wanted, list) else None


def _tag_condition(value: str, field: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    """Return the condition that a list of the event has a value in it."""
    path, wanted = event_path(field), scalar_key(constant_value(value, params))
    if path is None or wanted is UNINDEXABLE:
        return None
    return KeyCondition(IndexedField(path, "filter", "items"), frozenset([wanted]))


def _end_condition(text: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    found = _STARTS_OR_ENDS_WITH.fullmatch(text.strip())
    if found is None or (path := event_path(found["field"])) is None:
        return None
    wanted = constant_value(found["text"], params)
    if not isinstance(wanted, str) or not wanted:
        return None
    reading: Any = found["end"]
    return KeyCondition(IndexedField(path, "filter", reading, len(wanted)), frozenset({wanted}))


def _inside_condition(text: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    """Return the condition that a text of the event has another text in it."""
    found = _CONTAINS.fullmatch(text.strip())
    if found is None or not _is_one_call(text, found["function"]):
        return None
    wanted = constant_value(found["text"], params)
    if found["function"] == "matches":
        wanted = required_text(wanted)
    if not isinstance(wanted, str) or not wanted or (field := _field_of(found["field"])) is None:
        return None
    return KeyCondition(field._replace(reading="inside"), frozenset({wanted}))


def _is_one_call(text: str, function: str) -> bool:
    """Whether a source is one call of this method and costs little for any event."""
    program = compiled(text)
    if not isinstance(program, Program) or not is_cheap(program):
        return False
    return isinstance(program.tree, Call) and program.tree.function == function


def _item_condition(text: str, params: Mapping[str, JsonValue]) -> KeyCondition | None:
    """Return the condition of `exists` that compares each item, or a field of it, with a value."""
    found = _EXISTS.fullmatch(text.strip())
    if found is None or (path := event_path(found["field"])) is None:
        return None
    clause = clause_of(found["test"])
    if clause.operator != "==" or found["item"] in {"event", "params"}:
        return None
    for item, value in (clause.operands, clause.operands[::-1]):
        name, *fields = item.split(".")
        wanted = _plain_value(value, params)
        if name == found["item"] and all(map(str.isidentifier, fields)) and wanted is not MISSING:
            field = IndexedField(path, "filter", "items", item=tuple(fields))
            return KeyCondition(field, frozenset([wanted]))
    return None


def _plain_value(text: str, params: Mapping[str, JsonValue]) -> Any:
    """Return the short scalar that a literal or a field of params is; MISSING for others."""
    program = compiled(text)
    if not isinstance(program, Program) or (program.shape.names and not program.shape.only_path):
        return MISSING
    value = scalar_key(constant_value(text, params))
    is_long = isinstance(value, str) and len(value) > _LONGEST_ITEM
    return MISSING if value is UNINDEXABLE or is_long else value


def _either(alternatives: Sequence[Alternatives]) -> Alternatives:
    """Return what one of these needs; the conditions of the same field become one."""
    keys: dict[IndexedField, frozenset[Hashable]] = {}
    for conditions in alternatives:
        if not conditions:
            return _NOT_KNOWN
        for field, wanted in conditions:
            keys[field] = keys.get(field, frozenset()) | wanted
    if len(keys) > _MOST_ALTERNATIVES:
        return _NOT_KNOWN
    return tuple(KeyCondition(field, wanted) for field, wanted in keys.items())


def _guarded_path(part: Part) -> FieldPath | None:
    """Return the event's field that a filter part tests with `has`; None for any other part."""
    found = _HAS.fullmatch(part.text) if isinstance(part, FilterPart) else None
    return event_path(found["field"]) if found else None
