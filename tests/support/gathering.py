"""Helpers for triggers that gather several events: emit, route, and read what was started."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from activityctl import wiring
from activityctl.adapters.memory.events.events import MemoryEventStore
from activityctl.adapters.memory.ports import MemoryPorts
from activityctl.adapters.postgres.events.events import PostgresEventStore
from activityctl.daemon.worker.router import Router
from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.events.stored_event import Verdict
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids

Ports = wiring.Ports | MemoryPorts
Listen = Callable[..., Awaitable[Plan]]
MINE = ids.subscription_id("mine")
DEBOUNCE = {"type": "changed", "debounce": {"for": "1m", "key": "${ event.data.key }"}}
BOTH = {
    "all": [{"name": "order", "type": "order"}, {"name": "payment", "type": "payment"}],
    "key": "${ event.data.key }",
    "within": "1m",
}
ABSENCE = {
    "absence": {
        "after": {"type": "order"},
        "of": {"type": "payment"},
        "within": "1m",
        "key": "${ event.data.key }",
    }
}


def event(sender_id: str, kind: str = "changed", key: Any = "k", **data: Any) -> EventEnvelope:
    document = {"specversion": "1.0", "id": sender_id, "source": "/shop", "type": kind}
    return envelope_of({**document, "data": {"key": key, **data}})


async def emit(ports: Ports, *events: EventEnvelope, ago: float = 0) -> None:
    """Store the events as if they had arrived that many seconds ago."""
    await ports.events.add(events)
    if not ago:
        return
    event_ids = [event.event_id for event in events]
    if isinstance(store := ports.events, PostgresEventStore):
        await store._database.fetch(
            "UPDATE events SET arrived_at = now() - %(ago)s WHERE id = ANY(%(ids)s)",
            ago=timedelta(seconds=ago),
            ids=event_ids,
        )
    elif isinstance(store, MemoryEventStore):
        for event_id in event_ids:
            row = store._state.events[event_id]
            moment = datetime.now(UTC) - timedelta(seconds=ago)
            store._state.events[event_id] = replace(
                row, event=replace(row.event, arrived_at=moment)
            )


async def route(ports: Ports) -> float | None:
    """Route the waiting events with a new router, which has no state of earlier ones."""
    return await Router(ports.events, lambda: None).route()


async def claimed(ports: Ports) -> list[FiringRef]:
    async with ports.outbox.claimed(100) as claim:
        await claim.dispatched(claim.firings, datetime.now(UTC))
        return list(claim.firings)


async def events_of_started_runs(ports: Ports) -> list[list[str]]:
    """Start the firings that may start; return the senders' ids of the events of each run."""
    found = []
    for firing in await claimed(ports):
        facts = await ports.runs.admission_input(firing)
        assert facts is not None
        found.append([event["id"] for event in facts.events])
    return found


async def verdicts(ports: Ports, *sender_ids: str) -> list[Verdict]:
    events = [await ports.events.find_event(sender_id) for sender_id in sender_ids]
    rows = await ports.events.verdicts([event.id for event in events])
    found = {verdict.event_id: verdict for verdict in rows}
    return [found[event.id] for event in events]


async def outcomes(ports: Ports, *sender_ids: str) -> list[tuple[str, str | None]]:
    found = await verdicts(ports, *sender_ids)
    return [(verdict.outcome.value, verdict.reason) for verdict in found]
