"""A run is wholly of one apply: its revision and params are those that decided its firing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.adapters.memory.ports import MemoryPorts
from activityctl.adapters.memory.schedules.outbox import MemoryOutbox
from activityctl.adapters.postgres.schedules.outbox import PostgresOutbox
from activityctl.daemon.worker.router import Router
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.backfill import Backfill
from activityctl.domain.timing.firing import FiringCause, FiringRef, FiringRequest
from activityctl.domain.values.selection import Selection
from support.gathering import claimed, emit, event, outcomes

Ports = wiring.Ports | MemoryPorts
ApplySet = Callable[..., Awaitable[Subscription]]


@pytest.fixture
def apply_set(ports: Ports, apply: Any, define: Any, subscribe: Any) -> ApplySet:
    """Apply a definition and its subscription that both have the number of the set."""

    async def carry_out(number: int, trigger: dict[str, Any], activity: str = "digest") -> Any:
        params = {"type": "object", "properties": {"set": {}, "name": {"default": f"d{number}"}}}
        definition = define(activity, triggers=[trigger], params=params)
        await apply(definition, subscribe("mine", activity, params={"set": number}))
        return await ports.catalog.find_subscription("mine")

    return carry_out


async def assert_first_set(ports: Ports, firing: FiringRef, activity: str = "digest") -> None:
    """Check that a run of the firing would have everything from the first apply."""
    revisions = await ports.catalog.revisions(Selection(name=activity))
    first = min(revisions, key=lambda revision: revision.number)
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    run = new_run(firing, facts, datetime.now(UTC))
    assert facts.spec.triggers[0].name == "first"
    assert (run.revision_id, run.definition) == (first.id, activity)
    assert run.params == {"set": 1, "name": "d1"}


FIRST, SECOND = {"name": "first"}, {"name": "second"}
MANUAL = {"cron": {"schedule": "0 8 * * *"}}


async def test_a_firing_by_hand(ports: Ports, apply_set: ApplySet, now: datetime) -> None:
    mine = await apply_set(1, {**FIRST, **MANUAL})
    firing = FiringRequest(mine.id, "manual", "k", now)
    await ports.outbox.add([firing], now)
    await apply_set(2, {**SECOND, **MANUAL})
    await assert_first_set(ports, firing.ref)
    async with ports.outbox.claimed(1) as claim:
        (revision,) = claim.revisions.values()
    assert (await ports.runs.specs_of([revision]))[revision].triggers[0].name == "first"


async def test_a_firing_of_an_event(ports: Ports, apply_set: ApplySet) -> None:
    await apply_set(1, {**FIRST, "event": {"type": "changed", "filter": "params.set == 1"}})
    await emit(ports, event("a"))
    await Router(ports.events, lambda: None).route()
    await apply_set(2, {**SECOND, "event": {"type": "changed"}}, "other")
    (firing,) = await claimed(ports)
    await assert_first_set(ports, firing)


async def test_a_refused_firing_of_an_event(ports: Ports, apply_set: ApplySet) -> None:
    exclude = {"dates": ["2000-01-01/2099-12-31"]}
    await apply_set(1, {**FIRST, "event": {"type": "changed", "exclude": exclude}})
    await emit(ports, event("a"))
    async with ports.events.routing(10) as routing:
        assert routing is not None
        router = Router(ports.events, lambda: None)
        index = await router._index_of(routing)
        routed = await router._decide(routing, index)
    await apply_set(2, {**SECOND, "event": {"type": "changed"}}, "other")
    async with ports.events.routing(10) as routing:
        assert routing is not None
        await routing.save(routed, routing.now)
    (run,) = await ports.run_lists.runs(Selection())
    assert (run.status.value, run.definition, run.params["set"]) == ("skipped", "digest", 1)


async def test_a_firing_of_the_clock(ports: Ports, apply_set: ApplySet) -> None:
    mine = await apply_set(1, {**FIRST, "interval": {"every": "1s", "jitter": "900ms"}})
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    ref = FiringRef(
        mine.id, "first", f"{due:%Y-%m-%dT%H:%M:%SZ}", due.isoformat(), "w", FiringCause.ALARM
    )
    await ports.timetable.process_due(ref)
    await apply_set(2, {**SECOND, **MANUAL})
    await assert_first_set(ports, ref)


async def test_a_firing_of_a_backfill(ports: Ports, apply_set: ApplySet, now: datetime) -> None:
    mine = await apply_set(1, {**FIRST, "interval": {"every": "1h"}})
    backfill = Backfill(mine.id, "first", now - timedelta(hours=2), now, 1)
    scope = (mine.id, "first", backfill.first, backfill.last)
    async with ports.backfills.locked(*scope) as locked:
        await locked.hold(backfill, [now])
    await apply_set(2, {**SECOND, **MANUAL})
    await assert_first_set(ports, backfill.firing(now).ref)


async def test_an_old_firing_without_a_revision_gets_the_present_one(
    ports: Ports, apply_set: ApplySet, now: datetime
) -> None:
    await apply_set(1, {**FIRST, **MANUAL})
    mine = await apply_set(2, {**SECOND, **MANUAL})
    firing = FiringRequest(mine.id, "manual", "k", now)
    await ports.outbox.add([firing], now)
    await _forget_revisions(ports)
    facts = await ports.runs.admission_input(firing.ref)
    assert facts is not None
    run = new_run(firing.ref, facts, now)
    assert facts.spec.triggers[0].name == "second"
    assert run.params == {"set": 2, "name": "d2"}
    async with ports.outbox.claimed(1) as claim:
        assert list(claim.revisions.values()) == [facts.revision.id]


async def _forget_revisions(ports: Ports) -> None:
    """Make the firings as older versions stored them."""
    if isinstance(outbox := ports.outbox, PostgresOutbox):
        await outbox._database.fetch(
            "UPDATE firings SET revision_id = NULL, params = NULL RETURNING id"
        )
    elif isinstance(outbox, MemoryOutbox):
        firings = outbox._state.firings
        for key, row in firings.items():
            firings[key] = replace(row, revision_id=None, params={})


@pytest.mark.parametrize(
    ("second", "run_events", "reason"),
    [
        ("params.set <= 2", ["a"], None),
        ("event.data.n == 2", [], "and it no longer matches"),
        ("event.data.text == 'x'", [], "no such key"),
    ],
)
async def test_events_that_wait_for_others_are_judged_again(
    ports: Ports, apply_set: ApplySet, second: str, run_events: list[str], reason: str | None
) -> None:
    def debounce(text: str) -> dict[str, Any]:
        body = {"type": "changed", "filter": text, "debounce": {"for": "300ms"}}
        return {"name": "t", "event": body}

    await apply_set(1, debounce("params.set == 1"))
    await emit(ports, event("a", n=1))
    router = Router(ports.events, lambda: None)
    assert await router.route() is not None
    await apply_set(2, debounce(second))
    await asyncio.sleep(0.35)
    assert await router.route() is None
    firings = await claimed(ports)
    assert len(firings) == len(run_events)
    for firing in firings:
        facts = await ports.runs.admission_input(firing)
        assert facts is not None
        assert [found["id"] for found in facts.events] == run_events
        assert (facts.params["set"], facts.spec.params["properties"]["name"]) == (
            2,
            {"default": "d2"},
        )
    ((outcome, why),) = await outcomes(ports, "a")
    assert outcome == ("woken" if run_events else "dropped")
    assert (reason or "") in (why or "")
