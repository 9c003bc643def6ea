"""Checks of triggers against calendars: named calendars exist, and some firing can start."""

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
    """Return a finding for each unknown calendar that the triggers of a definition name."""
    return [
        finding.under("triggers", index, kind)
        for index, trigger in enumerate(spec.triggers)
        for kind, body in (trigger.model_extra or {}).items()
        for finding in _unknown_calendars(body, known)
    ]


def unknown_in_subscription(spec: SubscriptionSpec, known: DaysByCalendar) -> list[Finding]:
    """Return a finding for each unknown calendar that the overrides of a subscription name."""
    return [
        finding.under("triggers", name, kind)
        for name, override in spec.triggers.items()
        for kind, body in (override or {}).items()
        for finding in _unknown_calendars(body, known)
    ]


def never_starting_in_definition(spec: DefinitionSpec, known: DaysByCalendar) -> list[Finding]:
    """Return a finding for each trigger of a definition that never starts a run.

    Skips triggers of wrong shape and triggers that name an unknown calendar.
    """
    reasons = never_starting_reasons(spec.triggers, known)
    return [
        Finding(
            ("triggers", index, trigger.kind, "window" if "window" in trigger.body else "exclude"),
            reasons[trigger.name],
        )
        for index, trigger in enumerate(spec.triggers)
        if trigger.name in reasons
    ]


def never_starting_in_subscription(
    spec: SubscriptionSpec, definition: DefinitionSpec, known: DaysByCalendar
) -> list[Finding]:
    """Return a finding for each override with which a trigger never starts a run."""
    names = {name for name, override in spec.triggers.items() if override}
    triggers = effective_triggers(definition, dict(spec.triggers))
    overridden = [trigger for trigger in triggers if trigger.name in names]
    reasons = never_starting_reasons(overridden, known)
    return [Finding(("triggers", name), reason) for name, reason in reasons.items()]


def never_starting_reasons(
    triggers: Sequence[TriggerTemplate], known: DaysByCalendar
) -> Mapping[str, str]:
    """Return why no firing of a trigger can ever start, by the trigger's name.

    Skips event triggers, triggers of wrong shape and triggers that name an unknown calendar.
    """
    reasons = {}
    for trigger in triggers:
        follows_clock = len(trigger.kinds) == 1 and trigger.kind in CLOCK_KINDS
        if follows_clock and (reason := _find_reason(trigger.kind, trigger.body, known)):
            reasons[trigger.name] = reason
    return reasons


def _find_reason(kind: str, body: JsonValue, known: DaysByCalendar) -> str | None:
    if not isinstance(body, dict) or body.keys().isdisjoint({"window", "exclude"}):
        return None
    if any(name not in known for name in calendars_named(body)):
        return None
    try:
        trigger = trigger_of(kind, body)
    except ValidationError:
        return None  # the check of the shape reports it
    return never_starts_reason(trigger, timezone_of(trigger), known)


def _unknown_calendars(body: JsonValue, known: DaysByCalendar) -> Iterator[Finding]:
    for index, name in enumerate(calendars_named(body)):
        if name not in known:
            reason = f"no Calendar {name!r} in these files or among applied calendars"
            if near := difflib.get_close_matches(name, known, n=1):
                reason += f"; did you mean {near[0]!r}?"
            yield Finding(("exclude", "calendars", index), reason)
