"""History: what was changed and by whom; roll an object back; export what lives as YAML."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from activityctl.domain.gitops.fingerprint import fingerprint
from activityctl.domain.gitops.history import Origin, PastChange, former_set
from activityctl.domain.gitops.manifest_set import Locate, ManifestSet
from activityctl.domain.gitops.plan import Kind, Plan, Present, live_calendar, live_document
from activityctl.domain.gitops.planning import plan_changes, plan_deletion
from activityctl.domain.gitops.set_checks import check_against
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.document import Document
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, InvalidManifestsError, NotFoundError, Problem
from activityctl.ports import Catalog, ListedSchedule, RunLists, ScheduleRegister

_MOST: Final = 10_000
"""Schedules and open runs of one subscription that are looked at."""


async def history(catalog: Catalog, kind: Kind, name: str) -> list[PastChange]:
    """Return every change of the object, the newest first; NotFoundError when there is none."""
    entries = await catalog.history(kind, name)
    if not entries:
        raise NotFoundError(
            kind, name, hint="activityctl get definitions, subscriptions or calendars"
        )
    return entries


async def roll_back(
    catalog: Catalog,
    kind: Kind,
    name: str,
    number: int | None,
    clock: Callable[[], datetime],
    origin: Origin,
) -> Plan:
    """Give an object an earlier content again, as a new change; a deleted one comes back.

    Without a number it is the content before the latest change. What was deleted is again in
    the apply set that it was in, if that has members. Raises NotFoundError for a number that is
    none, ConflictError when there is nothing to go back to, and InvalidManifestsError when the
    old content no longer fits what lives.
    """
    async with catalog.changing():
        entries = await history(catalog, kind, name)
        manifests = _manifests(kind, name, _content(entries, kind, name, number))
        present = await catalog.present()
        try:
            check_against(manifests, present)
        except InvalidManifestsError as error:
            hint = await _rollback_hint(catalog, manifests, present, kind, name)
            raise InvalidManifestsError(error.problems, hint=hint) from error
        applyset = former_set(entries)
        kept = applyset if applyset in present.applysets else None
        plan = plan_changes(replace(manifests.wanted, applyset=kept), present)
        await catalog.write(plan, clock(), replace(origin, command="rollback"))
    return plan


async def _rollback_hint(
    catalog: Catalog, manifests: ManifestSet, present: Present, kind: Kind, name: str
) -> str:
    """Return what to do first when an old content does not fit what lives."""
    for manifest in manifests.subscriptions.values():
        used = manifest.spec.activity
        if used not in present.definitions and await catalog.history("ActivityDefinition", used):
            return f"activityctl rollback def {used}"
    return f"activityctl history {kind.lower()} {name}, then rollback --to a change that fits"


def _content(entries: list[PastChange], kind: Kind, name: str, number: int | None) -> Document:
    if number is not None:
        chosen = [entry for entry in entries if entry.number == number]
        if not chosen:
            raise NotFoundError(
                "change", str(number), hint=f"activityctl history {kind.lower()} {name}"
            )
    else:
        chosen = [entry for entry in entries[1:] if entry.document is not None]
    if not chosen or chosen[0].document is None:
        raise ConflictError(
            f"{kind.lower()}/{name} has no earlier content",
            hint=f"activityctl history {kind.lower()} {name}",
        )
    return chosen[0].document


def _manifests(kind: Kind, name: str, document: Document) -> ManifestSet:
    text = json.dumps({"metadata": document["metadata"], "spec": document["spec"]})

    def locate(finding: Finding) -> Problem:
        path = ".".join(str(part) for part in finding.path)
        return Problem(f"{kind.lower()}/{name} as it was", 0, 0, path, finding.reason)

    places: dict[tuple[str, str], Locate] = {(kind, name): locate}
    if kind == "Calendar":
        calendar = DayCalendar.model_validate_json(text)
        return ManifestSet({}, {}, places, {name: calendar})
    if kind == "ActivityDefinition":
        definition = ActivityDefinition.model_validate_json(text)
        return ManifestSet({name: definition}, {}, places)
    return ManifestSet({}, {name: SubscriptionManifest.model_validate_json(text)}, places)


async def export(
    catalog: Catalog, selection: Selection, kind: Kind | None = None
) -> list[Document]:
    """Return what lives as documents that apply unchanged; by kind, name and labels."""
    present = await catalog.present()
    calendars = [live_calendar(one) for _, one in sorted(present.calendars.items())]
    definitions = [one.document for _, one in sorted(present.definitions.items())]
    subscriptions = [
        live_document(one)
        for name in sorted(present.subscriptions)
        if (one := present.live(name)) is not None
    ]
    return [
        document
        for document in (*calendars, *definitions, *subscriptions)
        if kind in (None, document["kind"])
        and selection.name in (None, document["metadata"]["name"])
        and selection.labels.items() <= document["metadata"].get("labels", {}).items()
    ]


@dataclass(frozen=True, slots=True)
class Deletion:
    """What it means to delete one object: its schedules go with it, its open runs go on."""

    kind: Kind
    name: str
    schedules: tuple[ListedSchedule, ...]
    open_runs: tuple[Run, ...]
    """The running and the queued ones."""
    fingerprint: str
    """Of what this was looked up against."""


async def preview_deletion(
    catalog: Catalog, register: ScheduleRegister, lists: RunLists, kind: Kind, reference: str
) -> Deletion:
    """Return what `delete` would do; a subscription may be named by its id, too.

    Raises what `delete` would raise.
    """
    name, owned = reference, None
    if kind == "Subscription":
        found = await catalog.find_subscription(reference)
        name, owned = found.name, Selection(subscription_id=found.id, limit=_MOST)
    present = await catalog.present()
    made_against = fingerprint(plan_deletion(kind, name, present), present)
    if owned is None:
        return Deletion(kind, name, (), (), made_against)
    runs = [
        run
        for status in (RunStatus.RUNNING, RunStatus.QUEUED)
        for run in await lists.runs(replace(owned, status=status))
    ]
    return Deletion(kind, name, tuple(await register.schedules(owned)), tuple(runs), made_against)


async def delete(
    catalog: Catalog,
    kind: Kind,
    name: str,
    clock: Callable[[], datetime],
    origin: Origin,
    *,
    made_against: str | None = None,
    on_write: Callable[[], None] = lambda: None,
) -> Plan:
    """Delete one object; its runs and logs stay, a subscription's schedules go.

    `on_write` is told as the deletion begins to be recorded.
    Raises NotFoundError when nothing of that name lives, ConflictError for a definition
    or a calendar that is in use, or when it is not as `made_against` has seen it.
    """
    async with catalog.changing():
        present = await catalog.present()
        plan = plan_deletion(kind, name, present)
        if made_against is not None and fingerprint(plan, present) != made_against:
            raise ConflictError(
                f"{kind.lower()}/{name} has changed meanwhile; nothing was deleted",
                hint="run the command again",
            )
        on_write()
        await catalog.write(plan, clock(), replace(origin, command="delete"))
    return plan
