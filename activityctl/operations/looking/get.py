"""Read lists of objects of every kind, and one object with its related objects."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from activityctl.domain.events.json_form import event_details, event_view, verdict_view
from activityctl.domain.events.stored_event import EVENT_STATUSES
from activityctl.domain.manifests.json_form import (
    calendar_view,
    definition_view,
    revision_view,
    subscription_view,
)
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.json_form import dead_letter_view, run_details, run_view, task_view
from activityctl.domain.runs.run import RunStatus, TaskStatus
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotFoundError, UsageError
from activityctl.ports import Catalog, EventStore, ListedSchedule, RunLists, ScheduleRegister

Kind = Literal[
    "definitions",
    "subscriptions",
    "calendars",
    "revisions",
    "schedules",
    "runs",
    "tasks",
    "deadletters",
    "events",
]
SHORT_FORMS: Final[Mapping[str, Kind]] = {
    "definition": "definitions",
    "def": "definitions",
    "activitydefinition": "definitions",
    "activitydefinitions": "definitions",
    "subscription": "subscriptions",
    "sub": "subscriptions",
    "subs": "subscriptions",
    "calendar": "calendars",
    "cal": "calendars",
    "revision": "revisions",
    "rev": "revisions",
    "schedule": "schedules",
    "sched": "schedules",
    "run": "runs",
    "task": "tasks",
    "deadletter": "deadletters",
    "dl": "deadletters",
    "event": "events",
    "ev": "events",
}
KINDS: Final[tuple[Kind, ...]] = (
    "definitions",
    "subscriptions",
    "calendars",
    "revisions",
    "schedules",
    "runs",
    "tasks",
    "deadletters",
    "events",
)
_LISTED_IN_FULL: Final = frozenset({"definitions", "subscriptions", "calendars", "schedules"})
"""Kinds that come from manifests, so that their number is limited; the others keep growing."""
_DEFAULT_LIMIT: Final = 100
_HAVE_LABELS: Final = frozenset({"definitions", "subscriptions", "calendars"})
_STATUSES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "subscriptions": tuple(SubscriptionStatus),
    "runs": tuple(RunStatus),
    "tasks": tuple(TaskStatus),
    "events": EVENT_STATUSES,
}


def kind_of(word: str) -> Kind:
    """Return the kind of a plural, singular or short form; UsageError for an unknown word."""
    lowered = word.lower()
    for kind in KINDS:
        if lowered == kind:
            return kind
    if lowered in SHORT_FORMS:
        return SHORT_FORMS[lowered]
    raise UsageError(f"unknown kind {word!r}", hint="kinds: " + ", ".join(KINDS))


def default_limit(kind: Kind) -> int | None:
    """Return how many objects are listed when no limit is given; None for all."""
    return None if kind in _LISTED_IN_FULL else _DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class Page:
    """The objects of a list, and whether there are more than its limit."""

    views: list[View]
    has_more: bool


class ObjectViews:
    """Reads objects of every kind in their JSON form."""

    def __init__(
        self, catalog: Catalog, register: ScheduleRegister, lists: RunLists, events: EventStore
    ) -> None:
        self._catalog = catalog
        self._register = register
        self._lists = lists
        self._events = events

    async def page(self, kind: Kind, name: str | None, selection: Selection) -> Page:
        """Return the selected objects, by name if given; raises what `listed` or `named` raise."""
        limit = selection.limit
        one_more = replace(selection, limit=None if limit is None else limit + 1)
        if name is None:
            found = await self.listed(kind, one_more)
        else:
            found = await self.named(kind, name, one_more)
        return Page(found[:limit], limit is not None and len(found) > limit)

    async def listed(self, kind: Kind, selection: Selection) -> list[View]:
        """Return the selected objects; UsageError for a filter that the kind does not have."""
        if selection.labels and kind not in _HAVE_LABELS:
            raise UsageError(f"{kind} have no labels", hint="use -l with " + _join(_HAVE_LABELS))
        if selection.status and kind not in _STATUSES:
            raise UsageError(
                f"{kind} have no status", hint="use --status with " + _join(frozenset(_STATUSES))
            )
        if selection.status and selection.status not in _STATUSES[kind]:
            raise UsageError(
                f"{selection.status!r} is not a status of {kind}",
                hint="use " + ", ".join(_STATUSES[kind]),
            )
        for option, value in (
            ("--type", selection.types),
            ("--source", selection.sources),
            ("--until", selection.until),
        ):
            if value and kind != "events":
                raise UsageError(
                    f"{option} can be used with events only, not with {kind}",
                    hint="activityctl get events",
                )
        readers: Mapping[Kind, Callable[[Selection], Awaitable[list[View]]]] = {
            "definitions": self._definitions,
            "subscriptions": self._subscriptions,
            "calendars": self._calendars,
            "revisions": self._revisions,
            "schedules": self._schedules,
            "runs": self._runs,
            "tasks": self._tasks,
            "deadletters": self._dead_letters,
            "events": self._stored_events,
        }
        return await readers[kind](selection)

    async def named(self, kind: Kind, name: str, selection: Selection) -> list[View]:
        """Return the objects with that name, id or start of an id; NotFoundError for none.

        For schedules and dead letters the name is that of their subscription.
        """
        match kind:
            case "subscriptions":
                return await self._with_faults([await self._catalog.find_subscription(name)])
            case "runs":
                return [run_details(await self._lists.find_run(name))]
            case "events":
                return [event_details(await self._events.find_event(name))]
            case "schedules" | "deadletters":
                owner = await self._catalog.find_subscription(name)
                return await self.listed(kind, replace(selection, subscription_id=owner.id))
            case "definitions" | "calendars" | "revisions" | "tasks":
                found = await self.listed(kind, replace(selection, name=name))
                if not found:
                    raise NotFoundError(kind[:-1], name, hint=f"activityctl get {kind}")
                return found

    async def describe(self, kind: Kind, name: str) -> View:
        """Return one object with its related objects, such as the tasks of a run."""
        view: View = (await self.named(kind, name, Selection(limit=1)))[0]
        match kind:
            case "subscriptions":
                owned = Selection(subscription_id=view["id"], limit=10)
                return {
                    **view,
                    "schedules": await self._schedules(owned),
                    "runs": await self._runs(owned),
                }
            case "runs":
                tasks = await self._tasks(Selection(run_id=view["id"], limit=None))
                return {**view, "tasks": tasks}
            case "events":
                return {**view, **await self._verdicts_and_runs(view["uid"])}
            case "definitions":
                selection = Selection(name=name, limit=10)
                revisions = await self._catalog.revisions(selection)
                listed = [{**revision_view(revision), "spec": None} for revision in revisions]
                return {**view, "revisions": listed}
            case _:
                return view

    async def _definitions(self, selection: Selection) -> list[View]:
        return [definition_view(*found) for found in await self._catalog.definitions(selection)]

    async def _subscriptions(self, selection: Selection) -> list[View]:
        return await self._with_faults(await self._catalog.subscriptions(selection))

    async def _with_faults(self, subscriptions: Sequence[Subscription]) -> list[View]:
        """Return the views, each with the stored event triggers that cannot be read."""
        faults: dict[str, list[View]] = {}
        ids = [subscription.id for subscription in subscriptions]
        for listener in await self._events.unreadable(ids):
            fault: View = {"trigger": listener.trigger, "reason": listener.fault}
            faults.setdefault(listener.subscription, []).append(fault)
        return [
            {
                **subscription_view(subscription),
                "unreadableTriggers": faults.get(subscription.id, []),
            }
            for subscription in subscriptions
        ]

    async def _calendars(self, selection: Selection) -> list[View]:
        calendars = await self._catalog.listed_calendars(selection)
        return [calendar_view(calendar) for calendar in calendars]

    async def _revisions(self, selection: Selection) -> list[View]:
        return [revision_view(revision) for revision in await self._catalog.revisions(selection)]

    async def _schedules(self, selection: Selection) -> list[View]:
        return [_schedule_view(row) for row in await self._register.schedules(selection)]

    async def _runs(self, selection: Selection) -> list[View]:
        return [run_view(run) for run in await self._lists.runs(selection)]

    async def _tasks(self, selection: Selection) -> list[View]:
        return [task_view(task) for task in await self._lists.tasks(selection)]

    async def _stored_events(self, selection: Selection) -> list[View]:
        return [event_view(event) for event in await self._events.events(selection)]

    async def _verdicts_and_runs(self, event_id: str) -> View:
        """Return the verdicts on an event, and the runs that it started, oldest first."""
        verdicts = await self._events.verdicts([event_id])
        owners = {verdict.subscription_id for verdict in verdicts}
        names = {owner: (await self._catalog.find_subscription(owner)).name for owner in owners}
        run_ids = {
            verdict: run_id for verdict in verdicts if (run_id := verdict.run_id) is not None
        }
        runs = await self._lists.runs_of(list(run_ids.values()))
        return {
            "verdicts": [
                verdict_view(verdict, names[verdict.subscription_id], run_ids.get(verdict))
                for verdict in verdicts
            ],
            "runs": [run_view(run) for run in sorted(runs, key=lambda run: run.created_at)],
        }

    async def _dead_letters(self, selection: Selection) -> list[View]:
        letters = await self._lists.dead_letters(selection)
        return [dead_letter_view(letter) for letter in letters]


def _join(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))


def _schedule_view(row: ListedSchedule) -> View:
    return {
        "id": row.wanted.id,
        "subscription": row.subscription,
        "subscriptionId": row.wanted.subscription_id,
        "trigger": row.wanted.trigger,
        "kind": row.wanted.kind,
        "spec": row.wanted.body,
        "status": row.status,
        "error": row.error,
        "observedAt": format_timestamp(row.observed_at),
    }
