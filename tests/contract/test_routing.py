"""The router on both stores: an event starts each matching run once, and verdicts are stored."""

import asyncio
import base64
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.adapters.memory.ports import MemoryPorts
from activityctl.daemon.worker.router import BATCH, Router
from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.events.stored_event import EmitOutcome, Verdict
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.routing.routing import Routed
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.selection import Selection

Ports = wiring.Ports | MemoryPorts
Listen = Callable[..., Awaitable[Plan]]
MINE = ids.subscription_id("mine")


def event(key: str, kind: str = "order.paid", **data: Any) -> EventEnvelope:
    """Make an event of a shop."""
    document = {"specversion": "1.0", "id": key, "source": "/shop", "type": kind, "data": data}
    return envelope_of(document)


@pytest.fixture
def listen(
    apply: Callable[..., Awaitable[Plan]],
    define: Callable[..., ActivityDefinition],
    subscribe: Callable[..., SubscriptionManifest],
) -> Listen:
    """Apply the definition `digest` with an event trigger, and the subscription `mine`."""

    async def carry_out(
        body: dict[str, Any], spec: dict[str, Any] | None = None, **fields: Any
    ) -> Plan:
        trigger = {"name": "paid", "event": body}
        params = {"type": "object", "additionalProperties": True}
        whole = {"triggers": [trigger], "params": params, **(spec or {})}
        return await apply(define("digest", **whole), subscribe("mine", **fields))

    return carry_out


async def emit(ports: Ports, *events: EventEnvelope) -> None:
    assert set(await ports.events.add(events)) == {EmitOutcome.ACCEPTED}


async def route(ports: Ports) -> int:
    """Route the waiting events; return how often the dispatcher was woken."""
    woken: list[None] = []
    assert await Router(ports.events, lambda: woken.append(None)).route() is None
    return len(woken)


async def claimed(ports: Ports, *, start: bool = True) -> list[FiringRef]:
    """Claim the firings that may start now, and start them."""
    async with ports.outbox.claimed(100) as claim:
        if start:
            await claim.dispatched(claim.firings, datetime.now(UTC))
        return list(claim.firings)


async def verdicts(ports: Ports, *events: EventEnvelope) -> list[Verdict]:
    return await ports.events.verdicts([event.event_id for event in events])


async def outcomes(ports: Ports, *events: EventEnvelope) -> list[tuple[str, str | None]]:
    found = await verdicts(ports, *events)
    return [(verdict.outcome.value, verdict.reason) for verdict in found]


async def all_runs(ports: Ports) -> list[Run]:
    return await ports.run_lists.runs(Selection(limit=1000))


def sender_ids(firings: Sequence[FiringRef], *events: EventEnvelope) -> list[str]:
    """Return the senders' ids of the events of these firings."""
    senders = {event.event_id: event.id for event in events}
    return [senders[ids.EventId(firing.firing_key)] for firing in firings]


async def test_a_matching_event_starts_a_run_that_sees_it(ports: Ports, listen: Listen) -> None:
    await listen({"type": "order.paid"})
    paid = event("1", amount=7)
    await emit(ports, paid)
    assert await route(ports) == 1
    (firing,) = await claimed(ports)
    assert (firing.subscription_id, firing.trigger) == (MINE, "paid")
    assert firing.firing_key == paid.event_id
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    assert facts.events == (paid.document,)
    (verdict,) = await verdicts(ports, paid)
    assert (verdict.outcome, verdict.firing_key) == ("woken", paid.event_id)
    kept = await ports.events.find_event(paid.event_id)
    assert kept.routed_at is not None
    assert firing.due == kept.arrived_at


async def test_an_event_without_a_match_is_routed_without_a_verdict(
    ports: Ports, listen: Listen
) -> None:
    await listen({"type": "order.paid"})
    await emit(ports, event("1", "order.created"))
    assert await route(ports) == 0
    assert await claimed(ports) == []
    assert await verdicts(ports, event("1", "order.created")) == []
    assert (await ports.events.find_event("1")).routed_at is not None


async def test_events_are_routed_when_there_is_no_listener(ports: Ports) -> None:
    await emit(ports, event("1"))
    assert await route(ports) == 0
    assert (await ports.events.find_event("1")).routed_at is not None


async def test_more_events_than_a_batch_are_routed_in_order(ports: Ports, listen: Listen) -> None:
    await listen({"type": "order.paid", "filter": "event.data.number % 100 == 0"})
    many = [event(str(number), number=number) for number in range(2 * BATCH + 1)]
    await emit(ports, *many)
    assert await route(ports) == 3
    assert sender_ids(await claimed(ports), *many) == ["0", "100", "200", "300", "400", "500"]
    assert not await ports.events.unrouted([event.event_id for event in many])


async def test_large_events_are_taken_a_few_at_a_time(ports: Ports, listen: Listen) -> None:
    await listen({"type": "order.paid"})
    large = [event(str(number), text=random_text(500_000)) for number in range(30)]
    packed = [event(f"packed{number}", text="x" * 1_000_000) for number in range(30)]
    for emitted in (*large, *packed):
        await emit(ports, emitted)
    async with ports.events.routing(BATCH) as routing:
        assert routing is not None
        held = sum(len(str(event.document)) for event in routing.events)
        is_all = len(routing.events) == 60
        assert routing.is_last == is_all
        assert isinstance(ports, MemoryPorts) or held < 20_000_000
    await route(ports)
    assert sender_ids(await claimed(ports), *large, *packed) == [
        event.id for event in (*large, *packed)
    ]


def random_text(length: int) -> str:
    """Return a text that compresses badly."""
    return base64.b64encode(random.Random(length).randbytes(length)).decode()[:length]


async def test_concurrent_routers_start_each_run_once(ports: Ports, listen: Listen) -> None:
    await listen({"type": "order.paid"})
    many = [event(str(number)) for number in range(60)]
    await emit(ports, *many)

    async def work() -> None:
        router = Router(ports.events, lambda: None)
        while await router.route() is not None:
            await asyncio.sleep(0.01)

    await asyncio.gather(work(), work(), work())
    assert sender_ids(await claimed(ports), *many) == [event.id for event in many]


async def test_what_a_failed_router_wrote_is_lost_and_the_next_routes_it(
    ports: Ports, listen: Listen
) -> None:
    await listen({"type": "order.paid"})
    await emit(ports, event("1"))

    async def fail() -> None:
        async with ports.events.routing(10) as routing:
            assert routing is not None
            await routing.save(Routed((event("1").event_id,)), routing.now)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await route(ports) == 1
    assert sender_ids(await claimed(ports), event("1")) == ["1"]


async def test_a_router_that_does_not_get_the_lock_tries_again_soon(ports: Ports) -> None:
    await emit(ports, event("1"))
    async with ports.events.routing(10) as routing:
        assert routing is not None
        assert await Router(ports.events, lambda: None).route() == pytest.approx(0.25)


async def test_a_router_knows_the_triggers_of_the_latest_apply(
    ports: Ports, listen: Listen
) -> None:
    router = Router(ports.events, lambda: None)
    for number, kind in enumerate(("order.paid", "order.created")):
        await listen({"type": kind})
        both = [event(f"{number}{type_}", type_) for type_ in ("order.paid", "order.created")]
        await emit(ports, *both)
        await router.route()
        assert sender_ids(await claimed(ports), *both) == [f"{number}{kind}"]


async def test_a_deleted_subscription_gets_no_event(
    ports: Ports, listen: Listen, remove: Callable[..., Awaitable[Plan]]
) -> None:
    await listen({"type": "order.paid"})
    await remove("mine")
    await emit(ports, event("1"))
    assert await route(ports) == 0
    assert await verdicts(ports, event("1")) == []


async def test_a_paused_subscription_gets_verdicts_but_no_runs(
    ports: Ports, listen: Listen, now: datetime
) -> None:
    await listen({"type": "order.paid"})
    await ports.catalog.set_subscription_status(MINE, SubscriptionStatus.PAUSED, now)
    await emit(ports, event("1"))
    assert await route(ports) == 0
    assert await outcomes(ports, event("1")) == [("paused", "the subscription is paused")]
    await ports.catalog.set_subscription_status(MINE, SubscriptionStatus.ACTIVE, now)
    await emit(ports, event("2"))
    assert await route(ports) == 1
    assert sender_ids(await claimed(ports), event("1"), event("2")) == ["2"]


async def test_a_filter_that_fails_is_a_verdict_with_its_reason(
    ports: Ports, listen: Listen
) -> None:
    await listen({"type": "order.paid", "filter": "event.data.amount > 5"})
    await emit(ports, event("without"), event("with", amount=6))
    await route(ports)
    assert sender_ids(await claimed(ports), event("with", amount=6)) == ["with"]
    ((outcome, reason),) = await outcomes(ports, event("without"))
    assert outcome == "error"
    assert "amount" in (reason or "")
    figures = await ports.metrics.snapshot()
    assert figures.filter_errors == 1


async def test_overrides_of_triggers_and_params_decide_the_match(
    ports: Ports, listen: Listen
) -> None:
    await listen(
        {"type": "order.paid", "filter": "event.data.amount > params.least"},
        params={"least": 10},
        triggers={"paid": {"event": {"type": "order.refunded"}}},
    )
    emitted = [
        event("paid", amount=11),
        event("less", "order.refunded", amount=9),
        event("refunded", "order.refunded", amount=11),
    ]
    await emit(ports, *emitted)
    await route(ports)
    assert sender_ids(await claimed(ports), *emitted) == ["refunded"]


async def test_an_excluded_day_is_a_skipped_run_with_the_event(
    ports: Ports, listen: Listen
) -> None:
    today = datetime.now(UTC).date()
    span = f"{today - timedelta(days=1)}/{today + timedelta(days=1)}"
    await listen({"type": "order.paid", "exclude": {"dates": [span]}}, params={"a": 1})
    await emit(ports, event("1"))
    assert await route(ports) == 0
    (run,) = await all_runs(ports)
    assert (run.status, run.firing_key) == (RunStatus.SKIPPED, event("1").event_id)
    assert (run.params, run.events) == ({"a": 1}, (event("1").document,))
    assert (run.reason or "").startswith("excluded: ")
    assert await outcomes(ports, event("1")) == [("skipped", run.reason)]
    page, _ = await ports.logbook.page(LogFilter((MINE,)), Cursor(), limit=10)
    assert [(entry.run_id, entry.message) for entry in page] == [
        (run.id, f"run skipped: {run.reason}")
    ]


async def test_outside_its_window_a_firing_waits_or_is_missed(ports: Ports, listen: Listen) -> None:
    # A window on yesterday's weekday is closed now and for days.
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%a}".lower()
    window = {"days": yesterday}
    await listen({"type": "order.paid", "window": {**window, "outside": "wait"}})
    await emit(ports, event("1"))
    await route(ports)
    assert await claimed(ports) == []
    seconds = await ports.outbox.seconds_to_next()
    assert seconds is not None
    assert 3 * 86_400 < seconds < 7 * 86_400
    ((outcome, reason),) = await outcomes(ports, event("1"))
    assert outcome == "woken"
    assert (reason or "").startswith("outside its window")

    await listen({"type": "order.paid", "window": {**window, "outside": "miss"}})
    await emit(ports, event("2"))
    await route(ports)
    (run,) = await all_runs(ports)
    assert (run.status, run.firing_key) == (RunStatus.MISSED, event("2").event_id)


async def test_higher_priority_starts_first(ports: Ports, listen: Listen) -> None:
    await listen({"type": "order.paid"})
    low = [event(f"low{number}") for number in range(3)]
    await emit(ports, *low)
    await route(ports)
    await listen({"type": "order.paid", "priority": 50})
    high = [event(f"high{number}") for number in range(2)]
    await emit(ports, *high)
    await route(ports)
    found = sender_ids(await claimed(ports), *low, *high)
    assert found == ["high0", "high1", "low0", "low1", "low2"]


async def test_events_that_are_not_routed_are_counted(ports: Ports) -> None:
    figures = await ports.metrics.snapshot()
    assert (figures.unrouted_events, figures.oldest_unrouted_at) == (0, None)
    await emit(ports, event("1"), event("2"))
    figures = await ports.metrics.snapshot()
    assert figures.unrouted_events == 2
    assert figures.oldest_unrouted_at == (await ports.events.find_event("1")).arrived_at
    await route(ports)
    figures = await ports.metrics.snapshot()
    assert (figures.unrouted_events, figures.oldest_unrouted_at) == (0, None)
