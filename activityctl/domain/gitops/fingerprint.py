"""Fingerprint: whether the world is still as it was when a plan was made."""

from activityctl.domain.gitops.plan import Action, Plan, Present, live_calendar, live_document
from activityctl.domain.manifests.calendar_references import (
    calendars_in_definition,
    calendars_in_overrides,
)
from activityctl.domain.values import ids


def fingerprint(plan: Plan, present: Present) -> str:
    """Return a hash of what the plan wants and of everything present that it was made against.

    A saved plan may be applied as long as it stays the same: the objects that it changes or
    finds unchanged, the definitions that its subscriptions use, the subscriptions that a
    definition changed by it concerns, and the calendars that any object named by it uses.
    """
    named = {(change.kind, change.name) for change in plan.changes}
    changed = {
        change.name
        for change in plan.changes
        if change.kind == "ActivityDefinition" and change.action is not Action.UNCHANGED
    }
    used = {manifest.spec.activity for manifest in plan.subscriptions.values()}
    definitions = [
        [one.document, one.applyset]
        for name, one in sorted(present.definitions.items())
        if ("ActivityDefinition", name) in named or name in used
    ]
    subscriptions = [
        [live_document(one), one.status.value, one.applyset]
        for name in sorted(present.subscriptions)
        if (one := present.live(name)) is not None
        and (("Subscription", name) in named or one.definition in changed)
    ]
    excluded = _calendars_used(plan)
    calendars = [
        [live_calendar(one), one.applyset]
        for name, one in sorted(present.calendars.items())
        if ("Calendar", name) in named or name in excluded
    ]
    wanted = [plan.written(change) for change in plan.changes]
    return ids.content_hash([wanted, definitions, subscriptions, calendars])


def _calendars_used(plan: Plan) -> frozenset[str]:
    definitions = (calendars_in_definition(one.spec) for one in plan.definitions.values())
    overrides = (calendars_in_overrides(one.spec.triggers) for one in plan.subscriptions.values())
    return frozenset().union(*definitions, *overrides)
