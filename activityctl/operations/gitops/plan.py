"""Plan: what apply would do, as a value; saved plans and whether the world still fits them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from activityctl.domain.gitops.fingerprint import fingerprint
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import (
    Action,
    Plan,
    Present,
    Wanted,
    live_calendar,
    live_document,
)
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.gitops.schedule_changes import plan_view, schedule_changes
from activityctl.domain.gitops.set_checks import check_against
from activityctl.domain.manifests.document import Document, aligned
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.values.json_form import View
from activityctl.domain.values.model import NAME_PATTERN
from activityctl.errors import RefusedError, UsageError
from activityctl.ports import Catalog, RunLists


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what it was made against, and how it looks."""

    plan: Plan
    present: Present
    fingerprint: str
    view: View


def wanted_of(manifests: ManifestSet, *, applyset: str | None, prune: bool) -> Wanted:
    """Return what the manifests want; RefusedError for a prune that names no file.

    UsageError for a prune without a set, and for a set whose name is none.
    """
    if applyset is not None and re.fullmatch(NAME_PATTERN, applyset) is None:
        raise UsageError(
            f"--applyset {applyset!r} is no name", hint="lower-case letters, digits and -"
        )
    if prune and applyset is None:
        raise UsageError(
            "--prune needs --applyset: only members of a named set are ever pruned",
            hint="add --applyset NAME",
        )
    if prune and not (manifests.calendars or manifests.definitions or manifests.subscriptions):
        raise RefusedError(
            "the files hold no manifest; pruning against nothing would delete the whole set",
            hint="name the right folder with -f, or delete the objects by name",
        )
    return Wanted(
        manifests.definitions, manifests.subscriptions, applyset, prune, manifests.calendars
    )


async def plan_of_files(
    manifests: ManifestSet,
    wanted: Wanted,
    catalog: Catalog,
    lists: RunLists,
    clock: Callable[[], datetime],
) -> Planned:
    """Return what apply would do now; nothing is changed.

    Raises what apply would raise: InvalidManifestsError, ConflictError.
    """
    present = await catalog.present()
    check_against(manifests, present, wanted)
    made = plan_changes(wanted, present)
    view = plan_view(
        made, schedule_changes(made, present, clock()), await _open_runs(made, present, lists)
    )
    return Planned(made, present, fingerprint(made, present), view)


async def _open_runs(made: Plan, present: Present, lists: RunLists) -> Mapping[str, int]:
    """Count the open runs of every subscription that a change touches."""
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
    counts = await lists.open_counts()
    return {
        one.name: counts[one.id]
        for one in present.subscriptions.values()
        if one.id in counts and (one.name in touched or one.definition in definitions)
    }


def documents(made: Plan, present: Present) -> list[tuple[str, Document | None, Document | None]]:
    """Return (kind/name, live, wanted) of every object of the plan; None where there is none."""
    found: list[tuple[str, Document | None, Document | None]] = []
    for change in made.changes:
        wanted, _ = made.written(change)
        if change.kind == "Calendar":
            calendar = present.calendars.get(change.name)
            live = live_calendar(calendar) if calendar else None
        elif change.kind == "ActivityDefinition":
            definition = present.definitions.get(change.name)
            live = definition.document if definition else None
        else:
            subscription = present.live(change.name)
            live = _as_asked(subscription, wanted) if subscription else None
        name = f"{change.kind.lower()}/{change.name}"
        found.append((name, live, aligned(wanted, live) if wanted else None))
    return found


def _as_asked(live: Subscription, wanted: Document | None) -> Document:
    """Return a live subscription; whether it is paused is told when the manifest tells it."""
    document = live_document(live)
    if wanted is not None and "paused" in wanted["spec"]:
        document["spec"]["paused"] = live.status is SubscriptionStatus.PAUSED
    return document
