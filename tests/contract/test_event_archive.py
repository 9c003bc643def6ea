"""The EventArchive port: pages of stored events, replays, and the removal of old events."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from activityctl import wiring
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.events.gathering import GatheredEvent, Gathering, GatheringKey
from activityctl.domain.events.query import EventQuery
from activityctl.domain.events.stored_event import ArrivedEvent, Verdict, VerdictOutcome
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import Subscription, SubscriptionManifest
from activityctl.domain.routing.routing import EventFiring, RefusedFiring, Routed
from activityctl.domain.runs.admission import new_run
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values.ids import EventId
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.ports import OpenResult

ALL = EventQuery(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
NOTHING = timedelta(0)


async def arrive(
    ports: wiring.Ports, *senders: str, kind: str = "order.paid", source: str = "/shop"
) -> list[ArrivedEvent]:
    """Store events in one call; return them as they are stored."""
    given = [
        envelope_of({"specversion": "1.0", "id": sender, "source": source, "type": kind})
        for sender in senders
    ]
    await ports.events.add(given)
    return [await ports.events.find_event(event.event_id) for event in given]


async def route(ports: wiring.Ports, **more: Any) -> None:
    async with ports.events.routing(1_000) as routing:
        assert routing is not None
        events = tuple(event.id for event in routing.events)
        await routing.save(Routed(events, **more), routing.now)


async def stored_ids(ports: wiring.Ports) -> list[str]:
    return sorted(event.document["id"] for event in await ports.events.events(Selection()))


def names(events: list[ArrivedEvent]) -> list[str]:
    return [event.document["id"] for event in events]


@pytest_asyncio.fixture(loop_scope="session")
async def owner(
    ports: wiring.Ports,
    apply: Callable[..., Awaitable[Plan]],
    define: Callable[..., ActivityDefinition],
    subscribe: Callable[..., SubscriptionManifest],
) -> Subscription:
    trigger = {"name": "paid", "event": {"type": "order.paid"}}
    await apply(define("digest", triggers=[trigger]), subscribe("mine"))
    return await ports.catalog.find_subscription("mine")


def a_firing(owner: Subscription, *events: ArrivedEvent, key: str = "") -> EventFiring:
    ids, at = tuple(event.id for event in events), events[0].arrived_at
    return EventFiring(owner.id, "paid", f"replay/r/{key or ids[0]}", at, ids, at)


def a_verdict(
    owner: Subscription, event: ArrivedEvent, outcome: VerdictOutcome, **more: Any
) -> Verdict:
    return Verdict(event.id, owner.id, "paid", outcome, event.arrived_at, **{"replay": "r", **more})


# ---- reading


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_have_every_event_once_and_in_order(ports: wiring.Ports, newest_first):
    for start in range(0, 9, 3):  # the events of one call arrive at the same moment
        await arrive(ports, *(str(number) for number in range(start, start + 3)))
    seen: list[str] = []
    last = None
    while page := await ports.archive.page(ALL, last, 2, newest_first=newest_first):
        assert len(page) <= 2
        seen += names(page)
        last = page[-1]
    expected = [str(number) for number in range(9)]
    assert seen == (expected[::-1] if newest_first else expected)
    assert await ports.archive.count(ALL) == 9


async def test_a_query_includes_its_start_and_not_its_end(ports: wiring.Ports):
    (first,) = await arrive(ports, "a")
    (second,) = await arrive(ports, "b")
    query = EventQuery(first.arrived_at, second.arrived_at)
    assert names(await ports.archive.page(query, None, 10)) == ["a"]
    assert await ports.archive.count(query) == 1
    arrivals = [await ports.archive.arrival(ALL, place) for place in range(3)]
    assert arrivals == [first.arrived_at, second.arrived_at, None]
    assert await ports.archive.arrival(query, 1) is None


@pytest.mark.parametrize(
    ("types", "sources", "expected"),
    [
        (("order.*",), (), "abd"),
        (("order.paid", "stock"), (), "ac"),
        (("*.%",), (), "b"),
        (("order_",), (), ""),
        (("o*r.p*",), ("/shop*",), "a"),
        ((), ("/a\\b",), "d"),
    ],
)
async def test_only_the_star_is_special_in_patterns_of_types_and_sources(
    ports: wiring.Ports, types: tuple[str, ...], sources: tuple[str, ...], expected: str
):
    await arrive(ports, "a")
    await arrive(ports, "b", kind="order.%")
    await arrive(ports, "c", kind="stock")
    await arrive(ports, "d", kind="order.x", source="/a\\b")
    query = EventQuery(ALL.since, ALL.until, types, sources)
    assert "".join(names(await ports.archive.page(query, None, 10))) == expected
    assert await ports.archive.count(query) == len(expected)


async def test_other_types_do_not_use_up_the_limit_of_a_page(ports: wiring.Ports):
    await arrive(ports, "a", "b", kind="order.paid")
    await arrive(ports, *(f"bulk-{number}" for number in range(9)), kind="bulk")
    for types in (("order.paid",), ("order.*",), ("order.*", "order.paid")):
        query = EventQuery(ALL.since, ALL.until, types)
        page = await ports.archive.page(query, None, 2, newest_first=True)
        assert names(page) == ["b", "a"]
        assert await ports.archive.page(query, page[-1], 2, newest_first=True) == []


# ---- replays


async def test_a_repeated_replay_writes_nothing_twice(ports: wiring.Ports, owner: Subscription):
    first, second = await arrive(ports, "a", "b")
    now = first.arrived_at
    firings = [a_firing(owner, first), a_firing(owner, second)]
    verdicts = [a_verdict(owner, event, VerdictOutcome.WOKEN) for event in (first, second)]
    assert await ports.archive.write_replayed(firings[:1], verdicts[:1], now) == 1
    assert await ports.archive.write_replayed(firings, verdicts, now) == 1
    assert await ports.archive.write_replayed(firings, verdicts, now) == 0
    async with ports.outbox.claimed(10) as claim:
        keys = [firing.firing_key for firing in claim.firings]
    assert keys == [f"replay/r/{first.id}", f"replay/r/{second.id}"]


async def test_a_run_of_a_replay_sees_its_events(ports: wiring.Ports, owner: Subscription):
    first, second = await arrive(ports, "a", "b")
    await ports.archive.write_replayed(
        [a_firing(owner, first, second)],
        [a_verdict(owner, event, VerdictOutcome.WOKEN) for event in (first, second)],
        first.arrived_at,
    )
    async with ports.outbox.claimed(10) as claim:
        facts = await ports.runs.admission_input(claim.firings[0])
    assert facts is not None
    assert [event["id"] for event in facts.events] == ["a", "b"]


async def test_a_new_verdict_replaces_an_earlier_one_unless_that_is_woken(
    ports: wiring.Ports, owner: Subscription
):
    (event,) = await arrive(ports, "a")
    kinds = (VerdictOutcome.ERROR, VerdictOutcome.GATHERED, VerdictOutcome.WOKEN)
    for outcome in (*kinds, VerdictOutcome.SKIPPED):
        await ports.archive.write_replayed([], [a_verdict(owner, event, outcome)], event.arrived_at)
        (kept,) = await ports.events.verdicts([event.id])
        assert kept.outcome is (outcome if outcome in kinds else VerdictOutcome.WOKEN)
    other = a_verdict(owner, event, VerdictOutcome.ERROR, replay="other")
    await ports.archive.write_replayed([], [other], event.arrived_at)
    assert [verdict.replay for verdict in await ports.events.verdicts([event.id])] == ["other", "r"]


async def test_a_refused_firing_writes_one_run_and_one_log_entry(
    ports: wiring.Ports, owner: Subscription
):
    (event,) = await arrive(ports, "a")
    refused = RefusedFiring(
        owner.id,
        "paid",
        "replay/r/refused",
        event.arrived_at,
        (event.id,),
        RunStatus.SKIPPED,
        "excluded",
    )
    for _ in range(2):
        assert await ports.archive.write_replayed([], [], event.arrived_at, [refused]) == 0
    (run,) = await ports.run_lists.runs(Selection())
    assert (run.id, run.status, run.reason) == (refused.run_id, "skipped", "excluded")
    page, _ = await ports.logbook.page(LogFilter((owner.id,)), Cursor(), limit=10)
    assert [entry.message for entry in page] == ["run skipped: excluded"]
    gone = replace(refused, event_ids=(EventId("gone"),), firing_key="replay/r/gone")
    await ports.archive.write_replayed([], [], event.arrived_at, [gone])
    assert len(await ports.run_lists.runs(Selection())) == 1


async def test_a_replay_leaves_out_events_that_were_removed(
    ports: wiring.Ports, owner: Subscription
):
    gone, stays = await arrive(ports, "a", "b")
    await route(ports)
    assert await ports.archive.remove(NOTHING, 1) == 1
    assert await stored_ids(ports) == ["b"]
    verdicts = [a_verdict(owner, event, VerdictOutcome.WOKEN) for event in (gone, stays)]
    firings = [a_firing(owner, gone), a_firing(owner, stays), a_firing(owner, stays, gone, key="x")]
    assert await ports.archive.write_replayed(firings, verdicts, gone.arrived_at) == 1


async def test_only_due_firings_of_the_replay_are_counted_as_waiting(
    ports: wiring.Ports, owner: Subscription
):
    first, second = await arrive(ports, "a", "b")
    later = a_firing(owner, second)
    later = EventFiring(
        owner.id,
        "paid",
        "replay/r/later",
        second.arrived_at,
        (second.id,),
        second.arrived_at + timedelta(days=1),
    )
    verdicts = [a_verdict(owner, event, VerdictOutcome.WOKEN) for event in (first, second)]
    await ports.archive.write_replayed([a_firing(owner, first), later], verdicts, first.arrived_at)
    assert await ports.archive.waiting("replay/r/") == 1
    assert await ports.archive.waiting("replay/rr/") == 0
    async with ports.outbox.claimed(10) as claim:
        await claim.dispatched(claim.firings, second.arrived_at)
    assert await ports.archive.waiting("replay/r/") == 0


# ---- retention


async def test_the_oldest_events_are_removed_first(ports: wiring.Ports):
    for name in "abc":
        await arrive(ports, name)
    await route(ports)
    assert await ports.archive.remove(timedelta(hours=1), 10) == 0
    assert [await ports.archive.remove(NOTHING, 2) for _ in range(3)] == [2, 1, 0]
    assert await stored_ids(ports) == []


async def test_an_event_that_is_not_routed_stays(ports: wiring.Ports):
    await arrive(ports, "a")
    await route(ports)
    await arrive(ports, "b")
    assert await ports.archive.remove(NOTHING, 10) == 1
    assert await stored_ids(ports) == ["b"]


async def test_an_event_stays_until_every_firing_that_has_it_has_started(
    ports: wiring.Ports, owner: Subscription
):
    first, second = await arrive(ports, "a", "b")
    woken = [
        Verdict(event.id, owner.id, "paid", VerdictOutcome.WOKEN, event.arrived_at)
        for event in (first, second)
    ]
    firing = EventFiring(
        owner.id, "paid", first.id, first.arrived_at, (first.id, second.id), first.arrived_at
    )
    await route(ports, firings=(firing,), verdicts=tuple(woken))
    assert await ports.archive.remove(NOTHING, 10) == 0
    async with ports.outbox.claimed(10) as claim:
        await claim.dispatched(claim.firings, first.arrived_at)
    assert await ports.archive.remove(NOTHING, 10) == 2
    assert await ports.events.verdicts([first.id, second.id]) == []


async def test_an_event_stays_while_a_gathering_has_it(ports: wiring.Ports, owner: Subscription):
    (event,) = await arrive(ports, "a")
    key = GatheringKey(owner.id, "paid", "k")
    waiting = (GatheredEvent(event.id, event.arrived_at),)
    gathering = Gathering(key, "form", waiting, event.arrived_at + timedelta(days=1))
    gathered = Verdict(event.id, owner.id, "paid", VerdictOutcome.GATHERED, event.arrived_at)
    await route(ports, gatherings=(gathering,), replaced_verdicts=(gathered,))
    assert await ports.archive.remove(NOTHING, 10) == 0
    await route(ports, emptied=(key,))
    assert await ports.archive.remove(NOTHING, 10) == 1


async def test_a_removed_event_that_comes_again_is_new(ports: wiring.Ports):
    for _ in itertools.repeat(None, 2):
        await arrive(ports, "a")
        await route(ports)
        assert await ports.archive.remove(NOTHING, 10) == 1


async def test_a_firing_is_removed_after_its_event_and_a_resent_event_runs_no_second_time(
    ports: wiring.Ports, owner: Subscription
):
    (event,) = await arrive(ports, "a")
    now = event.arrived_at
    firing = EventFiring(owner.id, "paid", event.id, now, (event.id,), now)
    woken = Verdict(event.id, owner.id, "paid", VerdictOutcome.WOKEN, now)
    for opening, added in ((OpenResult.OPENED, 1), (OpenResult.TAKEN, 1)):
        await route(ports, firings=(firing,), verdicts=(woken,))
        async with ports.outbox.claimed(10) as claim:
            assert len(claim.firings) == added
            await claim.dispatched(claim.firings, now)
        facts = await ports.runs.admission_input(claim.firings[0])
        assert facts is not None
        ended = replace(
            new_run(claim.firings[0], facts, now), status=RunStatus.SUCCEEDED, ended_at=now
        )
        assert await ports.runs.open("workflow", RunChange(ended)) is opening
        assert await ports.outbox.remove(NOTHING, 10) == 0  # its event is still stored
        assert await ports.archive.remove(NOTHING, 10) == 1
        assert await ports.outbox.remove(NOTHING, 10) == 1
        await arrive(ports, "a")
