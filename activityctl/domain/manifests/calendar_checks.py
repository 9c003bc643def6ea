"""The checks of triggers against calendars: each named is there, and some firing can start."""

import difflib
from collections.abc import Iterator, Mapping, Sequence

from pydantic import ValidationError

from activityctl.domain.manifests.calendar import calendars_named
from activityctl.domain.manifests.definition import DefinitionSpec, TriggerTemplate
from activityctl.domain.manifests.subscription import SubscriptionSpec, effective_triggers
from activityctl.domain.timing.misfires import timezone_of
from activityctl.domain.timing.trigger import CLOCK_KINDS, trigger_of
from activityctl.domain.timing.window import DaysByCalendar, never_starts_reason
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue


def unknown_in_definition(spec: DefinitionSpec, known: DaysByCalendar) -> list[Finding]:
    """Return where the triggers of a definition name calendars that are not known."""
    return [
        finding.under("triggers", index, kind)
        for index, trigger in enumerate(spec.triggers)
        for kind, body in (trigger.model_extra or {}).items()
        for finding in _unknown(body, known)
    ]


def unknown_in_subscription(spec: SubscriptionSpec, known: DaysByCalendar) -> list[Finding]:
    """Return where the overrides of a subscription name calendars that are not known."""
    return [
        finding.under("triggers", name, kind)
        for name, override in spec.triggers.items()
        for kind, body in (override or {}).items()
        for finding in _unknown(body, known)
    ]


def never_starting_in_definition(spec: DefinitionSpec, known: DaysByCalendar) -> list[Finding]:
    """Return the sound triggers of a definition none of whose firings can ever start.

    One that names a calendar which is not known is passed over.
    """
    reasons = never_starting_reasons(spec.triggers, known)
    return [
        Finding(("triggers", index, trigger.kind, _bound(trigger.body)), reasons[trigger.name])
        for index, trigger in enumerate(spec.triggers)
        if trigger.name in reasons
    ]


def never_starting_in_subscription(
    spec: SubscriptionSpec, definition: DefinitionSpec, known: DaysByCalendar
) -> list[Finding]:
    """Return the overrides that leave no firing of a trigger which can ever start."""
    names = {name for name, override in spec.triggers.items() if override}
    triggers = effective_triggers(definition, dict(spec.triggers))
    reasons = never_starting_reasons([one for one in triggers if one.name in names], known)
    return [Finding(("triggers", name), reason) for name, reason in reasons.items()]


def never_starting_reasons(
    triggers: Sequence[TriggerTemplate], known: DaysByCalendar
) -> Mapping[str, str]:
    """Return, by name, why no firing of a trigger can ever start; sound triggers alone."""
    found = {}
    for trigger in triggers:
        is_sound = len(trigger.kinds) == 1 and trigger.kind in CLOCK_KINDS
        if is_sound and (reason := _why_never(trigger.kind, trigger.body, known)):
            found[trigger.name] = reason
    return found


def _why_never(kind: str, body: JsonValue, known: DaysByCalendar) -> str | None:
    if not isinstance(body, dict) or body.keys().isdisjoint({"window", "exclude"}):
        return None
    if any(name not in known for name in calendars_named(body)):
        return None
    try:
        trigger = trigger_of(kind, body)
    except ValidationError:
        return None  # told where its shape is checked
    return never_starts_reason(trigger, timezone_of(trigger), known)


def _bound(body: JsonValue) -> str:
    return "window" if "window" in body else "exclude"


def _unknown(body: JsonValue, known: DaysByCalendar) -> Iterator[Finding]:
    for index, name in enumerate(calendars_named(body)):
        if name not in known:
            reason = f"no Calendar {name!r} in these files or applied"
            if near := difflib.get_close_matches(name, known, n=1):
                reason += f"; did you mean {near[0]!r}?"
            yield Finding(("exclude", "calendars", index), reason)
