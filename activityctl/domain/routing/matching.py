"""Decides whether an event matches one pattern, and why not. `index.py` does it for many."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never

from activityctl.domain.cel.expression import is_true
from activityctl.domain.cel.field_path import MISSING, value_at
from activityctl.domain.cel.messages import one_line
from activityctl.domain.cel.program import Program
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
from activityctl.frozen_dataclass import frozen_dataclass

_LONGEST_VALUE: Final = 80
_LISTED: Final = 5


@frozen_dataclass
class PartResult:
    """The result of one part for an event; `holds` is None if a filter cannot be evaluated."""

    part: Part
    holds: bool | None
    reason: str | None = None
    """Why it does not hold or cannot be evaluated."""


@frozen_dataclass
class Match:
    """Whether an event matches a pattern, and the first reason why it does not."""

    matched: bool
    reason: str | None
    parts: tuple[PartResult, ...]
    """The results up to the one that decided."""

    @property
    def has_failed(self) -> bool:
        """Whether a filter failed and no part is false; the router records such a failure."""
        return not self.matched and all(result.holds is not False for result in self.parts)

    @property
    def wants_another(self) -> bool:
        """Whether it does not match because of the event's type or source."""
        last = self.parts[-1] if self.parts and not self.matched else None
        if last is None or last.holds is not False or not isinstance(last.part, PatternPart):
            return False
        return last.part.attribute in {"type", "source"}


def match(trigger: EventPattern, params: Mapping[str, JsonValue], event: Event) -> Match:
    """Decide whether the event matches the pattern.

    If a part is false, the event does not match, even when another part cannot be evaluated. If
    no part is false and a filter cannot be evaluated, the match has failed. `params` must include
    the defaults.
    """
    return match_parts(pattern_parts(trigger), params, event)


def match_parts(
    parts: Sequence[Part],
    params: Mapping[str, JsonValue],
    event: Event,
    known: "KnownResults | None" = None,
) -> Match:
    """Decide as `match` does, given the parts of the pattern.

    `known` has the results of other listeners for the same event, and takes the new ones.
    """
    results: list[PartResult] = []
    for part in parts:
        if known is None:
            result = evaluate_part(part, params, event)
        else:
            result = known.evaluate(part, params)
        results.append(result)
        if result.holds is False:
            return Match(matched=False, reason=result.reason, parts=tuple(results))
    failed = next((result for result in results if result.holds is None), None)
    return Match(failed is None, failed.reason if failed else None, tuple(results))


class KnownResults:
    """The results of filters for one event, so that each is evaluated once for equal params."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self._results: dict[tuple[str, str], PartResult] = {}

    def evaluate(self, part: Part, params: Mapping[str, JsonValue]) -> PartResult:
        """Return the result of one part, as `evaluate_part` does."""
        if not isinstance(part, FilterPart):
            return evaluate_part(part, params, self._event)
        key = (part.text, _read_params(part, params))
        if key not in self._results:
            self._results[key] = evaluate_part(part, params, self._event)
        return self._results[key]


def _read_params(part: FilterPart, params: Mapping[str, JsonValue]) -> str:
    """Return the params that a filter reads, as a text that differs where they differ."""
    paths = part.program.shape.paths if isinstance(part.program, Program) else {}
    if "params" not in paths:
        return ""
    names = paths["params"]
    return repr(params if names is None else [params.get(name, MISSING) for name in names])


def evaluate_part(part: Part, params: Mapping[str, JsonValue], event: Event) -> PartResult:
    """Return the result of one part for the event."""
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
    state = f"is {_short(value)}" if isinstance(value, str) else "is missing"
    return f"{part.attribute} {state}, not {_alternatives(part.patterns)}"


def _value_reason(part: ValuePart, event: Event) -> str:
    value = value_at(event, part.path)
    state = "is missing" if value is MISSING else f"is {shown(value)}"
    return f"{'.'.join(part.path)} {state}, not {_alternatives([*map(shown, part.values)])}"


def _alternatives(texts: Sequence[str]) -> str:
    *others, last = texts
    if len(others) >= _LISTED:
        return f"one of {len(texts)} values"
    return f"{', '.join(others)} or {last}" if others else last


def shown(value: Any) -> str:
    """Return a JSON value as one short line."""
    return _short(json.dumps(value, ensure_ascii=False))


def others_text(count: int) -> str:
    """Return the line that counts triggers whose type or source does not match the event."""
    return count_noun(count, "trigger expects", "triggers expect") + " another type or source"


def _short(text: str) -> str:
    line = one_line(text[: _LONGEST_VALUE + 1])
    return line if len(text) <= _LONGEST_VALUE else line[: _LONGEST_VALUE - 1] + "…"
