"""Show the history of an object, roll it back, delete it, and export live objects."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from activityctl.domain.gitops.fingerprint import fingerprint
from activityctl.domain.gitops.history import Origin, PastChange, former_set
from activityctl.domain.gitops.manifest_set import Locate, ManifestSet
from activityctl.domain.gitops.plan import (
    NAME_PATH,
    RENAMED_AWAY,
    STATE_CHANGED,
    Kind,
    Plan,
    Present,
    live_calendar,
    live_document,
    live_source,
)
from activityctl.domain.gitops.planning import owner_of
from activityctl.domain.gitops.reach import EVERYTHING, Reach, deletion_within, plan_within
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.document import Document
from activityctl.domain.manifests.event_source import EventSource
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.selection import Selection
from activityctl.errors import (
    ConflictError,
    InvalidManifestsError,
    NotFoundError,
    OutdatedPlanError,
    Problem,
)
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Catalog, ListedSchedule, RunLists, ScheduleRegister

_MOST: Final = 10_000
"""The most schedules, and open runs, of one subscription that are read."""


async def history(
    catalog: Catalog, kind: Kind, name: str, *, reach: Reach = EVERYTHING
) -> list[PastChange]:
    """Return the changes of the object, newest first; NotFoundError when there is none to see."""
    changes = reach.visible_history(await catalog.history(kind, name))
    if not changes:
        raise NotFoundError(
            kind, name, hint="activityctl get definitions, subscriptions, calendars or sources"
        )
    return changes


async def roll_back(
    catalog: Catalog,
    kind: Kind,
    name: str,
    number: int | None,
    clock: Callable[[], datetime],
    origin: Origin,
    *,
    reach: Reach = EVERYTHING,
) -> Plan:
    """Restore an earlier version of an object, as a new change; also of a deleted object.

    Without a number it restores the version before the latest change. A deleted object returns
    to its former apply set if that set still has members. Raises NotFoundError for an unknown
    number, ConflictError when there is no earlier version, and InvalidManifestsError when the
    old version no longer fits the live objects.
    """
    async with catalog.changing():
        changes = await history(catalog, kind, name, reach=reach)
        _require_not_renamed(changes[0])
        manifests = _manifests(kind, name, _former_document(changes, kind, name, number))
        present = await catalog.present()
        applyset = former_set(changes)
        is_kept = applyset in present.applysets or not reach.may_change(None)
        kept = applyset if is_kept else None
        wanted = replace(manifests.wanted, applyset=kept, take_over=True)
        try:
            plan = plan_within(reach, manifests, wanted, present)
        except InvalidManifestsError as error:
            hint = await _rollback_hint(catalog, manifests, present, kind, name)
            raise InvalidManifestsError(error.problems, hint=hint) from error
        await catalog.write(plan, clock(), replace(origin, command="rollback"))
    return plan


async def _rollback_hint(
    catalog: Catalog, manifests: ManifestSet, present: Present, kind: Kind, name: str
) -> str:
    """Return what to do first when an old version does not fit the live objects."""
    for manifest in manifests.subscriptions.values():
        used = manifest.spec.activity
        if used not in present.definitions and await catalog.history("ActivityDefinition", used):
            return f"activityctl rollback def {used}"
    return f"activityctl history {kind.lower()} {name}, then rollback --to a change that fits"


def _require_not_renamed(latest: PastChange) -> None:
    if latest.action != RENAMED_AWAY:
        return
    kind, old, new = latest.kind.lower(), latest.name, latest.fields[0]["new"]
    raise ConflictError(
        f"{kind}/{old} was renamed to {new}, so it cannot be restored under its old name",
        hint=f"to rename it back, apply a manifest with the name {old} and renamedFrom: {new}",
    )


def _former_document(
    changes: list[PastChange], kind: Kind, name: str, number: int | None
) -> Document:
    written = [change for change in changes if change.action != STATE_CHANGED]
    if number is not None:
        chosen = [change for change in changes if change.number == number]
        if not chosen:
            raise NotFoundError(
                "change", str(number), hint=f"activityctl history {kind.lower()} {name}"
            )
        if chosen[0].action == RENAMED_AWAY:
            raise ConflictError(
                f"change {number} renamed {kind.lower()}/{name}, so there is nothing to restore",
                hint=f"activityctl history {kind.lower()} {name}",
            )
        if chosen[0].document is None:
            raise ConflictError(
                f"change {number} deleted {kind.lower()}/{name}, so there is nothing to restore",
                hint=f"activityctl delete {kind.lower()} {name}"
                if changes[0].document is not None
                else f"activityctl rollback {kind.lower()} {name}",
            )
    else:
        chosen = [change for change in written[1:] if change.document is not None]
    if not chosen or chosen[0].document is None:
        olds = [field["old"] for field in changes[-1].fields if field["path"] == NAME_PATH]
        why = f": it was renamed from {olds[0]}" if olds else ""
        raise ConflictError(
            f"{kind.lower()}/{name} has no earlier version to restore{why}",
            hint=f"activityctl history {kind.lower()} {name}",
        )
    return chosen[0].document


def _manifests(kind: Kind, name: str, document: Document) -> ManifestSet:
    text = json.dumps({"metadata": document["metadata"], "spec": document["spec"]})

    def locate(finding: Finding) -> Problem:
        path = ".".join(str(part) for part in finding.path)
        return Problem(f"earlier version of {kind.lower()}/{name}", 0, 0, path, finding.reason)

    locators: dict[tuple[str, str], Locate] = {(kind, name): locate}
    if kind == "Calendar":
        calendar = DayCalendar.model_validate_json(text)
        return ManifestSet({}, {}, locators, {name: calendar})
    if kind == "EventSource":
        source = EventSource.model_validate_json(text)
        return ManifestSet(locate=locators, sources={name: source})
    if kind == "ActivityDefinition":
        definition = ActivityDefinition.model_validate_json(text)
        return ManifestSet({name: definition}, {}, locators)
    return ManifestSet({}, {name: SubscriptionManifest.model_validate_json(text)}, locators)


async def export(
    catalog: Catalog,
    selection: Selection,
    kind: Kind | None = None,
    *,
    reach: Reach = EVERYTHING,
) -> list[Document]:
    """Return the selected live objects as documents that can be applied unchanged."""
    present = reach.visible(await catalog.present())
    calendars = [live_calendar(calendar) for _, calendar in sorted(present.calendars.items())]
    sources = [live_source(source) for _, source in sorted(present.sources.items())]
    definitions = [definition.document for _, definition in sorted(present.definitions.items())]
    subscriptions = [
        live_document(subscription)
        for name in sorted(present.subscriptions)
        if (subscription := present.live(name)) is not None
    ]
    return [
        document
        for document in (*calendars, *sources, *definitions, *subscriptions)
        if kind in (None, document["kind"])
        and selection.name in (None, document["metadata"]["name"])
        and selection.labels.items() <= document["metadata"].get("labels", {}).items()
    ]


@frozen_dataclass
class Deletion:
    """What deleting one object means for its schedules, its runs and what waits."""

    kind: Kind
    name: str
    applyset: str | None
    """The set that it belongs to; the next apply of the set creates it again."""
    schedules: tuple[ListedSchedule, ...]
    open_runs: tuple[Run, ...]
    """The runs that have begun; they continue."""
    queued_runs: tuple[Run, ...]
    """They are cancelled."""
    fingerprint: str
    """The fingerprint of the live objects that this was computed from."""
    waiting_firings: int = 0
    """Firings that are decided and not started yet; they end without a run."""
    gathered_events: int = 0
    """Events that wait for others; they are dropped."""


async def preview_deletion(
    catalog: Catalog,
    register: ScheduleRegister,
    lists: RunLists,
    kind: Kind,
    reference: str,
    *,
    reach: Reach = EVERYTHING,
) -> Deletion:
    """Return what `delete` would do; `reference` is a name, or the id of a subscription.

    Raises what `delete` would raise.
    """
    name, owned = reference, None
    if kind == "Subscription":
        found = await catalog.find_subscription(reference)
        name, owned = found.name, Selection(subscription_id=found.id, limit=_MOST)
    present = await catalog.present()
    made_against = fingerprint(deletion_within(reach, kind, name, present), present)
    applyset = owner_of(kind, name, present)
    if owned is None:
        return Deletion(kind, name, applyset, (), (), (), made_against)
    has_begun = (RunStatus.RUNNING, RunStatus.CANCELLING)
    runs = await lists.runs(replace(owned, statuses=has_begun))
    queued = await lists.runs(replace(owned, statuses=(RunStatus.QUEUED,)))
    schedules = tuple(await register.schedules(owned))
    waiting = await lists.waiting()
    return Deletion(
        kind,
        name,
        applyset,
        schedules,
        tuple(runs),
        tuple(queued),
        made_against,
        sum(each.count for each in waiting.firings if each.subscription_id == found.id),
        waiting.gathered.get(found.id, 0),
    )


async def delete(
    catalog: Catalog,
    kind: Kind,
    name: str,
    clock: Callable[[], datetime],
    origin: Origin,
    *,
    made_against: str | None = None,
    reach: Reach = EVERYTHING,
    on_write: Callable[[], None] = lambda: None,
) -> Plan:
    """Delete one object with its schedules; its runs and logs are kept.

    `on_write` is called just before the deletion is stored.
    Raises NotFoundError when there is no live object of that name, ConflictError for a
    definition or calendar in use, and OutdatedPlanError when the live objects no longer have
    the fingerprint `made_against`.
    """
    async with catalog.changing():
        present = await catalog.present()
        plan = deletion_within(reach, kind, name, present)
        if made_against is not None and fingerprint(plan, present) != made_against:
            raise OutdatedPlanError(
                f"{kind.lower()}/{name} has changed since the preview; nothing was deleted",
                hint="run the command again",
            )
        on_write()
        await catalog.write(plan, clock(), replace(origin, command="delete"))
    return plan
