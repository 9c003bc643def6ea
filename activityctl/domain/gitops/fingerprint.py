"""Fingerprint: tells whether live objects have changed since a plan was made."""

import hashlib
from collections.abc import Iterable
from typing import Any

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
    definitions = (
        [definition.document, definition.applyset]
        for name, definition in sorted(present.definitions.items())
        if ("ActivityDefinition", name) in named or name in used
    )
    subscriptions = (
        [live_document(subscription), subscription.status.value, subscription.applyset]
        for name in sorted(present.subscriptions)
        if (subscription := present.live(name)) is not None
        and (("Subscription", name) in named or subscription.definition in changed)
    )
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
    wanted = (plan.written(change) for change in plan.changes)
    renames = [[change.renamed_from, change.name] for change in plan.changes if change.renamed_from]
    parts: list[Iterable[Any] | dict[str, Any]] = [wanted, definitions, subscriptions, calendars]
    parts += [{"sources": sources}] if sources else []
    return hash_of_parts([*parts, renames] if renames else parts)


def hash_of_parts(parts: Iterable[Iterable[Any] | dict[str, Any]]) -> str:
    """Return the `content_hash` of a list of lists and maps; the items of a list come one by one.

    So the text of all objects is never in memory.
    """
    hashed = hashlib.sha256(b"[")
    for number, part in enumerate(parts):
        hashed.update(b"," if number else b"")
        if isinstance(part, dict):
            hashed.update(ids.canonical_json(part).encode())
            continue
        hashed.update(b"[")
        for index, item in enumerate(part):
            hashed.update(b"," if index else b"")
            hashed.update(ids.canonical_json(item).encode())
        hashed.update(b"]")
    hashed.update(b"]")
    return hashed.hexdigest()


def _calendars_used(plan: Plan) -> frozenset[str]:
    definitions = (
        calendars_in_definition(definition.spec) for definition in plan.definitions.values()
    )
    overrides = (
        calendars_in_overrides(manifest.spec.triggers) for manifest in plan.subscriptions.values()
    )
    return frozenset().union(*definitions, *overrides)
