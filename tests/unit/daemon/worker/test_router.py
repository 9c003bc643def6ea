"""The router does not block its process, and splits work that matches many triggers."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.daemon.worker.router import MOST_FOUND, Router
from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.routing import Routed
from activityctl.domain.values.ids import EventId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_NUMBERS = itertools.count()


class Store:
    """An event store with waiting events and listeners; what is saved is kept in `routed`."""

    def __init__(self, listeners: list[Listener], *events: dict[str, Any]) -> None:
        self.waiting = [
            ArrivedEvent(EventId(str(number)), number, document, NOW)
            for number, document in enumerate(events)
        ]
        self.routed: list[Routed] = []
        self.now = NOW
        self.catalog_version = 1
        self.is_last = True
        self._listeners = listeners

    @property
    def events(self) -> list[ArrivedEvent]:
        return list(self.waiting)

    @asynccontextmanager
    async def routing(self, _limit: int) -> AsyncIterator["Store"]:
        yield self

    async def listeners(self) -> list[Listener]:
        return self._listeners

    async def paused(self, _woken: object) -> frozenset[str]:
        return frozenset()

    async def gatherings(self, *_: object) -> list[object]:
        return []

    async def save(self, routed: Routed, _now: datetime) -> None:
        self.routed.append(routed)
        self.waiting = [event for event in self.waiting if event.id not in routed.events]

    async def seconds_to_due(self) -> None:
        return None


def listeners(count: int, filter_of: Any) -> list[Listener]:
    bodies = [{"type": "a", "filter": filter_of(number)} for number in range(count)]
    return [
        Listener(f"s{number}", "t", EventTrigger.model_validate(body), {})
        for number, body in enumerate(bodies)
    ]


def event(text: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": text, "source": "/a", "type": "a", "data": {"text": text}}


async def longest_pause(router: Router) -> tuple[float, float]:
    """Return the longest pause of another task while the router works, and the whole time."""
    pauses = [0.0]
    started = time.monotonic()

    async def beat() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            pauses.append(now - last)
            last = now

    task = asyncio.create_task(beat())
    await asyncio.sleep(0)
    await router.route()
    await asyncio.sleep(0.01)  # so that the other task records its last pause
    task.cancel()
    return max(pauses), time.monotonic() - started


@pytest.mark.parametrize(
    "filter_of",
    [
        lambda salt: lambda number: f"event.data.text.contains('{salt}-{number}-')",
        lambda salt: lambda number: f"event.data.text.size() > {number} || '{salt}' == ''",
    ],
)
async def test_compiling_many_filters_does_not_block_the_process(filter_of):
    few = listeners(2000, filter_of(next(_NUMBERS)))
    store = Store(few, *(event("x" * number) for number in (0, 300, 600)))
    pause, took = await longest_pause(Router(store, lambda: None))
    assert not store.waiting
    assert pause < took / 2, "in one piece, the pause would be the whole time, on any machine"


async def test_events_that_match_very_many_triggers_are_split_into_transactions():
    wide = listeners(300, lambda _: "event.data.text != ''")
    store = Store(wide, *(event(str(number)) for number in range(40)))
    await Router(store, lambda: None).route()
    firings = [len(routed.firings) for routed in store.routed]
    assert sum(firings) == 300 * 40
    assert max(firings) < MOST_FOUND + 300
    assert [key for routed in store.routed for key in routed.events] == [str(n) for n in range(40)]
