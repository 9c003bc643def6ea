"""The catalog in memory; `plans.py` writes a plan into its tables."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from activityctl.adapters.memory.catalog.calendars import live_calendars
from activityctl.adapters.memory.catalog.plans import with_cursor_at, write_history, write_plan
from activityctl.adapters.memory.catalog.sources import live_sources
from activityctl.adapters.memory.runs.streaks import with_operator_status
from activityctl.adapters.memory.schedules.due_schedules import process_due_of_subscriptions
from activityctl.adapters.memory.state import CatalogTables, MemoryState, spec_of, stored_json
from activityctl.domain.gitops.answered import AnsweredRequest
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin, PastApply, PastChange
from activityctl.domain.gitops.plan import Plan, Present, PresentDefinition, Recorded
from activityctl.domain.manifests.calendar import PresentCalendar
from activityctl.domain.manifests.definition import Revision
from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    Subscription,
    SubscriptionStatus,
)
from activityctl.domain.sources.traffic import RefusedRequest, SourceTraffic
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.moment import DaySpan
from activityctl.domain.values.selection import Selection
from activityctl.errors import AmbiguousError, NotFoundError
from activityctl.ports import Work


@dataclass(slots=True)
class _Pending:
    """What takes effect at the end of a block."""

    writes: list[tuple[Plan, datetime, Origin]] = field(default_factory=list)
    answered: dict[tuple[str, str], AnsweredRequest] = field(default_factory=dict)


class MemoryCatalog:
    """Implements the Catalog port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._pending: ContextVar[_Pending | None] = ContextVar("pending", default=None)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Hold the catalog's lock; other callers wait until the block ends.

        What is written takes effect when the block ends without an exception. A block inside of
        another one is a part of it.
        """
        if self._pending.get() is not None:
            yield
            return
        async with self._state.catalog_lock:
            pending = _Pending()
            token = self._pending.set(pending)
            try:
                yield
            finally:
                self._pending.reset(token)
            self._state.answered |= pending.answered
            for plan, now, origin in pending.writes:
                if not plan.is_empty:
                    process_due_of_subscriptions(self._state, plan.touched_subscriptions)
                write_plan(plan, now, self._state.catalog, origin)
                if not plan.is_empty:
                    self._state.wake_workers(Work.SCHEDULES)

    async def present(self) -> Present:
        """Return the live objects and the deleted subscriptions, at one moment.

        Inside `changing`, the result contains what was written there.
        """
        tables = self._tables()
        return Present(
            {
                row.name: PresentDefinition(
                    row.name,
                    row.revision_id,
                    spec_of(tables.revisions[row.revision_id]),
                    row.labels,
                    row.annotations,
                    row.applyset,
                )
                for row in tables.definitions.values()
                if row.deleted_at is None
            },
            {row.name: row for row in tables.subscriptions.values()},
            {calendar.name: calendar for calendar in live_calendars(tables)},
            sources={source.name: source for source in live_sources(tables)},
        )

    async def write(self, plan: Plan, now: datetime, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Carry out the plan and record it in the history; call it inside `changing`."""
        pending = self._pending.get()
        assert pending is not None, "call it inside changing()"  # noqa: S101  # our bug
        pending.writes.append((plan, now, origin))

    async def answered(self, actor: str, key: str) -> AnsweredRequest | None:
        """Return what a request with this key of this actor has changed."""
        pending = self._pending.get()
        kept = {**self._state.answered, **(pending.answered if pending else {})}
        return kept.get((actor, key))

    async def keep_answered(
        self,
        actor: str,
        key: str,
        request: AnsweredRequest,
        now: datetime,  # noqa: ARG002  # memory does not last for a day
    ) -> None:
        """Keep what a request has changed; call it within `changing`."""
        pending = self._pending.get()
        assert pending is not None, "call it inside changing()"  # noqa: S101  # our bug
        pending.answered[actor, key] = request

    async def history(self, kind: str, name: str, *, limit: int | None = None) -> list[PastChange]:
        """Return the recorded changes of one object, newest first; None for all."""
        return self._tables().history.get((kind, name), [])[::-1][:limit]

    async def last_applies(self) -> Mapping[str, PastApply]:
        """Return the last recorded apply of each apply set, by the name of the set."""
        changes = [past for found in self._tables().history.values() for past in found]
        return {
            past.applyset: PastApply(past.at, past.origin)
            for past in sorted(changes, key=lambda past: past.at)
            if past.applyset is not None
        }

    async def definitions(self, selection: Selection) -> list[tuple[Mapping[str, Any], Revision]]:
        """Return the live definitions with their current revisions, by name."""
        tables = self._tables()
        found: list[tuple[Mapping[str, Any], Revision]] = [
            (
                {
                    "name": row.name,
                    "labels": row.labels,
                    "annotations": row.annotations,
                    "applyset": row.applyset,
                    "since": row.created_at,
                    "updated_at": row.updated_at,
                    "subscriptions": _count_subscriptions(tables, row.name),
                },
                tables.revisions[row.revision_id],
            )
            for row in sorted(tables.definitions.values(), key=lambda row: row.name)
            if row.deleted_at is None
            and selection.name in (None, row.name)
            and selection.labels.items() <= row.labels.items()
        ]
        return found[: selection.limit]

    async def calendars(self) -> Mapping[str, tuple[DaySpan, ...]]:
        """Return the days of every live calendar, by its name."""
        return {calendar.name: calendar.days for calendar in live_calendars(self._tables())}

    async def listed_calendars(self, selection: Selection) -> list[PresentCalendar]:
        """Return the live calendars, by name."""
        found = [
            calendar
            for calendar in live_calendars(self._tables())
            if selection.name in (None, calendar.name)
            and selection.labels.items() <= calendar.labels.items()
        ]
        return sorted(found, key=lambda calendar: calendar.name)[: selection.limit]

    async def listed_sources(
        self, selection: Selection
    ) -> list[tuple[PresentEventSource, SourceTraffic]]:
        """Return the live event sources with what came to them, by name."""
        found = [
            (source, self._state.source_traffic.get(source.name, SourceTraffic()))
            for source in sorted(live_sources(self._tables()), key=lambda source: source.name)
            if selection.name in (None, source.name)
            and selection.labels.items() <= source.labels.items()
        ]
        return found[: selection.limit]

    async def refused_requests(self, source: str, limit: int) -> list[RefusedRequest]:
        """Return the last refused requests of an event source, newest first."""
        return self._state.refused_requests.get(source, [])[::-1][:limit]

    async def revisions(self, selection: Selection) -> list[Revision]:
        """Return revisions, newest first."""
        found = [
            revision
            for revision in self._tables().revisions.values()
            if selection.name in (None, revision.definition)
            or revision.id.startswith(selection.name or "")
        ]
        found.sort(key=lambda revision: (revision.created_at, revision.number), reverse=True)
        return found[: selection.limit]

    async def subscriptions(self, selection: Selection) -> list[Subscription]:
        """Return subscriptions by name; deleted ones only when that status is selected."""
        found = [
            subscription
            for subscription in self._tables().subscriptions.values()
            if selection.subscription_id in (None, subscription.id)
            and selection.definition in (None, subscription.definition)
            and _has_status(subscription, selection.statuses)
            and selection.labels.items() <= subscription.labels.items()
        ]
        return sorted(found, key=lambda subscription: subscription.name)[: selection.limit]

    async def subscriptions_of(self, ids: Sequence[str]) -> list[Subscription]:
        """Return the subscriptions with these ids, also deleted ones, in any order."""
        known = self._tables().subscriptions
        return [known[each] for each in set(ids) if each in known]

    async def find_subscription(self, reference: str) -> Subscription:
        """Return the subscription with that name or id, or with that unique prefix of its id.

        Raises NotFoundError when there is none, AmbiguousError when the prefix matches several.
        """
        subscriptions = self._tables().subscriptions.values()
        named = [subscription for subscription in subscriptions if subscription.name == reference]
        found = named or [
            subscription
            for subscription in subscriptions
            if reference and subscription.id.startswith(reference)
        ]
        if not found:
            raise NotFoundError("subscription", reference, hint="activityctl get subscriptions")
        if len(found) > 1:
            names = [f"{each.id} ({each.name})" for each in found]
            raise AmbiguousError(reference, "subscriptions", names)
        return found[0]

    async def replace_state(
        self,
        before: Subscription,
        state: Mapping[str, JsonValue],
        recorded: Recorded,
        now: datetime,
        origin: Origin,
    ) -> bool:
        """Store and record a new state; False if the stored one is not that of `before`."""
        async with self._state.catalog_lock:
            tables = self._state.catalog
            current = tables.subscriptions.get(before.id)
            if current is None or current.state != before.state:
                return False
            tables.subscriptions[before.id] = replace(current, state=stored_json(dict(state)))
            write_history(recorded, None, now, tables, origin)
        return True

    async def set_subscription_status(
        self,
        subscription_id: str,
        status: OperatorStatus,
        now: datetime,
        *,
        reason: str | None = None,
        catch_up: bool = False,
    ) -> bool:
        """Pause or resume the subscription and its schedules; return whether its status changed.

        What is due is processed first. A resume moves the cursors to now, unless `catch_up`.
        """
        async with self._state.catalog_lock:
            process_due_of_subscriptions(self._state, [subscription_id])
            tables = self._state.catalog
            current = tables.subscriptions.get(subscription_id)
            if current is None or current.status in (status, SubscriptionStatus.DELETED):
                return False
            after = replace(current, status=status, updated_at=now)
            tables.subscriptions[current.id] = with_operator_status(after, reason)
            for key, schedule in tables.schedules.items():
                if schedule.wanted.subscription_id == current.id:
                    keeps_cursor = catch_up or status is SubscriptionStatus.PAUSED
                    cursor = schedule.cursor if keeps_cursor else tables.clock()
                    is_active = status is SubscriptionStatus.ACTIVE
                    changed = replace(schedule, is_active=is_active)
                    tables.schedules[key] = with_cursor_at(changed, cursor)
            self._state.wake_workers(Work.SCHEDULES)
        return True

    def _tables(self) -> CatalogTables:
        pending = self._pending.get()
        if pending is None or not pending.writes:
            return self._state.catalog
        tables = self._state.catalog.copy()
        for plan, now, origin in pending.writes:
            write_plan(plan, now, tables, origin)
        return tables


def _count_subscriptions(tables: CatalogTables, definition: str) -> int:
    return sum(
        subscription.definition == definition
        and subscription.status is not SubscriptionStatus.DELETED
        for subscription in tables.subscriptions.values()
    )


def _has_status(subscription: Subscription, statuses: Collection[str]) -> bool:
    if not statuses:
        return subscription.status is not SubscriptionStatus.DELETED
    return subscription.status.value in statuses
