"""Read the lists of objects of every kind in their JSON form."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from activityctl.domain.access.audit import audit_view
from activityctl.domain.events.json_form import event_view
from activityctl.domain.gitops.apply_set import apply_set_view, apply_sets
from activityctl.domain.manifests.json_form import (
    calendar_view,
    definition_view,
    revision_view,
    subscription_view,
)
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.accepted import with_accepted
from activityctl.domain.runs.dead_letter import LetterFilter
from activityctl.domain.runs.json_form import (
    breaker_view,
    dead_letter_view,
    latest_run_view,
    run_view,
    task_view,
    worker_view,
)
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.selection import Selection
from activityctl.operations.looking.chains import chain_views
from activityctl.operations.looking.filters import check_filters
from activityctl.operations.looking.kinds import Kind
from activityctl.operations.looking.limits import limit_views
from activityctl.operations.looking.read_ports import ReadPorts
from activityctl.operations.looking.relayers import ReadRelayers, no_relayers
from activityctl.operations.looking.schedule_view import schedule_view
from activityctl.operations.looking.sources import source_views


class ObjectLists:
    """Reads the lists of objects of every kind."""

    def __init__(self, ports: ReadPorts, relayers: ReadRelayers = no_relayers) -> None:
        self._ports = ports
        self._catalog = ports.catalog
        self._lists = ports.run_lists
        self._relayers = relayers

    async def listed(self, kind: Kind, selection: Selection) -> list[View]:
        """Return the selected objects; UsageError for a filter that the kind does not have."""
        check_filters(kind, selection)
        readers: Mapping[Kind, Callable[[Selection], Awaitable[list[View]]]] = {
            "definitions": self._definitions,
            "subscriptions": self._subscriptions,
            "calendars": self._calendars,
            "sources": lambda chosen: source_views(self._catalog, chosen),
            "revisions": self._revisions,
            "schedules": self.schedules,
            "runs": self.runs,
            "tasks": self.tasks,
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
            self._ports.register.next_times(ids),
            self._lists.open_letters(ids),
            self._ports.events.unreadable(ids),
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
        return [audit_view(entry) for entry in await self._ports.audit.entries(selection)]

    async def _chain_views(self, selection: Selection) -> list[View]:
        return await chain_views(self._catalog, self._ports.chains, selection)

    async def _calendars(self, selection: Selection) -> list[View]:
        return [calendar_view(each) for each in await self._catalog.listed_calendars(selection)]

    async def _revisions(self, selection: Selection) -> list[View]:
        return [revision_view(revision) for revision in await self._catalog.revisions(selection)]

    async def schedules(self, selection: Selection) -> list[View]:
        """Return schedules."""
        return [schedule_view(row) for row in await self._ports.register.schedules(selection)]

    async def runs(self, selection: Selection) -> list[View]:
        """Return runs and firings that are accepted and no runs yet."""
        accepted = await self._lists.accepted(selection)  # first: it may become a run meanwhile
        runs = with_accepted(await self._lists.runs(selection), accepted, selection)
        return [run_view(run) for run in runs]

    async def tasks(self, selection: Selection) -> list[View]:
        """Return tasks."""
        return [task_view(task) for task in await self._lists.tasks(selection)]

    async def _stored_events(self, selection: Selection) -> list[View]:
        return [event_view(event) for event in await self._ports.events.events(selection)]

    async def _living_workers(self, selection: Selection) -> list[View]:
        alive = [worker_view(worker) for worker in await self._ports.workers.alive()]
        return [view for view in alive if view["id"].startswith(selection.name or "")]

    async def _breakers(self, selection: Selection) -> list[View]:
        return [breaker_view(breaker) for breaker in await self._lists.breakers(selection)]

    async def _dead_letters(self, selection: Selection) -> list[View]:
        wanted = LetterFilter(selection.definition, selection.task, selection.error)
        found = await self._lists.dead_letters(selection, wanted)
        return [dead_letter_view(each) for each in found]
