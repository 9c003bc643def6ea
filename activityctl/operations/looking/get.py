"""Read lists of objects of every kind, and one object with its related objects."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from activityctl.domain.access.audit import audit_view
from activityctl.domain.events.json_form import event_details, event_view, verdict_view
from activityctl.domain.gitops.apply_set import apply_set_view, apply_sets
from activityctl.domain.manifests.json_form import (
    calendar_view,
    definition_view,
    revision_view,
    subscription_view,
)
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.accepted import with_accepted
from activityctl.domain.runs.json_form import (
    breaker_view,
    dead_letter_view,
    latest_run_view,
    run_details,
    run_view,
    task_view,
    worker_view,
)
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.selection import Selection
from activityctl.errors import (
    CANDIDATES_TOLD,
    AmbiguousError,
    ConflictError,
    NotFoundError,
    UsageError,
)
from activityctl.operations.looking.chains import chain_views
from activityctl.operations.looking.filters import check_filters, given_filters
from activityctl.operations.looking.kinds import Kind, singular
from activityctl.operations.looking.limits import limit_views, waiting_tasks
from activityctl.operations.looking.relayers import ReadRelayers, no_relayers
from activityctl.operations.looking.schedule_view import schedule_view
from activityctl.operations.looking.secret_users import needed_by
from activityctl.operations.looking.sources import refusals_of, source_views
from activityctl.operations.looking.task_histories import task_histories
from activityctl.ports import (
    AuditTrail,
    Catalog,
    ChainStore,
    EventStore,
    RunLists,
    ScheduleRegister,
    Workers,
)

_OWN_KINDS: Final[Mapping[Kind, str]] = {"tasks": "taskKind", "schedules": "triggerKind"}
"""Where `describe` shows the kind of these, because `kind` is the kind of the object."""
_FOUND_ALONE: Final = frozenset({"subscriptions", "runs", "events"})
"""Kinds of which a name selects one object, whatever the filters say."""


@dataclass(frozen=True, slots=True)
class Page:
    """The objects of a list, and whether there are more than its limit."""

    views: list[View]
    has_more: bool


class ObjectViews:
    """Reads objects of every kind in their JSON form."""

    def __init__(
        self,
        catalog: Catalog,
        register: ScheduleRegister,
        lists: RunLists,
        events: EventStore,
        workers: Workers,
        audit: AuditTrail,
        *,
        chains: ChainStore,
        relayers: ReadRelayers = no_relayers,
    ) -> None:
        self._audit = audit
        self._relayers = relayers
        self._workers = workers
        self._chains = chains
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
        check_filters(kind, selection)
        readers: Mapping[Kind, Callable[[Selection], Awaitable[list[View]]]] = {
            "definitions": self._definitions,
            "subscriptions": self._subscriptions,
            "calendars": self._calendars,
            "sources": lambda chosen: source_views(self._catalog, chosen),
            "revisions": self._revisions,
            "schedules": self._schedules,
            "runs": self._runs,
            "tasks": self._tasks,
            "deadletters": self._dead_letters,
            "events": self._stored_events,
            "workers": self._living_workers,
            "breakers": self._breakers,
            "limits": lambda chosen: limit_views(self._catalog, self._lists, chosen),
            "sets": self._apply_sets,
            "audit": self._audit_entries,
            "chains": self._chain_views,
            "relayers": self._relayers,
        }
        return await readers[kind](selection)

    async def named(self, kind: Kind, name: str, selection: Selection) -> list[View]:
        """Return the objects with that name, id or start of an id; NotFoundError for none.

        For schedules and dead letters the name is that of their subscription.
        """
        if kind in _FOUND_ALONE and (given := given_filters(selection)):
            raise UsageError(f"a name and {given[0]} cannot be combined", hint="give one of them")
        match kind:
            case "subscriptions":
                return await self.subscription_views([await self._catalog.find_subscription(name)])
            case "runs":
                return [run_details(await self._lists.find_run(name))]
            case "events":
                return [event_details(await self._events.find_event(name))]
            case "schedules":
                return await self._schedules_named(name, selection)
            case "deadletters":
                return await self._dead_letters_named(name, selection)
            case (
                "definitions"
                | "calendars"
                | "sources"
                | "revisions"
                | "tasks"
                | "workers"
                | "breakers"
                | "limits"
                | "sets"
                | "audit"
                | "chains"
                | "relayers"
            ):
                found = await self.listed(kind, replace(selection, name=name))
                if not found:
                    raise NotFoundError(singular(kind), name, hint=f"activityctl get {kind}")
                return found

    async def _schedules_named(self, name: str, selection: Selection) -> list[View]:
        """Return the schedules of `SUBSCRIPTION`, or the one of `SUBSCRIPTION/TRIGGER`."""
        reference, _, trigger = name.partition("/")
        owner = await self._catalog.find_subscription(reference)
        owned = replace(selection, subscription_id=owner.id, limit=None)
        found = [
            view
            for view in await self.listed("schedules", owned)
            if not trigger or view["trigger"] == trigger
        ]
        if trigger and not found:
            raise NotFoundError("schedule", name, hint=f"activityctl get schedules {owner.name}")
        return found[: selection.limit]

    async def _dead_letters_named(self, name: str, selection: Selection) -> list[View]:
        """Return the dead letters of a subscription or run, or those whose id begins like this.

        The name of a subscription comes first: it may look like the beginning of an id.
        """
        owner = await self._subscription_or_none(name)
        if owner is None or owner.name != name:
            found = await self.listed("deadletters", replace(selection, name=name))
            found = found or await self._dead_letters_of_run(name, selection)
            if found:
                return found
        if owner is None:
            raise NotFoundError("deadletter", name, hint="activityctl get deadletters")
        return await self.listed("deadletters", replace(selection, subscription_id=owner.id))

    async def _dead_letters_of_run(self, name: str, selection: Selection) -> list[View]:
        try:
            run = await self._lists.find_run(name)
        except (NotFoundError, ConflictError):
            return []
        return await self.listed("deadletters", replace(selection, run_id=run.id))

    async def _subscription_or_none(self, name: str) -> Subscription | None:
        try:
            return await self._catalog.find_subscription(name)
        except (NotFoundError, ConflictError):
            return None

    async def describe(self, kind: Kind, name: str) -> View:
        """Return one object with its related objects, such as the tasks of a run.

        A task says its own kind in `taskKind`, a schedule in `triggerKind`, because `kind` is
        the kind of the object. ConflictError if the name means several objects.
        """
        view = await self._one(kind, name)
        own = {_OWN_KINDS.get(kind, key) if key == "kind" else key: view[key] for key in view}
        return {**own, **await self._related(kind, view)}

    async def describe_subscription(self, owner: Subscription) -> View:
        """Return what `describe` returns of a subscription that was read."""
        owned = {"id": owner.id, "definition": owner.definition, "params": owner.params}
        views, related = await asyncio.gather(
            self.subscription_views([owner]), self._related("subscriptions", owned)
        )
        return {**views[0], **related}

    async def _related(self, kind: Kind, view: View) -> View:
        match kind:
            case "subscriptions":
                owned = Selection(subscription_id=view["id"], limit=10)
                schedules, runs, secrets = await asyncio.gather(
                    self._schedules(owned),
                    self._runs(owned),
                    needed_by(self._catalog, view["definition"], view["params"]),
                )
                return {"schedules": schedules, "runs": runs, "secrets": secrets}
            case "runs":
                tasks = await self._tasks_of_run(view["id"])
                return {"replays": await self._replays(view), "tasks": tasks}
            case "events":
                return await self._verdicts_and_runs(view["uid"])
            case "definitions":
                revisions = await self._catalog.revisions(Selection(name=view["name"], limit=10))
                listed = [{**revision_view(revision), "spec": None} for revision in revisions]
                return {
                    "secrets": await needed_by(self._catalog, view["name"], None),
                    "revisions": listed,
                }
            case _:
                return await self._related_to_few(kind, view)

    async def _related_to_few(self, kind: Kind, view: View) -> View:
        match kind:
            case "deadletters":
                owner = await self._catalog.find_subscription(view["subscriptionId"])
                return {"subscription": owner.name}
            case "limits":
                return {"waitingTasks": await waiting_tasks(self._lists, view["name"])}
            case "sources":
                return await refusals_of(self._catalog, view["name"])
            case "tasks":
                return (await task_histories(self._lists, [view["id"]]))[view["id"]]
            case _:
                return {}

    async def _one(self, kind: Kind, name: str) -> View:
        """Return the object of that name; of a revision's or dead letter's owner the newest."""
        found = await self.named(kind, name, Selection(limit=CANDIDATES_TOLD + 1))
        if not found:
            raise NotFoundError(singular(kind), name, hint=f"activityctl get {kind}")
        if len(found) > 1 and kind == "schedules":
            names = ", ".join(f"{view['subscription']}/{view['trigger']}" for view in found)
            raise ConflictError(f"{name} has several schedules", hint=f"name one, such as {names}")
        if len(found) > 1 and all(str(view.get("id", "")).startswith(name) for view in found):
            raise AmbiguousError(name, kind, [str(view["id"]) for view in found])
        return found[0]

    async def _definitions(self, selection: Selection) -> list[View]:
        return [definition_view(*found) for found in await self._catalog.definitions(selection)]

    async def _subscriptions(self, selection: Selection) -> list[View]:
        return await self.subscription_views(await self._catalog.subscriptions(selection))

    async def subscription_views(self, subscriptions: Sequence[Subscription]) -> list[View]:
        """Return the views, each with its last run, its next time and unreadable triggers."""
        faults: dict[str, list[View]] = {}
        ids = [subscription.id for subscription in subscriptions]
        runs, next_times, letters, unreadable = await asyncio.gather(
            self._lists.latest_runs(ids),
            self._register.next_times(ids),
            self._lists.open_letters(ids),
            self._events.unreadable(ids),
        )
        for listener in unreadable:
            fault: View = {"trigger": listener.trigger, "reason": listener.fault}
            faults.setdefault(listener.subscription, []).append(fault)
        return [
            {
                **subscription_view(subscription),
                "lastRun": latest_run_view(runs[owner])
                if (owner := subscription.id) in runs
                else None,
                "nextDueAt": format_timestamp(next_times.get(owner)),
                "openDeadLetters": letters.get(subscription.id, 0),
                "unreadableTriggers": faults.get(subscription.id, []),
            }
            for subscription in subscriptions
        ]

    async def _apply_sets(self, selection: Selection) -> list[View]:
        found = apply_sets(await self._catalog.present(), await self._catalog.last_applies())
        named = [each for each in found if selection.name in {None, each.name}]
        return [apply_set_view(each) for each in named[: selection.limit]]

    async def _audit_entries(self, selection: Selection) -> list[View]:
        return [audit_view(entry) for entry in await self._audit.entries(selection)]

    async def _chain_views(self, selection: Selection) -> list[View]:
        return await chain_views(self._catalog, self._chains, selection)

    async def _calendars(self, selection: Selection) -> list[View]:
        return [calendar_view(each) for each in await self._catalog.listed_calendars(selection)]

    async def _revisions(self, selection: Selection) -> list[View]:
        return [revision_view(revision) for revision in await self._catalog.revisions(selection)]

    async def _schedules(self, selection: Selection) -> list[View]:
        return [schedule_view(row) for row in await self._register.schedules(selection)]

    async def _runs(self, selection: Selection) -> list[View]:
        """Return runs and firings that are accepted and no runs yet."""
        accepted = await self._lists.accepted(selection)  # first: it may become a run meanwhile
        runs = with_accepted(await self._lists.runs(selection), accepted, selection)
        return [run_view(run) for run in runs]

    async def _replays(self, view: View) -> list[View]:
        """Return the runs that repeat a run, newest first: replays, and retries of its letter."""
        waiting = Selection(subscription_id=view["subscriptionId"], statuses=(RunStatus.QUEUED,))
        known = await self._lists.accepted(waiting)
        accepted = [run for run in known if run.replay_of == view["id"]]
        replays = Selection(replay_of=view["id"])
        runs = with_accepted(await self._lists.runs(replays), accepted, replays)
        return [{"id": run.id, "status": run.status.value} for run in runs]

    async def _tasks(self, selection: Selection) -> list[View]:
        return [task_view(task) for task in await self._lists.tasks(selection)]

    async def _tasks_of_run(self, run_id: str) -> list[View]:
        """Return the tasks of a run; those that had a failure with their attempts."""
        tasks = await self._tasks(Selection(run_id=run_id, limit=None))
        troubled = [
            task["id"]
            for task in tasks
            if task["attempts"] > 1 or task["code"] or task["status"] == "pending"
        ]
        histories = await task_histories(self._lists, troubled)
        found = {key: view for key, view in histories.items() if any(view.values())}
        return [{**task, **found.get(task["id"], {})} for task in tasks]

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

    async def _living_workers(self, selection: Selection) -> list[View]:
        alive = [worker_view(worker) for worker in await self._workers.alive()]
        return [view for view in alive if view["id"].startswith(selection.name or "")]

    async def _breakers(self, selection: Selection) -> list[View]:
        return [breaker_view(breaker) for breaker in await self._lists.breakers(selection)]

    async def _dead_letters(self, selection: Selection) -> list[View]:
        return [dead_letter_view(each) for each in await self._lists.dead_letters(selection)]
