"""EventTrigger: which events start a run, as YAML has it, and the checks of its fields.

`domain.routing` matches single events; `gathering` decides about several.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from activityctl.domain.cel.expression import has_expression
from activityctl.domain.cel.static_check import check_template_meaning
from activityctl.domain.cel.static_type import StaticType
from activityctl.domain.cel.templates import constant_key
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
"""How a trigger gathers several events; the name of the field that is set."""
FORMS: Final[tuple[Form, ...]] = ("debounce", "batch", "all", "sequence", "absence")
KEY_PATHS: Final = frozenset({("key",), *((form, "key") for form in FORMS)})
"""The paths of fields that may be templates; they are evaluated for each event."""

_LISTS: Final[tuple[Form, ...]] = ("all", "sequence")
_PATTERN: Final = ("type", "source", "subject", "match", "filter")


class EventTrigger(EventPattern, Bounded):
    """Due for each event that fulfils all conditions, or for several events together."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "order.created"}]})

    ordered: bool = Field(
        default=False,
        description="Whether the runs of a subscription start in the order in which the events "
        "came. With `concurrency.key`, the order is kept for each value of the key.",
        examples=[True],
    )
    priority: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Among due firings and among queued runs, a higher priority starts first. In "
        "a queue, no run overtakes another run of the same trigger.",
        examples=[10],
    )
    debounce: Debounce | None = Field(
        default=None,
        description="Start one run for events that follow each other closely.",
        examples=[{"for": "10s", "key": "${ event.data.id }", "max": "1m"}],
    )
    batch: Batch | None = Field(
        default=None,
        description="Start one run for many events.",
        examples=[{"size": 100, "within": "30s"}],
    )
    all: Parts | None = Field(
        default=None,
        description="Start one run when all of these events have come in any order, at most "
        "`within` apart. The run sees all of them. An event counts for each part that it matches.",
        examples=[[{"type": "order.created"}, {"type": "payment.received"}]],
    )
    sequence: Parts | None = Field(
        default=None,
        description="Start one run when these events have come in this order, at most `within` "
        "apart. Other events may come between them.",
        examples=[[{"type": "deploy.started"}, {"type": "deploy.failed"}]],
    )
    absence: Absence | None = Field(
        default=None,
        description="Start a run when an expected event does not come.",
        examples=[
            {"after": {"type": "order.created"}, "of": {"type": "order.paid"}, "within": "2h"}
        ],
    )
    key: str | None = Field(
        default=None,
        description="For `all` and `sequence`: a template over `event` and `params`. Events with "
        "the same value belong together. Default: all events belong together.",
        examples=["${ event.data.orderId }"],
    )
    within: PositiveDuration | None = Field(
        default=None,
        description="For `all` and `sequence`, and required there: how long after the first event "
        "the others may come.",
        examples=["1h"],
    )

    @model_validator(mode="after")
    def _names_events(self) -> "EventTrigger":
        if not (self.names_events or self.all or self.sequence or self.absence):
            raise ValueError(NAMES_NO_EVENT)
        return self

    @property
    def form(self) -> Form | None:
        """How it gathers events; None if each matching event starts a run."""
        return next((form for form in FORMS if getattr(self, form) is not None), None)

    @property
    def parts(self) -> dict[str, EventPattern]:
        """The events that it waits for, by name; empty if it only has its own pattern."""
        if self.absence is not None:
            return {"after": self.absence.after, "of": self.absence.of}
        listed = enumerate(self.all or self.sequence or (), 1)
        return {part.name or str(number): part for number, part in listed}

    @property
    def gathering_key(self) -> str | None:
        """The template of the key by which it gathers events; None without a key."""
        inner = self.debounce or self.batch or self.absence
        return self.key if inner is None else inner.key


def check_event_trigger(trigger: EventTrigger, params: StaticType) -> list[Finding]:
    """Return what is wrong with a trigger whose fields have the right shape.

    Checks fields that exclude each other, names, filters and keys. `params` is the result of
    `params_type`.
    """
    findings = [*_check_form(trigger), *_check_names(trigger)]
    for path, pattern in _patterns(trigger):
        findings += [finding.under(*path) for finding in check_event_pattern(pattern, params)]
    return findings + list(_check_keys(trigger, {"event": EVENT, "params": params}))


def _check_form(trigger: EventTrigger) -> Iterator[Finding]:
    form = trigger.form
    others = [other for other in FORMS if other != form and getattr(trigger, other) is not None]
    for other in others:
        reason = f"cannot be combined with {form}; a trigger has one form"
        yield Finding((other,), reason, at_key=True)
    if others:
        return
    written = [name for name in _PATTERN if getattr(trigger, name)]
    for name in written if trigger.parts else ():
        parts = f"each part of {form}" if form in _LISTS else "its parts after and of"
        reason = f"has no effect with {form}: write it in {parts}"
        yield Finding((name,), reason, at_key=True)
    if form not in _LISTS:
        for name in ("key", "within"):
            if getattr(trigger, name) is not None:
                yield Finding((name,), _fields_of_other_form(form, name), at_key=True)
    elif trigger.within is None:
        reason = "needs the field within next to it: how long to wait for the other events"
        yield Finding((str(form),), reason)


def _fields_of_other_form(form: Form | None, name: str) -> str:
    if form is None:
        return "has no effect without all or sequence"
    if form == "debounce" and name == "within":
        return "has no effect with debounce: use for and max in debounce"
    return f"belongs inside {form}: write {form}: {{{name}: …}}"


def _check_names(trigger: EventTrigger) -> Iterator[Finding]:
    for form in _LISTS:
        seen: set[str] = set()
        for index, part in enumerate(getattr(trigger, form) or ()):
            name = part.name or str(index + 1)
            if name in seen:
                yield Finding((form, index, "name"), f"{name!r} is used twice")
            seen.add(name)


def _patterns(trigger: EventTrigger) -> Iterator[tuple[tuple[str | int, ...], EventPattern]]:
    """Yield every pattern of the trigger with its path."""
    yield (), trigger
    for form in _LISTS:
        for index, part in enumerate(getattr(trigger, form) or ()):
            yield (form, index), part
    if trigger.absence is not None:
        yield ("absence", "after"), trigger.absence.after
        yield ("absence", "of"), trigger.absence.of


def _check_keys(trigger: EventTrigger, scope: Mapping[str, StaticType]) -> Iterator[Finding]:
    for path in sorted(KEY_PATHS):
        template: Any = trigger
        for name in path:
            template = getattr(template, name, None)
        is_used = path != ("key",) or trigger.form in _LISTS
        if is_used and isinstance(template, str) and not has_expression(template):
            yield Finding(path, constant_key(template, "event"))
        for problem in check_template_meaning(template, scope):
            yield Finding(path, problem.reason, problem.offset)
