"""Fingerprint: tells whether live objects have changed since a plan was made."""

from activityctl.domain.gitops.plan import (
    Action,
    Plan,
    Present,
    live_calendar,
    live_document,
    live_source,
)
from activityctl.domain.manifests.calendar_references import (
    calendars_in_definition,
    calendars_in_overrides,
)
from activityctl.domain.values import ids


def fingerprint(plan: Plan, present: Present) -> str:
    """Return a hash of what the plan wants and of the live objects that it depends on.

    A saved plan may be applied only while the hash is the same. It covers the objects that the
    plan names, changed or unchanged; the definitions that its subscriptions use; the subscriptions
    of a definition that it changes; the calendars that its objects use; and what it renames.
    """
    named = {(change.kind, change.name) for change in plan.changes}
    changed = {
        change.name
        for change in plan.changes
        if change.kind == "ActivityDefinition" and change.action is not Action.UNCHANGED
    }
    used = {manifest.spec.activity for manifest in plan.subscriptions.values()}
    definitions = [
        [definition.document, definition.applyset]
        for name, definition in sorted(present.definitions.items())
        if ("ActivityDefinition", name) in named or name in used
    ]
    subscriptions = [
        [live_document(subscription), subscription.status.value, subscription.applyset]
        for name in sorted(present.subscriptions)
        if (subscription := present.live(name)) is not None
        and (("Subscription", name) in named or subscription.definition in changed)
    ]
    used_calendars = _calendars_used(plan)
    calendars = [
        [live_calendar(calendar), calendar.applyset]
        for name, calendar in sorted(present.calendars.items())
        if ("Calendar", name) in named or name in used_calendars
    ]
    sources = [
        [live_source(source), source.applyset]
        for name, source in sorted(present.sources.items())
        if ("EventSource", name) in named
    ]
    wanted = [plan.written(change) for change in plan.changes]
    renames = [[change.renamed_from, change.name] for change in plan.changes if change.renamed_from]
    parts = [wanted, definitions, subscriptions, calendars]
    parts += [{"sources": sources}] if sources else []
    return ids.content_hash([*parts, renames] if renames else parts)


def _calendars_used(plan: Plan) -> frozenset[str]:
    definitions = (
        calendars_in_definition(definition.spec) for definition in plan.definitions.values()
    )
    overrides = (
        calendars_in_overrides(manifest.spec.triggers) for manifest in plan.subscriptions.values()
    )
    return frozenset().union(*definitions, *overrides)
