"""The catalog in memory; how a plan changes its tables is told in `plans.py`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from typing import Any

from activityctl.adapters.memory.catalog.calendars import living_calendars
from activityctl.adapters.memory.catalog.plans import carry_out, with_cursor_at
from activityctl.adapters.memory.runs.streaks import with_reason
from activityctl.adapters.memory.schedules.due_schedules import process_due_of_subscriptions
from activityctl.adapters.memory.state import CatalogTables, MemoryState, spec_of
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin, PastChange
from activityctl.domain.gitops.plan import Plan, Present, PresentDefinition
from activityctl.domain.manifests.calendar import PresentCalendar
from activityctl.domain.manifests.definition import Revision
from activityctl.domain.manifests.subscription import (
    OperatorStatus,
    Subscription,
    SubscriptionStatus,
)
from activityctl.domain.values.moment import DaySpan
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError
from activityctl.ports import Work

_Pending = list[tuple[Plan, datetime, Origin]]


class MemoryCatalog:
    """The Catalog port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._pending: ContextVar[_Pending | None] = ContextVar("pending", default=None)

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Hold the catalog's lock; what was written takes effect when the block ends well."""
        async with self._state.catalog_lock:
            pending: _Pending = []
            token = self._pending.set(pending)
            try:
                yield
            finally:
                self._pending.reset(token)
            for plan, now, origin in pending:
                if not plan.is_empty:
                    process_due_of_subscriptions(self._state, plan.touched_subscriptions)
                carry_out(plan, now, self._state.catalog, origin)
                if not plan.is_empty:
                    self._state.wake_workers(Work.SCHEDULES)

    async def present(self) -> Present:
        """Return what lives; within `changing`, with what was written there."""
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
            {one.name: one for one in tables.subscriptions.values()},
            {one.name: one for one in living_calendars(tables)},
        )

    async def write(self, plan: Plan, now: datetime, origin: Origin = UNKNOWN_ORIGIN) -> None:
        """Carry out the plan and record it in the history; call it within `changing`."""
        pending = self._pending.get()
        assert pending is not None, "call it within changing()"  # noqa: S101  # our bug
        pending.append((plan, now, origin))

    async def history(self, kind: str, name: str) -> list[PastChange]:
        """Return every recorded change of one object, the newest first."""
        return self._tables().history.get((kind, name), [])[::-1]

    async def definitions(self, selection: Selection) -> list[tuple[Mapping[str, Any], Revision]]:
        """Return the definitions with their current revisions, by name."""
        tables = self._tables()
        found: list[tuple[Mapping[str, Any], Revision]] = [
            (
                {
                    "name": row.name,
                    "labels": row.labels,
                    "annotations": row.annotations,
                    "since": row.created_at,
                    "updated_at": row.updated_at,
                    "subscriptions": len(_users(tables, row.name)),
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
        """Return the days of every calendar that lives, by its name."""
        return {one.name: one.days for one in living_calendars(self._tables())}

    async def listed_calendars(self, selection: Selection) -> list[PresentCalendar]:
        """Return the calendars that live, by name."""
        found = [
            one
            for one in living_calendars(self._tables())
            if selection.name in (None, one.name) and selection.labels.items() <= one.labels.items()
        ]
        return sorted(found, key=lambda one: one.name)[: selection.limit]

    async def revisions(self, selection: Selection) -> list[Revision]:
        """Return immutable revisions, newest first."""
        found = [
            one
            for one in self._tables().revisions.values()
            if selection.name in (None, one.definition) or one.id.startswith(selection.name or "")
        ]
        found.sort(key=lambda one: (one.created_at, one.number), reverse=True)
        return found[: selection.limit]

    async def subscriptions(self, selection: Selection) -> list[Subscription]:
        """Return subscriptions by name; deleted ones only when asked for by status."""
        found = [
            one
            for one in self._tables().subscriptions.values()
            if selection.subscription_id in (None, one.id)
            and _has_status(one, selection.status)
            and selection.labels.items() <= one.labels.items()
        ]
        return sorted(found, key=lambda one: one.name)[: selection.limit]

    async def find_subscription(self, reference: str) -> Subscription:
        """Return the one with that name, id or unique id prefix."""
        living = self._tables().subscriptions.values()
        named = [one for one in living if one.name == reference]
        found = named or [one for one in living if reference and one.id.startswith(reference)]
        if not found:
            raise NotFoundError("subscription", reference, hint="activityctl get subscriptions")
        if len(found) > 1:
            raise ConflictError.ambiguous(reference, "subscriptions")
        return found[0]

    async def set_subscription_status(
        self,
        subscription_id: str,
        status: OperatorStatus,
        now: datetime,
        *,
        reason: str | None = None,
        catch_up: bool = False,
    ) -> bool:
        """Pause or resume; False when it was so already, or is deleted."""
        async with self._state.catalog_lock:
            process_due_of_subscriptions(self._state, [subscription_id])
            tables = self._state.catalog
            current = tables.subscriptions.get(subscription_id)
            if current is None or current.status in (status, SubscriptionStatus.DELETED):
                return False
            after = replace(current, status=status, updated_at=now)
            tables.subscriptions[current.id] = with_reason(after, reason)
            for key, record in tables.schedules.items():
                if record.wanted.subscription_id == current.id and record.wanted_hash:
                    wanted_hash = record.wanted.wanted_hash(status)
                    is_kept = catch_up or status is SubscriptionStatus.PAUSED
                    cursor = record.cursor if is_kept else tables.clock()
                    after_change = replace(record.changed(wanted_hash), wakes=0)
                    tables.schedules[key] = with_cursor_at(after_change, cursor)
            self._state.wake_workers(Work.SCHEDULES)
        return True

    def _tables(self) -> CatalogTables:
        pending = self._pending.get()
        if not pending:
            return self._state.catalog
        tables = self._state.catalog.copy()
        for plan, now, origin in pending:
            carry_out(plan, now, tables, origin)
        return tables


def _users(tables: CatalogTables, definition: str) -> list[str]:
    return sorted(
        one.name
        for one in tables.subscriptions.values()
        if one.definition == definition and one.status is not SubscriptionStatus.DELETED
    )


def _has_status(subscription: Subscription, status: str | None) -> bool:
    if status is None:
        return subscription.status is not SubscriptionStatus.DELETED
    return subscription.status.value == status
