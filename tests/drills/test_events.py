"""Events while components are killed: no event is lost, and none starts a run twice.

    DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_events.py -rP

repeats a drill with the seed that an earlier drill printed. Events are emitted, some of them
several times, while workers are killed with SIGKILL, Postgres is restarted and Temporal is down.
The seed chooses moments and order; DRILL_FULL=1 has more of each. The drill counts rows in
Postgres, and the calls that an HTTP server received, by Idempotency-Key.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activityctl.daemon.local.state import read_state
from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.values.ids import EventId, SubscriptionId, is_batch, subscription_id
from support.drilled import PortsDrill, Receiver, Row, receiving, seed

FULL = os.environ.get("DRILL_FULL") == "1"
EVENTS = 2_000 if FULL else 120
KILLS = 10 if FULL else 2
TEMPORAL_AWAY = 60.0 if FULL else 20.0
PATIENCE = 600.0 if FULL else 300.0
BACK = TEMPORAL_AWAY + 60
"""Seconds after a failure within which the servers answer again."""
CALLS = 60
"""The number of calls in which the events are emitted, spread over the whole drill."""
EVERY: Mapping[str, int] = {"all": 1, "second": 2, "third": 3, "fifth": 5, "seventh": 7}
"""For each subscription n, so that every n-th event starts a run of it."""
IN_ORDER = "seventh"
"""The subscription whose runs must run one after the other, in the order of the events."""


class EventDrill(PortsDrill):
    """A daemon that routes events, and the failures of its components."""

    def __init__(self, home: Path, chance: random.Random, receiver: Receiver) -> None:
        super().__init__(home, chance)
        self.receiver = receiver
        self.acknowledged: Counter[EmitOutcome] = Counter()
        self.events = [event(number) for number in range(EVENTS)]

    @property
    def expected(self) -> set[tuple[SubscriptionId, EventId]]:
        """The runs that have to start, each once, as subscription and event."""
        return {
            (subscription_id(name), event.event_id)
            for name, every in EVERY.items()
            for number, event in enumerate(self.events)
            if number % every == 0
        }

    async def apply(self) -> None:
        await self.apply_specs({name: self._spec(name, every) for name, every in EVERY.items()})

    def _spec(self, name: str, every: int) -> dict[str, Any]:
        is_ordered = name == IN_ORDER
        trigger = {
            "type": "drill.*",
            "filter": f"event.data.number % {every} == 0",
            "ordered": is_ordered,
        }
        request = {
            "method": "POST",
            "url": f"{self.receiver.url}/{name}",
            "json": {"number": "${ event.data.number }"},
        }
        task = {"name": "tell", "http": request, "retry": {"maxAttempts": 3}}
        gate = {"concurrency": {"policy": "queue"}} if is_ordered else {}
        return {"triggers": [{"name": "came", "event": trigger}], "tasks": [task], **gate}

    async def emit(self) -> None:
        """Emit all events until they are acknowledged, and some of them again later."""
        size = EVENTS // CALLS
        for first in range(0, EVENTS, size):
            await self._patiently_add(self.events[first : first + size])
            if self.chance.random() < 0.2:
                again = self.chance.sample(self.events[: first + size], size)
                await self._patiently_add(again)
            await asyncio.sleep(1.5 if FULL else 0.4)  # so that it lasts as long as the failures

    async def _patiently_add(self, events: list[EventEnvelope]) -> None:
        await self.retry_while_down(lambda: self._add(events), BACK)

    async def _add(self, events: list[EventEnvelope]) -> None:
        async with self.ports() as ports:
            self.acknowledged.update(await ports.events.add(events))

    async def cause_failures(self) -> None:
        """Cause all failures, in an order that the seed chooses."""
        failures: list[Callable[[], Awaitable[None]]] = [
            *[lambda: self.kill("worker", signal.SIGKILL)] * KILLS,
            lambda: self.kill("postgres", signal.SIGINT),
            self.stop_temporal,
        ]
        self.chance.shuffle(failures)
        for fail in failures:
            await asyncio.sleep(self.chance.uniform(0.2, 2.5))
            await fail()

    async def kill(self, component: str, number: signal.Signals) -> None:
        """Signal a component; the supervisor then restarts it."""
        await self.until(lambda: read_state(self.home).ready, 60)
        state = read_state(self.home)
        (part,) = (part for part in state.components if part.name == component)
        assert part.pid is not None
        os.kill(part.pid, number)
        print(f"{now():%H:%M:%S} {component}: {number.name}")
        await self.until(lambda: read_state(self.home) != state, 60)

    async def stop_temporal(self) -> None:
        """Kill Temporal and keep the supervisor from restarting it for a while."""
        await self.until(lambda: read_state(self.home).ready, 60)
        state = read_state(self.home)
        with self.without_restarts():
            self.process_of("temporal").kill()
            print(f"{now():%H:%M:%S} temporal: away for {TEMPORAL_AWAY:.0f} s")
            await asyncio.sleep(TEMPORAL_AWAY)
        await self.until(lambda: read_state(self.home) != state, 60)

    async def all_ended(self) -> None:
        """Wait until every event is routed and all expected runs have ended."""
        deadline, wanted = time.monotonic() + PATIENCE, len(self.expected)
        query = """SELECT (SELECT count(*) FROM events WHERE routed_at IS NULL) AS unrouted,
            (SELECT count(*) FROM firings WHERE dispatched_at IS NULL) AS waiting,
            (SELECT count(*) FROM runs) AS runs,
            (SELECT count(*) FROM runs WHERE ended_at IS NULL) AS open"""
        while True:
            (counted,) = await self.retry_while_down(lambda: self.fetch(query), BACK)
            if counted["runs"] >= wanted and not counted["open"] and not counted["unrouted"]:
                return
            assert time.monotonic() < deadline, f"after {PATIENCE} s: {counted} of {wanted} runs"
            await asyncio.sleep(0.3)


def event(number: int) -> EventEnvelope:
    document = {"specversion": "1.0", "id": str(number), "source": "/drill", "type": "drill.came"}
    return envelope_of({**document, "data": {"number": number}})


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[EventDrill]:
    chance = random.Random(seed())
    with receiving() as receiver:
        drill = EventDrill(tmp_path / "home", chance, receiver)
        with drill.running():
            yield drill


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_every_event_starts_each_of_its_runs_once_although_components_are_killed(
    drill: EventDrill,
) -> None:
    await drill.apply()
    await asyncio.gather(drill.emit(), drill.cause_failures())
    began = time.monotonic()
    await drill.all_ended()
    print(f"all runs had ended {time.monotonic() - began:.1f} s after the last failure")
    await check_events(drill)
    runs = await drill.fetch("SELECT * FROM runs ORDER BY created_at, id")
    assert Counter(run["status"] for run in runs) == {"succeeded": len(drill.expected)}
    shared = sum(is_batch(run["workflow_id"]) for run in runs)
    print(f"{shared} of {len(runs)} runs shared workflows")
    assert shared, "the firings that wait during an outage start as a burst"
    started = Counter((run["subscription_id"], run["firing_key"]) for run in runs)
    assert started == Counter(drill.expected)
    await check_effects(drill)
    check_order(drill, runs)


async def check_events(drill: EventDrill) -> None:
    """Check that each acknowledged event is stored once and routed, with all its verdicts."""
    assert set(drill.acknowledged) <= {EmitOutcome.ACCEPTED, EmitOutcome.DUPLICATE}
    print(f"acknowledged: {dict(drill.acknowledged)}")
    kept = await drill.fetch("SELECT id, routed_at FROM events")
    assert Counter(row["id"] for row in kept) == Counter(event.event_id for event in drill.events)
    assert all(row["routed_at"] for row in kept)
    verdicts = await drill.fetch("SELECT * FROM verdicts")
    assert {row["outcome"] for row in verdicts} == {"woken"}
    pairs = Counter((row["subscription_id"], row["event_id"]) for row in verdicts)
    assert pairs == Counter(drill.expected)


async def check_effects(drill: EventDrill) -> None:
    """Check that the receiver got one key for each match, again only after a lost attempt."""
    tasks = {row["id"]: row for row in await drill.fetch("SELECT * FROM tasks")}
    calls = Counter(key for _, key, _ in drill.receiver.received)
    assert set(calls) == set(tasks)
    matches = {(name, body["number"]) for name, _, body in drill.receiver.received}
    assert len(matches) == len(drill.expected)
    again = {key: count for key, count in calls.items() if count > 1}
    print(f"{len(tasks)} runs called the receiver, {len(again)} again after a lost attempt")
    assert all(count <= tasks[key]["attempts"] for key, count in again.items())


def check_order(drill: EventDrill, runs: list[Row]) -> None:
    """Check that the runs of the ordered subscription have the order of the events."""
    numbers = {event.event_id: number for number, event in enumerate(drill.events)}
    wanted = list(range(0, EVENTS, EVERY[IN_ORDER]))
    owner = subscription_id(IN_ORDER)
    made = [numbers[run["firing_key"]] for run in runs if run["subscription_id"] == owner]
    assert made == wanted
    called = [body["number"] for name, _, body in drill.receiver.received if name == IN_ORDER]
    assert list(dict.fromkeys(called)) == wanted
