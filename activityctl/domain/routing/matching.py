"""Which events a trigger matches, and why not; many triggers at once are `match_index`'s."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from activityctl.domain.cel.expression import is_true
from activityctl.domain.cel.field_path import MISSING, value_at
from activityctl.domain.cel.messages import one_line
from activityctl.domain.events.parts import (
    Event,
    FilterPart,
    Part,
    PatternPart,
    ValuePart,
    pattern_parts,
)
from activityctl.domain.events.pattern import EventPattern
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import ExpressionError

_LONGEST_VALUE: Final = 80
_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class PartResult:
    """What one part says of an event; `holds` is None for a filter that cannot be evaluated."""

    part: Part
    holds: bool | None
    reason: str | None = None
    """Why it does not hold."""


@dataclass(frozen=True, slots=True)
class Match:
    """Whether an event wakes a trigger, and the first reason why it does not."""

    matched: bool
    reason: str | None
    parts: tuple[PartResult, ...]
    """As far as it took to decide."""

    @property
    def has_failed(self) -> bool:
        """Whether it is no part that is false: a failure, which is to be recorded."""
        return not self.matched and all(verdict.holds is not False for verdict in self.parts)

    @property
    def wants_another(self) -> bool:
        """Whether it is the event's type or source that decides against it."""
        last = self.parts[-1] if self.parts and not self.matched else None
        if last is None or last.holds is not False or not isinstance(last.part, PatternPart):
            return False
        return last.part.attribute in {"type", "source"}


def match(trigger: EventPattern, params: Mapping[str, JsonValue], event: Event) -> Match:
    """Decide whether the event wakes the trigger.

    A part that is false decides, whatever others give; without one, a filter that cannot be
    evaluated does. The params have their defaults filled in.
    """
    return match_parts(pattern_parts(trigger), params, event)


def match_parts(parts: Sequence[Part], params: Mapping[str, JsonValue], event: Event) -> Match:
    """Decide as `match` does, the trigger's parts being known."""
    verdicts: list[PartResult] = []
    for part in parts:
        verdict = evaluate_part(part, params, event)
        verdicts.append(verdict)
        if verdict.holds is False:
            return Match(matched=False, reason=verdict.reason, parts=tuple(verdicts))
    failed = next((verdict for verdict in verdicts if verdict.holds is None), None)
    return Match(failed is None, failed.reason if failed else None, tuple(verdicts))


def evaluate_part(part: Part, params: Mapping[str, JsonValue], event: Event) -> PartResult:
    """Return what one part says of the event."""
    match part:
        case PatternPart():
            if part.holds(event):
                return PartResult(part, holds=True)
            return PartResult(part, False, _pattern_reason(part, event))
        case ValuePart():
            if part.holds(event):
                return PartResult(part, holds=True)
            return PartResult(part, False, _value_reason(part, event))
        case FilterPart():
            return _evaluate_filter(part, params, event)
        case _:
            assert_never(part)


def _evaluate_filter(part: FilterPart, params: Mapping[str, JsonValue], event: Event) -> PartResult:
    try:
        if is_true(part.program, {"event": event, "params": params}):
            return PartResult(part, holds=True)
    except ExpressionError as error:
        return PartResult(part, None, f"filter error: {error.message}")
    return PartResult(part, False, f"filter is false: {one_line(part.text)}")


def _pattern_reason(part: PatternPart, event: Event) -> str:
    value = event.get(part.attribute, MISSING)
    stated = f"is {_short(value)}" if isinstance(value, str) else "is missing"
    return f"{part.attribute} {stated}, not {_alternatives(part.patterns)}"


def _value_reason(part: ValuePart, event: Event) -> str:
    value = value_at(event, part.path)
    stated = "is missing" if value is MISSING else f"is {shown(value)}"
    return f"{'.'.join(part.path)} {stated}, not {_alternatives([*map(shown, part.values)])}"


def _alternatives(texts: Sequence[str]) -> str:
    *others, last = texts
    if len(others) >= _LISTED:
        return f"one of {len(texts)} others"
    return f"{', '.join(others)} or {last}" if others else last


def shown(value: Any) -> str:
    """Return a JSON value in one short line."""
    return _short(json.dumps(value, ensure_ascii=False))


def others_text(count: int) -> str:
    """Return that so many triggers do not match by type or source, as those who fold them say."""
    return count_noun(count, "trigger wants", "triggers want") + " another type or source"


def _short(text: str) -> str:
    line = one_line(text[: _LONGEST_VALUE + 1])
    return line if len(text) <= _LONGEST_VALUE else line[: _LONGEST_VALUE - 1] + "…"
