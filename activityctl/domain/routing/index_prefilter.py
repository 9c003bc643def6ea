"""Prefilters: one CEL expression that rules out many listeners at once.

A call of the CEL runtime costs at least 1.5 microseconds, one more iteration of a macro in it 0.3.
So the condition becomes the body of `exists` over the params of many listeners, with `params` as
the name of its variable. Listeners that pass are still decided on one by one.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from activityctl.domain.cel.bound_event import CelEvent, merge_paths
from activityctl.domain.cel.conversion import Size, to_cel
from activityctl.domain.cel.program import Program, environment
from activityctl.domain.cel.source import literal
from activityctl.domain.events.parts import FilterPart
from activityctl.domain.routing.index_bounds import (
    Bounds,
    bounds_of,
    common_bounds,
    is_out_of_bounds,
)
from activityctl.domain.routing.index_operand import is_cheap
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

_MOST: Final = 128
"""Params in one expression; more of them save nothing."""
_MOST_TEXTS: Final = 32
"""Different conditions in one expression."""
_FAN_OUT: Final = 4
"""A prefilter that is true is followed by this many narrower ones."""
_FEW: Final = 2
"""Groups of params that pass without a narrower prefilter."""
_MANY: Final = 8
"""So many listeners must read an expression, before its value is computed for all of them."""
_LONGEST_LITERAL: Final = 1 << 14
"""Characters of one listener's params; longer params are not put into an expression."""
_NONE: Final = ""
"""The literal of a condition that reads no params."""


Conditions = tuple[FilterPart, ...]
Item = TypeVar("Item")


@frozen_dataclass
class Condition:
    """The cheap parts of a filter, as one condition."""

    parts: tuple[tuple[FilterPart, Program], ...]

    @property
    def text(self) -> str:
        """The CEL text. Each part is in brackets; a line break in them ends a comment."""
        return " && ".join(f"({part.text}\n)" for part, _ in self.parts)

    @property
    def reads(self) -> dict[str, Any]:
        """The paths that it reads."""
        found: dict[str, Any] = {}
        for _, program in self.parts:
            merge_paths(found, program.shape.paths)
        return found


@frozen_dataclass
class ParamsGroup:
    """Listeners, by number, whose params that the condition reads are equal."""

    numbers: tuple[int, ...]
    params: str
    """The params as a CEL literal."""
    bounds: Bounds

    def is_told_by_bounds(self, condition: Condition, shared: AbstractSet[str]) -> bool:
        """Whether the bounds say all that the condition does, and cost less.

        `shared` are expressions over the event that many listeners read.
        """
        operands = [comparison.operand for comparison in self.bounds]
        costs_little = all(isinstance(each, tuple) or each in shared for each in operands)
        return costs_little and len(operands) == len(condition.parts)


class Prefilter:
    """An expression that is false when none of its listeners can match; compiled at first use.

    It has no expression when the bounds suffice.
    """

    def __init__(
        self,
        question: str | None,
        numbers: Sequence[int],
        bounds: Bounds,
        narrower: Callable[[], Sequence["Prefilter"]],
    ) -> None:
        self.question = question
        self.numbers = numbers
        self.bounds = bounds
        """Outside of them no listener matches and the expression is not evaluated."""
        self._narrower = narrower

    def candidates(self, event: CelEvent) -> Iterator[int]:
        """Yield the numbers of the listeners for which the condition may be true or fail."""
        if is_out_of_bounds(self.bounds, event.number_at) or self._is_false(event.activation):
            return
        if not self._inner:
            yield from self.numbers
        for prefilter in self._inner:
            yield from prefilter.candidates(event)

    def _is_false(self, activation: Any) -> bool:
        if self._program is None:
            return False
        try:
            return self._program.eval(activation).value() is False
        except RuntimeError:  # the runtime's own limit of work
            return False

    @functools.cached_property
    def _program(self) -> Any:
        if self.question is None:
            return None
        try:
            return environment().compile(self.question)
        except RuntimeError:
            return None

    @functools.cached_property
    def _inner(self) -> Sequence["Prefilter"]:
        return self._narrower()


@dataclass(slots=True)
class PrefilterSet:
    """The prefilters of a bucket."""

    prefilters: list[Prefilter] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)
    """Numbers of listeners that are in no prefilter."""
    reads: dict[str, Any] = field(default_factory=dict)
    """The paths that the prefilters read, in the form of `to_cel`."""
    has_patterns: bool = False
    """Whether a condition has a regular expression."""


def build_prefilters(
    params: Mapping[Conditions, Mapping[int, Mapping[str, JsonValue]]],
) -> PrefilterSet:
    """Return prefilters for listeners.

    `params` has the params of each listener, by its conditions and its number. A listener matches
    only when all its conditions hold; conditions that are not cheap are left out.
    """
    result = PrefilterSet()
    single: list[Prefilter] = []
    groups: list[tuple[Condition, list[ParamsGroup]]] = []
    for conditions, params_by_number in params.items():
        condition = Condition(tuple(_cheap_parts(conditions)))
        if not condition.parts:
            result.rest += params_by_number
            continue
        merge_paths(result.reads, condition.reads)
        result.has_patterns |= any(program.shape.has_patterns for _, program in condition.parts)
        members, rest = _group_by_params(condition, params_by_number)
        result.rest += rest
        groups.append((condition, members))
    shared = _shared_expressions(member for _, members in groups for member in members)
    for condition, members in groups:
        for chunk in _cut(members, _MOST):
            (single if len(chunk) == 1 else result.prefilters).append(
                _prefilter_of_one(condition, chunk, shared)
            )
    for has_question in (True, False):
        alike = [each for each in single if (each.question is not None) is has_question]
        alike.sort(key=_sort_key)
        result.prefilters += [_prefilter_of_any(chunk) for chunk in _cut(alike, _MOST_TEXTS)]
    return result


def _cheap_parts(conditions: Conditions) -> Iterator[tuple[FilterPart, Program]]:
    for part in conditions:
        if isinstance(part.program, Program) and is_cheap(part.program):
            yield part, part.program


def _shared_expressions(members: Iterable[ParamsGroup]) -> AbstractSet[str]:
    """Return the expressions in the bounds of many of these."""
    counts = Counter(comparison.operand for member in members for comparison in member.bounds)
    return {
        operand for operand, count in counts.items() if isinstance(operand, str) and count >= _MANY
    }


def _prefilter_of_one(
    condition: Condition, members: Sequence[ParamsGroup], shared: AbstractSet[str]
) -> Prefilter:
    """Return the prefilter of one condition."""
    params = ", ".join(member.params for member in members)
    question: str | None = condition.text
    if all(member.is_told_by_bounds(condition, shared) for member in members):
        question = None
    elif params:
        question = f"dyn([{params}]).exists(params, {condition.text})"
    numbers = [number for member in members for number in member.numbers]

    def narrower() -> list[Prefilter]:
        if len(members) <= (1 if question is None else _FEW):
            return []
        return [
            _prefilter_of_one(condition, part, shared)
            for part in _cut(members, -(-len(members) // _FAN_OUT))
        ]

    return Prefilter(
        question, numbers, common_bounds([member.bounds for member in members]), narrower
    )


def _prefilter_of_any(prefilters: Sequence[Prefilter]) -> Prefilter:
    """Return the prefilter that evaluates all of these at once."""
    if len(prefilters) == 1:
        return prefilters[0]
    questions = [each.question for each in prefilters if each.question is not None]
    question = " || ".join(questions) if len(questions) == len(prefilters) else None
    numbers = [number for each in prefilters for number in each.numbers]

    def narrower() -> list[Prefilter]:
        size = -(-len(prefilters) // _FAN_OUT)
        return [_prefilter_of_any(part) for part in _cut(prefilters, size)]

    bounds = common_bounds([each.bounds for each in prefilters])
    return Prefilter(question, numbers, bounds, narrower)


def _cut(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _group_by_params(
    condition: Condition, params: Mapping[int, Mapping[str, JsonValue]]
) -> tuple[list[ParamsGroup], list[int]]:
    """Return the listeners grouped by equal params, and those that no prefilter can have."""
    numbers: dict[str | None, list[int]] = {}
    reads = condition.reads
    texts = [part.text for part, _ in condition.parts]
    for number, own_params in params.items():
        numbers.setdefault(_params_literal(reads, own_params), []).append(number)
    rest = numbers.pop(None, [])
    members = []
    for text, same in numbers.items():
        if text is not None:
            bounds = bounds_of(texts, params[same[0]])
            members.append(ParamsGroup(tuple(same), text, bounds))
    return sorted(members, key=_sort_key), rest


def _sort_key(item: ParamsGroup | Prefilter) -> tuple[list[str], list[float]]:
    """Return a key that puts items with similar bounds next to each other."""
    return [str(comparison) for comparison in item.bounds], list(item.bounds.values())


def _params_literal(reads: Mapping[str, Any], params: Mapping[str, JsonValue]) -> str | None:
    if "params" not in reads:
        return _NONE
    try:
        text = literal(to_cel(params, reads["params"], Size()))
    except ExpressionError:
        return None
    return text if len(text) <= _LONGEST_LITERAL else None
