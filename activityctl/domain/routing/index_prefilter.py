"""Sieve: one CEL condition asked for many params at once, to drop those for which it is false.

A call of the runtime costs 1.5 microseconds and more, one more round of a macro within it 0.3.
So the condition becomes the body of `exists` over the params, under the very name `params`.
What passes is still to be decided one by one.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from activityctl.domain.cel.bound_event import CelEvent, merge_paths
from activityctl.domain.cel.conversion import Size, to_cel
from activityctl.domain.cel.program import Program, environment
from activityctl.domain.cel.source import literal
from activityctl.domain.events.parts import FilterPart
from activityctl.domain.routing.index_bounds import (
    Bounds,
    Comparison,
    bounds_of,
    common_bounds,
    is_out_of_bounds,
)
from activityctl.domain.routing.index_operand import is_cheap
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

_MOST: Final = 128
"""Params in one question; more gain nothing."""
_MOST_TEXTS: Final = 32
"""Conditions of different text in one question."""
_FAN_OUT: Final = 4
_FEW: Final = 2
"""As many as are let pass without a narrower question."""
_LONGEST_LITERAL: Final = 1 << 14
"""Characters of one entry's params; longer ones are not worth a literal."""
_NONE: Final = ""
"""What stands for the params of a condition that reads none."""


Conditions = tuple[FilterPart, ...]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Condition:
    """Conditions that are small work, as one."""

    parts: tuple[tuple[FilterPart, Program], ...]

    @property
    def text(self) -> str:
        """In CEL; in brackets, with the end of any comment in them."""
        return " && ".join(f"({part.text}\n)" for part, _ in self.parts)

    @property
    def reads(self) -> dict[str, Any]:
        """What it reads of the scope."""
        found: dict[str, Any] = {}
        for _, program in self.parts:
            merge_paths(found, program.shape.paths)
        return found


@dataclass(frozen=True, slots=True)
class ParamsGroup:
    """Entries by their numbers, with the params that the condition reads of each of them."""

    numbers: tuple[int, ...]
    params: str
    """A CEL literal."""
    bounds: Bounds
    is_told: bool
    """Whether the bounds say all of the condition."""


class Prefilter:
    """A question that is false when no entry of these can match; compiled at first use.

    Where the bounds say it all there is no question.
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
        """Outside of these the question need not be asked."""
        self._narrower = narrower

    def candidates(self, event: CelEvent) -> Iterator[int]:
        """Yield the entries for which the condition may be true, or fail."""
        if is_out_of_bounds(self.bounds, event.number_at) or self._is_false(event.activation):
            return
        if not self._inner:
            yield from self.numbers
        for sieve in self._inner:
            yield from sieve.candidates(event)

    def _is_false(self, activation: Any) -> bool:
        if self._program is None:
            return False
        try:
            return self._program.eval(activation).value() is False
        except RuntimeError:  # the runtime's own budget
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
    """What stands between an event and the entries of a bucket."""

    prefilters: list[Prefilter] = field(default_factory=list)
    rest: list[int] = field(default_factory=list)
    """Entries that are in no sieve."""
    reads: dict[str, Any] = field(default_factory=dict)
    """What the sieves read of an event's scope, as `to_cel` takes it."""


def build_prefilters(
    params: Mapping[Conditions, Mapping[int, Mapping[str, JsonValue]]],
) -> PrefilterSet:
    """Return sieves for entries: the params of each by its number, by its conditions.

    All conditions hold for an entry to match; those that are no small work are left out.
    """
    found = PrefilterSet()
    alone: list[Prefilter] = []
    for conditions, some in params.items():
        condition = Condition(tuple(_cheap_parts(conditions)))
        if not condition.parts:
            found.rest += some
            continue
        merge_paths(found.reads, condition.reads)
        members, rest = _group_by_params(condition, some)
        found.rest += rest
        for chunk in _cut(members, _MOST):
            (alone if len(chunk) == 1 else found.prefilters).append(
                _prefilter_of_one(condition.text, chunk)
            )
    for asks in (True, False):
        alike = sorted((one for one in alone if (one.question is not None) is asks), key=_order)
        found.prefilters += [_prefilter_of_any(chunk) for chunk in _cut(alike, _MOST_TEXTS)]
    return found


def _cheap_parts(conditions: Conditions) -> Iterator[tuple[FilterPart, Program]]:
    for part in conditions:
        if isinstance(part.program, Program) and is_cheap(part.program):
            yield part, part.program


def _prefilter_of_one(condition: str, members: Sequence[ParamsGroup]) -> Prefilter:
    """Return the sieve of one condition."""
    params = ", ".join(member.params for member in members)
    question: str | None = condition
    if all(member.is_told for member in members):
        question = None
    elif params:
        question = f"dyn([{params}]).exists(params, {condition})"
    numbers = [number for member in members for number in member.numbers]

    def narrower() -> list[Prefilter]:
        if len(members) <= _FEW:
            return []
        return [
            _prefilter_of_one(condition, part)
            for part in _cut(members, -(-len(members) // _FAN_OUT))
        ]

    return Prefilter(
        question, numbers, common_bounds([member.bounds for member in members]), narrower
    )


def _prefilter_of_any(sieves: Sequence[Prefilter]) -> Prefilter:
    """Return the sieve that asks all of these at once."""
    if len(sieves) == 1:
        return sieves[0]
    questions = [sieve.question for sieve in sieves if sieve.question is not None]
    question = " || ".join(questions) if len(questions) == len(sieves) else None
    numbers = [number for sieve in sieves for number in sieve.numbers]

    def narrower() -> list[Prefilter]:
        return [_prefilter_of_any(part) for part in _cut(sieves, -(-len(sieves) // _FAN_OUT))]

    return Prefilter(question, numbers, common_bounds([sieve.bounds for sieve in sieves]), narrower)


def _cut(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _group_by_params(
    condition: Condition, params: Mapping[int, Mapping[str, JsonValue]]
) -> tuple[list[ParamsGroup], list[int]]:
    """Return the entries by equal params, and those that no sieve can hold."""
    numbers: dict[str | None, list[int]] = {}
    reads = condition.reads
    texts = [part.text for part, _ in condition.parts]
    for number, one in params.items():
        numbers.setdefault(_params_literal(reads, one), []).append(number)
    rest = numbers.pop(None, [])
    members = []
    for text, same in numbers.items():
        if text is not None:
            bounds = bounds_of(texts, params[same[0]])
            members.append(ParamsGroup(tuple(same), text, bounds, len(bounds) == len(texts)))
    return sorted(members, key=_order), rest


def _order(one: ParamsGroup | Prefilter) -> tuple[list[Comparison], list[float]]:
    """Bring together what the same events pass."""
    return list(one.bounds), list(one.bounds.values())


def _params_literal(reads: Mapping[str, Any], params: Mapping[str, JsonValue]) -> str | None:
    if "params" not in reads:
        return _NONE
    try:
        text = literal(to_cel(params, reads["params"], Size()))
    except ExpressionError:
        return None
    return text if len(text) <= _LONGEST_LITERAL else None
