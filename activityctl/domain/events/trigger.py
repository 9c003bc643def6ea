"""EventTrigger: which events start a run, checked when read; what it means is decided elsewhere.

One event in `matching`, several in `gathering`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from activityctl.domain.cel.static_check import check_template_meaning
from activityctl.domain.cel.static_type import StaticType
from activityctl.domain.events.gathering_options import (
    NAMES_NO_EVENT,
    Absence,
    Batch,
    Debounce,
    Parts,
    PositiveDuration,
)
from activityctl.domain.events.pattern import EVENT, EventPattern, check_event_pattern
from activityctl.domain.timing.options import Bounded
from activityctl.domain.values.finding import Finding

Form = Literal["debounce", "batch", "all", "sequence", "absence"]
"""How a trigger gathers several events; the field that says it."""
FORMS: Final[tuple[Form, ...]] = ("debounce", "batch", "all", "sequence", "absence")
KEY_PATHS: Final = frozenset({("key",), *((form, "key") for form in FORMS)})
"""Where a template may stand, evaluated as each event comes."""

_LISTS: Final[tuple[Form, ...]] = ("all", "sequence")
_PATTERN: Final = ("type", "source", "subject", "match", "filter")


class EventTrigger(EventPattern, Bounded):
    """Due when an event comes of which all that is said here holds, or several of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "order.created"}]})

    ordered: bool = Field(
        default=False,
        description="Start the runs of a subscription in the order in which the events came.",
        examples=[True],
    )
    priority: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Among firings that are due, and among runs that queue, those of a higher "
        "priority start first. In a queue no run overtakes another of its own trigger.",
        examples=[10],
    )
    debounce: Debounce | None = Field(
        default=None,
        description="One run for events that follow one another closely.",
        examples=[{"for": "10s", "key": "${ event.data.id }", "max": "1m"}],
    )
    batch: Batch | None = Field(
        default=None,
        description="One run for many events.",
        examples=[{"size": 100, "within": "30s"}],
    )
    all: Parts | None = Field(
        default=None,
        description="Due when each of these has come, in any order, `within` so long; the run "
        "sees them all. An event counts for each that it matches.",
        examples=[[{"type": "order.created"}, {"type": "payment.received"}]],
    )
    sequence: Parts | None = Field(
        default=None,
        description="Due when these have come in this order, `within` so long. What comes between "
        "them does not matter.",
        examples=[[{"type": "deploy.started"}, {"type": "deploy.failed"}]],
    )
    absence: Absence | None = Field(
        default=None,
        description="Due when something that should follow does not.",
        examples=[
            {"after": {"type": "order.created"}, "of": {"type": "order.paid"}, "within": "2h"}
        ],
    )
    key: str | None = Field(
        default=None,
        description="Events of `all` or `sequence` belong together that have the same value of "
        "this template; it sees event and params. Default: all events together.",
        examples=["${ event.data.orderId }"],
    )
    within: PositiveDuration | None = Field(
        default=None,
        description="How long after the first event of `all` or `sequence` the others may come.",
        examples=["1h"],
    )

    @model_validator(mode="after")
    def _names_events(self) -> "EventTrigger":
        if not (self.names_events or self.all or self.sequence or self.absence):
            raise ValueError(NAMES_NO_EVENT)
        return self

    @property
    def form(self) -> Form | None:
        """How it gathers events; None for one that each matching event makes due."""
        return next((form for form in FORMS if getattr(self, form) is not None), None)

    @property
    def parts(self) -> dict[str, EventPattern]:
        """The events that it waits for, by name; empty when its own pattern says it all."""
        if self.absence is not None:
            return {"after": self.absence.after, "of": self.absence.of}
        listed = enumerate(self.all or self.sequence or (), 1)
        return {part.name or str(place): part for place, part in listed}

    @property
    def gathering_key(self) -> str | None:
        """The template of the key by which it gathers events."""
        inner = self.debounce or self.batch or self.absence
        return self.key if inner is None else inner.key


def check_event_trigger(trigger: EventTrigger, params: StaticType) -> list[Finding]:
    """Return what is wrong with the trigger beyond its fields: forms that clash, filters, keys.

    `params` as `params_type` has it.
    """
    found = [*_check_form(trigger), *_check_names(trigger)]
    for path, pattern in _patterns(trigger):
        found += [one.under(*path) for one in check_event_pattern(pattern, params)]
    return found + list(_check_keys(trigger, {"event": EVENT, "params": params}))


def _check_form(trigger: EventTrigger) -> Iterator[Finding]:
    form = trigger.form
    others = [one for one in FORMS if one != form and getattr(trigger, one) is not None]
    for other in others:
        yield Finding((other,), f"stands beside {form}; a trigger has one form", at_key=True)
    if others:
        return
    written = [name for name in _PATTERN if getattr(trigger, name)]
    for name in written if trigger.parts else ():
        place = f"each part of {form}" if form in _LISTS else "its parts after and of"
        reason = f"has no effect beside {form}: write it in {place}"
        yield Finding((name,), reason, at_key=True)
    if form not in _LISTS:
        for name in ("key", "within"):
            if getattr(trigger, name) is not None:
                yield Finding((name,), _fields_of_other_form(form, name), at_key=True)
    elif trigger.within is None:
        yield Finding((str(form),), "needs `within` beside it: how long the others may take")


def _fields_of_other_form(form: Form | None, name: str) -> str:
    if form is None:
        return "belongs to all or sequence, of which there is none here"
    if form == "debounce" and name == "within":
        return "has no effect beside debounce: it takes for and max"
    return f"stands inside {form}: write {form}: {{{name}: …}}"


def _check_names(trigger: EventTrigger) -> Iterator[Finding]:
    for form in _LISTS:
        seen: set[str] = set()
        for index, part in enumerate(getattr(trigger, form) or ()):
            name = part.name or str(index + 1)
            if name in seen:
                yield Finding((form, index, "name"), f"{name!r} is used twice")
            seen.add(name)


def _patterns(trigger: EventTrigger) -> Iterator[tuple[tuple[str | int, ...], EventPattern]]:
    """Yield every pattern with its place."""
    yield (), trigger
    for form in _LISTS:
        for index, part in enumerate(getattr(trigger, form) or ()):
            yield (form, index), part
    if trigger.absence is not None:
        yield ("absence", "after"), trigger.absence.after
        yield ("absence", "of"), trigger.absence.of


def _check_keys(trigger: EventTrigger, scope: Mapping[str, StaticType]) -> Iterator[Finding]:
    for place in sorted(KEY_PATHS):
        template: Any = trigger
        for step in place:
            template = getattr(template, step, None)
        for problem in check_template_meaning(template, scope):
            yield Finding(place, problem.reason, problem.offset)
