"""Events: how they are kept, whom they wake, and how they are read again and removed."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol

from activityctl.domain.events.envelope import EventEnvelope
from activityctl.domain.events.gathering import Gathering, GatheringKey
from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent, EmitOutcome, Verdict
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.routing import EventFiring, RefusedFiring, Routed
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.ids import EventId
from activityctl.domain.values.selection import Selection


class Routing(Protocol):
    """Events whose routing nobody else decides on until the block ends."""

    events: list[ArrivedEvent]
    """The oldest unrouted ones, in order; fewer than asked for when they are large."""
    is_last: bool
    """Whether no other event waited."""
    catalog_version: int
    """Grows with every apply; what listens to events is read within the same block."""
    now: datetime
    """Postgres' time as the block began."""

    async def listeners(self) -> list[Listener]:
        """Return every event trigger of every subscription that is not deleted, all of one moment.

        `catalog_version` is then the version that these are of.
        """
        ...

    async def paused(self, subscriptions: Iterable[str]) -> frozenset[str]:
        """Return which of these subscriptions are paused."""
        ...

    async def calendars(self, names: Iterable[str]) -> DaysByCalendar:
        """Return the days of those of these calendars that live."""
        ...

    async def gatherings(
        self, keys: Iterable[GatheringKey], until: datetime, limit: int
    ) -> list[Gathering]:
        """Return those of these keys, and as many more that time changes until then, if any."""
        ...

    async def stored_events(self, event_ids: Iterable[EventId]) -> dict[EventId, ArrivedEvent]:
        """Return those of the events that are still kept."""
        ...

    async def save(self, routed: Routed, now: datetime) -> None:
        """Write it and wake the dispatcher; committed when the block ends well."""
        ...


class EventStore(Protocol):
    """The archive of events, and the routing of those that have come."""

    async def add(self, events: Sequence[EventEnvelope]) -> list[EmitOutcome]:
        """Store the events, after which none can be lost, and wake the router.

        One outcome for each, in order; the same event twice in one call is a duplicate too.
        """
        ...

    def routing(self, limit: int) -> AbstractAsyncContextManager[Routing | None]:
        """Hold the one router's lock and the oldest unrouted events; None when others hold it.

        All in one transaction: whatever is written within it comes with `routed_at`, or not at all.
        """
        ...

    async def unreadable(self, owners: Sequence[str] | None = None) -> list[Listener]:
        """Return the event triggers, all or of these owners, that as stored cannot be read."""
        ...

    async def seconds_to_due(self) -> float | None:
        """Return how long until time changes what is gathered; None when nothing waits."""
        ...

    async def find_event(self, reference: str) -> ArrivedEvent:
        """Return the one with our id or the sender's, else with a unique prefix of either.

        NotFoundError when there is none, ConflictError, which tells them, when it fits several.
        """
        ...

    async def events(self, selection: Selection) -> list[ArrivedEvent]:
        """Return events, newest first."""
        ...

    async def unrouted(self, event_ids: Sequence[str]) -> list[EventId]:
        """Return those of the events of which it is not yet found out whom they wake."""
        ...

    async def verdicts(self, event_ids: Sequence[str]) -> list[Verdict]:
        """Return what those events meant to whom, by event, subscription and trigger."""
        ...


class EventArchive(Protocol):
    """Events that have come: read again, fed again, and removed when their time is over."""

    async def count(self, stretch: EventQuery) -> int:
        """Return how many events the stretch holds."""
        ...

    async def page(
        self,
        stretch: EventQuery,
        after: ArrivedEvent | None,
        limit: int,
        *,
        newest_first: bool = False,
    ) -> list[ArrivedEvent]:
        """Return the next events behind that one, as they arrived or the other way round.

        A page holds nothing open; what is removed between two pages is missing, no more.
        """
        ...

    async def write_replayed(
        self,
        firings: Sequence[EventFiring],
        verdicts: Sequence[Verdict],
        now: datetime,
        refused: Sequence[RefusedFiring] = (),
    ) -> int:
        """Write what events fed again led to, in one transaction; return how many firings are new.

        A repeat adds nothing. A verdict of an earlier feeding by the same name gives way unless
        it is `woken`; what belongs to events that are gone is left out.
        """
        ...

    async def waiting(self, firing_keys: str) -> int:
        """Return how many firings are due and not started whose keys begin so."""
        ...

    async def remove(self, age: timedelta, limit: int) -> int:
        """Remove the oldest events over that age, by Postgres' clock; return how many.

        Their verdicts go with them. Left alone: events that are not routed, those of firings
        not started yet, and those that a gathering may still wait with.
        """
        ...
