"""Waiting for events: until they are routed and their runs have ended."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from activityctl import wiring
from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.events.stored_event import Verdict, VerdictOutcome
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.routing.routing import EventFiring, Routed
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.selection import Selection
from activityctl.operations.events.await_events import EventResults, await_events

EVENT = envelope_of({"specversion": "1.0", "id": "a", "source": "/t", "type": "t"})
MakeRun = Callable[..., Awaitable[Run]]


async def route(
    ports: wiring.Ports, owner: Subscription, now: datetime, outcome: VerdictOutcome
) -> None:
    """Route the event as the router does; its run has the trigger `manual`."""
    key = "k" if outcome is VerdictOutcome.WOKEN else None
    verdict = Verdict(EVENT.event_id, owner.id, "manual", outcome, now, None, key)
    firing = EventFiring(owner.id, "manual", "k", now, (EVENT.event_id,), now)
    async with ports.events.routing(10) as routing:
        assert routing is not None
        assert [event.id for event in routing.events] == [EVENT.event_id]
        firings = (firing,) if key else ()
        await routing.save(Routed((EVENT.event_id,), firings, (verdict,)), now)


async def wait(ports: wiring.Ports, event: EventEnvelope, seconds: float) -> EventResults:
    return await await_events(
        ports.events, ports.run_lists, [event.event_id], timeout_seconds=seconds
    )


async def test_waiting_for_an_event_that_is_not_routed_times_out(ports: wiring.Ports):
    await ports.events.add([EVENT])
    found = await wait(ports, EVENT, 0.1)
    assert found.unrouted == {EVENT.event_id}
    assert not found.is_complete


async def test_waiting_ends_at_once_for_an_event_that_starts_no_run(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    await ports.events.add([EVENT])
    await route(ports, mine, now, VerdictOutcome.PAUSED)
    found = await wait(ports, EVENT, 10)
    assert found.is_complete
    assert [verdict.outcome for verdict in found.verdicts[EVENT.event_id]] == [
        VerdictOutcome.PAUSED
    ]
    assert found.runs == {}


async def test_waiting_lasts_until_the_run_has_begun_and_ended(
    ports: wiring.Ports, mine: Subscription, now: datetime, make_run: MakeRun
):
    await ports.events.add([EVENT])
    waiting = asyncio.create_task(wait(ports, EVENT, 30))
    await route(ports, mine, now, VerdictOutcome.WOKEN)
    assert not (await wait(ports, EVENT, 0)).is_complete
    assert not waiting.done()
    run = await make_run("k", status=RunStatus.FAILED)
    found = await waiting
    assert found.is_complete
    assert found.runs[RunId(run.id)].status is RunStatus.FAILED


async def test_a_timeout_shows_the_current_status_of_an_open_run(
    ports: wiring.Ports, mine: Subscription, now: datetime, make_run: MakeRun
):
    await ports.events.add([EVENT])
    await route(ports, mine, now, VerdictOutcome.WOKEN)
    run = await make_run("k")
    found = await wait(ports, EVENT, 0.1)
    assert not found.is_complete
    assert found.runs[RunId(run.id)].status is RunStatus.RUNNING


async def test_events_are_listed_by_subscription_and_by_run(
    ports: wiring.Ports, mine: Subscription, now: datetime, make_run: MakeRun
):
    other = envelope_of({**EVENT.document, "id": "b"})
    await ports.events.add([EVENT])
    await route(ports, mine, now, VerdictOutcome.WOKEN)
    await ports.events.add([other])
    run = await make_run("k")
    for selection in (
        Selection(subscription_id=mine.id),
        Selection(run_id=run.id),
        Selection(statuses=("routed",)),
    ):
        found = await ports.events.events(selection)
        assert [event.id for event in found] == [EVENT.event_id]
    assert await ports.events.unrouted([EVENT.event_id, other.event_id]) == [other.event_id]
