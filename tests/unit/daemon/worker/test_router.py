"""The router does not block its process, and splits work that matches many triggers."""

import asyncio
import itertools
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.daemon.worker.router import MOST_FOUND, Router
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.index import Listener
from activityctl.domain.routing.routing import Routed
from activityctl.errors import ActivityctlError, UnreachableError, UnstorableError
from support.routing_store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_NUMBERS = itertools.count()


def listeners(count: int, filter_of: Any) -> list[Listener]:
    bodies = [{"type": "a", "filter": filter_of(number)} for number in range(count)]
    return [
        Listener(f"s{number}", "t", EventTrigger.model_validate(body), {})
        for number, body in enumerate(bodies)
    ]


def event(text: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": text, "source": "/a", "type": "a", "data": {"text": text}}


async def longest_pause(router: Router) -> tuple[float, float]:
    """Return the longest pause of another task while the router works, and the whole time.

    Both are CPU time of this process, because other processes make every pause longer.
    """
    pauses = [0.0]
    started = time.process_time()

    async def beat() -> None:
        last = time.process_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.process_time()
            pauses.append(now - last)
            last = now

    task = asyncio.create_task(beat())
    await asyncio.sleep(0)
    await router.route()
    await asyncio.sleep(0.01)  # so that the other task records its last pause
    task.cancel()
    return max(pauses), time.process_time() - started


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


class Crash:
    """An evaluator that always fails in a way that nobody has foreseen."""

    most_data = 1 << 60

    def count(self, work: int) -> None:
        """Fail."""
        raise MemoryError(work)

    def evaluate(self, source: str, data: object) -> object:
        raise AssertionError(source, data)

    def check_params(self, schema: object, params: object) -> Any:
        raise AssertionError(schema, params)


async def test_an_event_that_can_never_be_routed_gets_a_verdict_and_blocks_no_other() -> None:
    trigger = EventTrigger.model_validate({"type": "bad", "filter": "event.data > 1"})
    other = EventTrigger.model_validate({"type": "good"})
    listeners = [Listener("bad", "t", trigger, {}), Listener("good", "t", other, {})]
    events = [{"type": "good"}, {"type": "bad", "data": 1}, {"type": "good"}]
    store = Store(listeners, *events)
    router = Router(store, lambda: None, Crash)
    failures = 0
    while store.waiting:
        try:
            await router.route()
        except MemoryError:
            failures += 1
        assert failures < 20
    assert len(store.routed[-1].events) >= 1
    firings = [firing.subscription_id for routed in store.routed for firing in routed.firings]
    assert firings == ["good", "good"]
    verdicts = [verdict for routed in store.routed for verdict in routed.verdicts]
    (error,) = [verdict for verdict in verdicts if verdict.subscription_id == "bad"]
    assert error.outcome == "error"
    assert str(error.reason).startswith("the event cannot be routed: MemoryError")


class Refusing(Store):
    """A store that refuses for good what one event leads to, and was away for a while before."""

    outages = 10

    async def save(self, routed: Routed, now: datetime) -> None:
        if self.outages:
            self.outages -= 1
            raise UnreachableError("away")
        errors = [verdict for verdict in routed.verdicts if verdict.outcome == "error"]
        if "100" in routed.events and not errors:
            raise UnstorableError("too large")
        await super().save(routed, now)


async def test_what_postgres_refuses_for_one_event_becomes_its_verdict() -> None:
    trigger = EventTrigger.model_validate({"type": "good"})
    store = Refusing([Listener("good", "t", trigger, {})], *[{"type": "good"}] * 300)
    router = Router(store, lambda: None)
    failures = 0
    while store.waiting:
        try:
            await router.route()
        except ActivityctlError:
            failures += 1
        assert failures < 20
    assert sum(len(routed.firings) for routed in store.routed) == 299
    verdicts = [verdict for routed in store.routed for verdict in routed.verdicts]
    (verdict,) = [verdict for verdict in verdicts if verdict.outcome == "error"]
    assert verdict.event_id == "100"
    assert verdict.reason == "the event cannot be routed: UnstorableError: too large"
    assert failures == 10 + 3
    assert len(store.routed) < 60, "events are routed many at a time again"
