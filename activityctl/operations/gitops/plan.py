"""Compute what apply would do, without changing anything."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.gitops.fingerprint import fingerprint
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import (
    Action,
    Plan,
    Present,
    Wanted,
    live_calendar,
    live_document,
    live_source,
)
from activityctl.domain.gitops.reach import EVERYTHING, Reach, plan_within
from activityctl.domain.gitops.renames import with_renames
from activityctl.domain.gitops.schedule_changes import plan_view, schedule_changes
from activityctl.domain.gitops.waiting import waiting_view
from activityctl.domain.manifests.document import Document, aligned, is_same_json
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.values.json_form import View
from activityctl.domain.values.model import NAME_PATTERN
from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.gitops.former_sets import require_former_sets
from activityctl.ports import Catalog, RunLists


@frozen_dataclass
class Planned:
    """A plan, the live objects when it was made, and its JSON form.

    Live objects that the plan renames have their new names.
    """

    plan: Plan
    present: Present
    view: View

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the live objects, computed anew each time; thousands take a while."""
        return fingerprint(self.plan, self.present)


def wanted_of(
    manifests: ManifestSet,
    *,
    applyset: str | None,
    prune: bool,
    take_over: bool = False,
    allow_empty: bool = False,
    unread: Mapping[tuple[str, str], str] | None = None,
) -> Wanted:
    """Return what the manifests want. `unread` has the files that pruning must not overlook.

    UsageError for pruning or taking over without an apply set, for emptying a set without pruning,
    and for an invalid name of the set.
    """
    if take_over and applyset is None:
        raise UsageError(
            "--take-over needs --applyset: it moves objects to that set",
            hint="add --applyset NAME",
        )
    if applyset is not None and re.fullmatch(NAME_PATTERN, applyset) is None:
        raise UsageError(
            f"--applyset {applyset!r} is not a valid name",
            hint="use lower-case letters, digits and -",
        )
    if prune and applyset is None:
        raise UsageError(
            "--prune needs --applyset: it deletes only members of a named set",
            hint="add --applyset NAME",
        )
    if allow_empty and not prune:
        raise UsageError(
            "--allow-empty needs --prune: without it nothing is deleted", hint="add --prune"
        )
    return Wanted(
        manifests.definitions,
        manifests.subscriptions,
        applyset,
        prune,
        manifests.calendars,
        take_over,
        allow_empty,
        unread or {},
        manifests.sources,
    )


async def plan_of_files(
    manifests: ManifestSet,
    wanted: Wanted,
    catalog: Catalog,
    lists: RunLists,
    clock: Callable[[], datetime],
    *,
    reach: Reach = EVERYTHING,
) -> Planned:
    """Return what apply would do now; change nothing.

    Raises what `plan_within` raises. The view does not name subscriptions out of reach.
    """
    present = with_renames(wanted, await catalog.present())
    # In a thread: for thousands of objects it takes seconds, and a server goes on meanwhile.
    made = await asyncio.to_thread(plan_within, reach, manifests, wanted, present)
    await require_former_sets(reach, made, present, catalog)
    changed = _changed_subscriptions(made, present)
    counts = await lists.open_counts()
    open_runs = {
        name: counts[subscription.id]
        for name, subscription in present.subscriptions.items()
        if name in changed and subscription.id in counts
    }
    waiting = waiting_view(made, present, await lists.waiting(), changed)
    now = clock()

    def show() -> Planned:
        view = plan_view(made, schedule_changes(made, present, now), open_runs, waiting)
        return Planned(made, present, reach.visible_view(view, present))

    return await asyncio.to_thread(show)


def _changed_subscriptions(made: Plan, present: Present) -> set[str]:
    """Return the names of the subscriptions that change, also through their definitions."""
    definitions = {
        change.name
        for change in made.changes
        if change.kind == "ActivityDefinition" and change.action is not Action.UNCHANGED
    }
    touched = {
        change.name
        for change in made.changes
        if change.kind == "Subscription" and change.action is not Action.UNCHANGED
    }
    return touched | {
        subscription.name
        for subscription in present.subscriptions.values()
        if subscription.definition in definitions
    }


def documents(made: Plan, present: Present) -> list[tuple[str, Document | None, Document | None]]:
    """Return (kind/name, live, wanted) of each object of the plan; None where there is none."""
    found: list[tuple[str, Document | None, Document | None]] = []
    for change in made.changes:
        wanted, _ = made.written(change)
        if change.kind == "Calendar":
            calendar = present.calendars.get(change.name)
            live = live_calendar(calendar) if calendar else None
        elif change.kind == "EventSource":
            source = present.sources.get(change.name)
            live = live_source(source) if source else None
        elif change.kind == "ActivityDefinition":
            definition = present.definitions.get(change.name)
            live = definition.document if definition else None
        else:
            subscription = present.live(change.name)
            if subscription and change.renamed_from is not None:
                subscription = replace(subscription, name=change.renamed_from)
            live = _live_subscription(subscription, wanted) if subscription else None
        name = f"{change.kind.lower()}/{change.name}"
        found.append((name, live, aligned(wanted, live) if wanted else None))
    return found


def differing(made: Plan, present: Present) -> list[tuple[str, Document | None, Document | None]]:
    """Return what `documents` returns of the objects that differ, without literal credentials."""
    return [
        (name, live and mask_literals(live), wanted and mask_literals(wanted))
        for name, live, wanted in documents(made, present)
        if not is_same_json(live, wanted)
    ]


def _live_subscription(live: Subscription, wanted: Document | None) -> Document:
    """Return the live document, with `paused` only if the wanted document has that field."""
    document = live_document(live)
    if wanted is not None and "paused" in wanted["spec"]:
        document["spec"]["paused"] = live.status is SubscriptionStatus.PAUSED
    return document
