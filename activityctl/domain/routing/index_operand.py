"""Reads the operands of a filter's comparisons: a field of the event, or a constant."""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.cel.field_path import MISSING, FieldPath
from activityctl.domain.cel.program import Program, compiled
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

_MAX_GROWTH: Final = 16
_MAX_WEIGHT: Final = 256


def is_cheap(program: Program) -> bool:
    """Return whether a condition reads only event and params and costs little for any event."""
    shape = program.shape
    reads = shape.names.keys() <= {"event", "params"}
    is_small = shape.growth <= _MAX_GROWTH and shape.weight <= _MAX_WEIGHT
    return reads and not shape.loops and is_small


def event_path(text: str) -> FieldPath | None:
    """Return the path below `event` when the operand is just a field of the event; else None."""
    program = compiled(text)
    path = program.shape.only_path if isinstance(program, Program) else ()
    return path[1:] if path[:1] == ("event",) and len(path) > 1 else None


def event_expression(text: str) -> str | None:
    """Return the operand when it reads only the event, costs little and is more than a field."""
    program = compiled(text)
    if not isinstance(program, Program) or not is_cheap(program) or program.shape.only_path:
        return None
    return text.strip() if program.shape.names.keys() == {"event"} else None


def constant_value(text: str, params: Mapping[str, JsonValue]) -> Any:
    """Return the value of an operand that is the same for every event; MISSING for others."""
    program = compiled(text)
    if not isinstance(program, Program) or not is_cheap(program) or program.shape.growth > 1:
        return MISSING
    if "event" in program.shape.names:
        return MISSING
    try:
        return program.evaluate({"params": params})
    except ExpressionError:
        return MISSING
