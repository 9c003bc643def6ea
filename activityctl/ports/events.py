"""Ports for events: storing them, routing them, reading them again and removing them."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol

from activityctl.domain.events.emit_note import EmitNote
from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent, EmitOutcome, Verdict
from activityctl.domain.routing.event_waits import EventWait
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.routing import EventFiring, RefusedFiring, Routed
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.ids import EventId
from activityctl.domain.values.selection import Selection
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class WaitsVersion:
    """Tells whether the open waits for events have changed."""

    count: int
    total: int
    """The sum of their places: it changes when one is replaced by another."""


class Routing(Protocol):
    """A batch of unrouted events; no other process routes events until the block ends."""

    events: list[ArrivedEvent]
    """The oldest unrouted events, in order; fewer than the limit if they are large."""
    is_last: bool
    """Whether no other event is unrouted."""
    catalog_version: int
    """Grows with every apply. It belongs to the listeners that are read in the same block."""
    now: datetime
    """The time of Postgres at the beginning of the block."""
    waits_version: WaitsVersion
    """Changes with the open waits for events."""

    async def event_waits(self) -> list[EventWait]:
        """Return every open wait for an event that has no answer."""
        ...

    async def older_events(self, wait: EventWait, limit: int) -> list[ArrivedEvent]:
        """Return routed events that may end the wait, in the order of arrival.

        Those up to its `looks_after`, and those before its `since`, are left out. They may have
        other types than it waits for.
        """
        ...

    async def listeners(self) -> list[Listener]:
        """Return every event trigger of every live subscription, all from one snapshot.

        Sets `catalog_version` to the version of this snapshot.
        """
        ...

    async def paused(self, subscriptions: Iterable[str]) -> frozenset[str]:
        """Return which of these subscriptions are paused."""
        ...

    async def calendars(self, names: Iterable[str]) -> DaysByCalendar:
        """Return the days of these calendars; those that are not live are left out.

        Sets `catalog_version` to the version that they belong to.
        """
        ...

    async def gatherings(
        self, keys: Iterable[GatheringKey], until: datetime, limit: int
    ) -> list[Gathering]:
        """Return the gatherings with these keys, and gatherings with a deadline up to `until`.

        At most `limit` gatherings are returned in addition to those with the given keys.
        """
        ...

    async def stored_events(self, event_ids: Iterable[EventId]) -> dict[EventId, ArrivedEvent]:
        """Return these events by id; those that are no longer stored are left out."""
        ...

    async def save(self, routed: Routed, now: datetime) -> None:
        """Write the result of routing and wake the dispatcher.

        It is committed when the block ends without an exception.
        """
        ...


class EventStore(Protocol):
    """The archive of events, and the routing of new events."""

    async def add(
        self, events: Sequence[EventEnvelope], note: EmitNote | None = None
    ) -> list[EmitOutcome]:
        """Store the events durably and wake the router.

        Returns one outcome for each event, in order. An event that comes twice in one call is a
        duplicate too. With `note`, its entry is kept in the same transaction: the events are never
        there without it.
        """
        ...

    def routing(self, limit: int) -> AbstractAsyncContextManager[Routing | None]:
        """Hold the router's lock and the oldest unrouted events; None if it is already held.

        The block is one transaction: its writes and `routed_at` are committed together or not
        at all.
        """
        ...

    async def unreadable(self, owners: Sequence[str] | None = None) -> list[Listener]:
        """Return the stored event triggers that cannot be read, of all or of these owners."""
        ...

    async def seconds_to_due(self) -> float | None:
        """Return the seconds until the next deadline of a gathering; None if no event waits."""
        ...

    async def find_event(self, reference: str) -> ArrivedEvent:
        """Return the event with this id, ours or the sender's, or with a unique beginning of one.

        Raises NotFoundError if there is none, ConflictError with candidates if several match.
        """
        ...

    async def events(self, selection: Selection) -> list[ArrivedEvent]:
        """Return events, newest first."""
        ...

    async def unrouted(self, event_ids: Sequence[str]) -> list[EventId]:
        """Return which of these events are not routed yet."""
        ...

    async def verdicts(self, event_ids: Sequence[str]) -> list[Verdict]:
        """Return the verdicts of these events, sorted by event, subscription and trigger."""
        ...


class EventArchive(Protocol):
    """Stored events for reading again, replays, and removal."""

    async def count(self, query: EventQuery) -> int:
        """Return how many events the query selects."""
        ...

    async def arrival(self, query: EventQuery, place: int) -> datetime | None:
        """Return when the event arrived that has this place among those that the query selects.

        The first to arrive has the place 0. None if there are not so many.
        """
        ...

    async def page(
        self,
        query: EventQuery,
        after: ArrivedEvent | None,
        limit: int,
        *,
        newest_first: bool = False,
    ) -> list[ArrivedEvent]:
        """Return the next events after that one, in the order of arrival or in reverse.

        No transaction stays open between two pages. Events that are removed meanwhile are simply
        missing.
        """
        ...

    async def write_replayed(
        self,
        firings: Sequence[EventFiring],
        verdicts: Sequence[Verdict],
        now: datetime,
        refused: Sequence[RefusedFiring] = (),
    ) -> int:
        """Write the firings and verdicts of a replay in one transaction.

        Returns how many firings are new; a repeated call adds nothing. A verdict replaces one of
        an earlier replay of the same name, unless that one is `woken`. Firings and verdicts of
        events that are no longer stored are left out.
        """
        ...

    async def waiting(self, firing_keys: str) -> int:
        """Return how many firings are due and not started, whose keys begin with this text."""
        ...

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove the oldest events over this age, by Postgres' clock; return how many.

        Their verdicts are removed too. These events are kept: events that are not routed, events
        of firings that have not started, and events that a gathering may still need.
        """
        ...
