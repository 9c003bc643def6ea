"""The EventStore port: an event is stored once, recognised again, and found by each of its ids."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.events.emit_note import EmitNote
from activityctl.domain.events.envelope import EventEnvelope, envelope_of, fill
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.domain.values.selection import Selection
from activityctl.errors import ConflictError, NotFoundError

ACCEPTED, DUPLICATE, CONFLICT = EmitOutcome.ACCEPTED, EmitOutcome.DUPLICATE, EmitOutcome.CONFLICT


def event(sender_id: str, source: str = "/shop", **fields: Any) -> EventEnvelope:
    given = {"specversion": "1.0", "id": sender_id, "source": source, "type": "order.paid"}
    return envelope_of({**given, **fields})


async def sender_ids(ports: wiring.Ports, **selection: Any) -> list[str]:
    return [event.document["id"] for event in await ports.events.events(Selection(**selection))]


async def test_an_accepted_event_is_stored_whole(ports: wiring.Ports):
    data = {
        "amount": 2**64 - 1,
        "neg": -(2**63),
        "float": 0.1,
        "large": [1e16, 1e300, 10**16, "1e+16"],
        "ü": [None, True, "𝄞\t"],
        "": {},
        "n": "\\u0000",
    }
    given = event("a", subject="s", time="2026-05-01T12:00:00.123+02:00", tenant="t", data=data)
    assert await ports.events.add([given]) == [ACCEPTED]
    kept = await ports.events.find_event("a")
    assert kept.document == given.document
    assert repr(kept.document["data"]["large"]) == repr(data["large"])
    assert kept.id == given.event_id
    assert kept.routed_at is None
    assert abs(kept.arrived_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_texts_of_events_that_are_added_together_stay_apart(ports: wiring.Ports):
    texts = ["a,b", "\x1f", "\x1e", "", '{"', "\\x1f"]
    given = [
        event(f"{number}", subject="s" if number % 2 else None, data=[text, {text: text}])
        for number, text in enumerate(texts)
    ]
    assert await ports.events.add(given) == [ACCEPTED] * len(texts)
    for number, envelope in enumerate(given):
        kept = await ports.events.find_event(f"{number}")
        assert (kept.document, kept.id) == (envelope.document, envelope.event_id)
    assert await ports.events.add(given) == [DUPLICATE] * len(texts)


async def test_adding_no_events_does_nothing(ports: wiring.Ports):
    assert await ports.events.add([]) == []
    assert await ports.events.events(Selection()) == []


async def test_the_same_again_is_a_duplicate_and_other_content_a_conflict(ports: wiring.Ports):
    assert await ports.events.add([event("a", data=1), event("b")]) == [ACCEPTED, ACCEPTED]
    again = [event("b"), event("a", data=2), event("c"), event("a", data=1)]
    assert await ports.events.add(again) == [DUPLICATE, CONFLICT, ACCEPTED, DUPLICATE]
    assert (await ports.events.find_event("a")).document["data"] == 1
    assert await sender_ids(ports) == ["c", "b", "a"]


async def test_the_same_id_from_two_sources_is_two_events(ports: wiring.Ports):
    assert await ports.events.add([event("a", "/x"), event("a", "/y")]) == [ACCEPTED, ACCEPTED]


async def test_the_first_event_of_an_id_in_a_call_is_stored(ports: wiring.Ports):
    given = [event("a", data=1), event("a", data=2), event("a", data=1)]
    assert await ports.events.add(given) == [ACCEPTED, CONFLICT, DUPLICATE]
    assert await ports.events.add(given[1:]) == [CONFLICT, DUPLICATE]
    assert await sender_ids(ports) == ["a"]


@pytest.mark.parametrize("is_repeated", [False, True])
async def test_the_audit_says_how_many_events_of_a_call_had_each_outcome(
    ports: wiring.Ports,
    is_repeated: bool,  # noqa: FBT001 - a parameter of the test
):
    await ports.events.add([event("a", data=1), event("b")])
    given = [event("a", data=2), event("b"), *(event(f"new-{number}") for number in range(3))]
    given += [event("new-0"), event("a", data=1)] if is_repeated else []
    entry = AuditEntry("e", datetime.now(UTC), "me", "emit", "", "done", request_id="r")
    outcomes = await ports.events.add(given, EmitNote(entry, invalid=4))
    counts = {"accepted": 3, "duplicate": 1 + 2 * is_repeated, "conflict": 1, "invalid": 4}
    assert Counter(outcomes) == Counter({**counts, "invalid": 0})
    assert await sender_ids(ports) == ["new-2", "new-1", "new-0", "b", "a"]
    (kept,) = await ports.audit.entries(Selection())
    assert (kept.id, kept.actor, kept.request_id, dict(kept.details)) == ("e", "me", "r", counts)


async def test_a_time_that_was_added_causes_no_conflict(ports: wiring.Ports):
    def at(second: int) -> EventEnvelope:
        moment = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
        value = {"id": "a", "source": "/shop", "type": "t"}
        return envelope_of(*fill(value, moment, lambda: "never"))

    assert await ports.events.add([at(1), at(2)]) == [ACCEPTED, DUPLICATE]
    assert (await ports.events.find_event("a")).document["time"] == "2026-01-01T00:00:01Z"


async def test_positions_follow_the_given_order(ports: wiring.Ports):
    given = [event(f"e{number}") for number in range(200)]
    await ports.events.add(given)
    await ports.events.add([event("last")])
    found = await ports.events.events(Selection(limit=1_000))
    assert [event.document["id"] for event in found] == [
        "last",
        *(event.id for event in reversed(given)),
    ]
    assert [event.position for event in found] == sorted(
        (event.position for event in found), reverse=True
    )
    assert await sender_ids(ports, limit=2) == ["last", "e199"]


async def test_concurrent_senders_of_the_same_events_store_each_once(ports: wiring.Ports):
    given = [event(f"e{number}") for number in range(50)]
    orders = [given, given[::-1], given[25:] + given[:25]]
    found = await asyncio.gather(
        *(ports.events.add(orders[number % 3]) for number in range(20))  # the pool has 6
    )
    counted = Counter(outcome for outcomes in found for outcome in outcomes)
    assert counted == {ACCEPTED: 50, DUPLICATE: 50 * 19}
    assert len(await sender_ids(ports, limit=1_000)) == 50


async def test_senders_with_opposite_orders_do_not_deadlock(ports: wiring.Ports):
    for round_ in range(3):
        given = [event(f"{round_}-{number}") for number in range(1_000)]
        orders = (given, given[::-1], given, given[::-1])
        found = await asyncio.gather(*(ports.events.add(order) for order in orders))
        counted = Counter(outcome for outcomes in found for outcome in outcomes)
        assert counted == {ACCEPTED: 1_000, DUPLICATE: 3_000}


async def test_of_concurrent_events_with_one_id_exactly_one_is_accepted(ports: wiring.Ports):
    found = await asyncio.gather(*(ports.events.add([event("a", data=n)]) for n in range(20)))
    assert Counter(outcome for (outcome,) in found) == {ACCEPTED: 1, CONFLICT: 19}
    (winner,) = [number for number, outcomes in enumerate(found) if outcomes == [ACCEPTED]]
    assert (await ports.events.find_event("a")).document["data"] == winner


async def test_only_new_events_wake_the_router(ports: wiring.Ports):
    async with ports.signals.listening("activityctl_work") as payloads:
        for given in ([event("a")], [event("a")], [event("b"), event("a")]):
            await ports.events.add(given)
        heard = []
        async for payload in payloads:
            if not payload:
                break
            heard.append(payload)
    assert heard == ["event", "event"]


async def test_an_event_is_found_by_each_of_its_ids(ports: wiring.Ports):
    first, second = event("order-1"), event("order-2")
    await ports.events.add([first, second])
    whole = event("order")
    await ports.events.add([whole])
    assert (await ports.events.find_event("order")).id == whole.event_id
    for reference in ("order-1", first.event_id, first.event_id[:13]):
        assert (await ports.events.find_event(reference)).id == first.event_id


async def test_an_event_is_found_by_a_prefix_of_the_senders_id(ports: wiring.Ports):
    first, second = event("e9129f7b-4cde"), event("e9_29f7b-0000")
    await ports.events.add([first, second])
    for reference, found in (("e9129f7b", first), ("e9_", second), ("e9129f7b-4cd", first)):
        assert (await ports.events.find_event(reference)).id == found.event_id


async def test_a_prefix_of_several_ids_is_a_conflict_that_lists_them(ports: wiring.Ports):
    few = [event("order-1"), event("order-2")]
    await ports.events.add([*few, *(event(f"many-{number}") for number in range(9))])
    with pytest.raises(ConflictError) as conflict:
        await ports.events.find_event("order")
    for candidate in few:
        assert f"{candidate.id} (uid {candidate.event_id[:8]})" in conflict.value.message
    with pytest.raises(ConflictError, match=r"many-.* and more"):
        await ports.events.find_event("many")


@pytest.mark.parametrize("reference", ["", "rder-1", "%", "ffffffff", "ord_r-1", "\0"])
async def test_an_unknown_reference_is_not_found(ports: wiring.Ports, reference: str):
    await ports.events.add([event("order-1")])
    with pytest.raises(NotFoundError):
        await ports.events.find_event(reference)


async def test_a_senders_id_of_several_events_is_a_conflict(ports: wiring.Ports):
    first = event("a", "/x")
    taken = event(first.event_id, "/impostor")
    await ports.events.add([first, event("a", "/y"), taken])
    with pytest.raises(ConflictError):
        await ports.events.find_event("a")
    assert (await ports.events.find_event(first.event_id)).id == first.event_id


async def test_events_are_listed_by_age_and_by_whether_they_wait(ports: wiring.Ports):
    await ports.events.add([event("a")])
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await sender_ids(ports, since=later) == []
    assert await sender_ids(ports, since=later - timedelta(hours=2)) == ["a"]
    assert await sender_ids(ports, statuses=("waiting",)) == ["a"]
    assert await sender_ids(ports, statuses=("routed",)) == []
    assert await sender_ids(ports, run_id="none") == []
    assert await sender_ids(ports, subscription_id="none") == []


async def listed(ports: wiring.Ports, **selection: Any) -> list[str]:
    return sorted(await sender_ids(ports, **selection))


async def test_events_are_listed_by_type_and_source_with_patterns(ports: wiring.Ports):
    kinds = ("order.paid", "order.created", "a_b", "axb", "50%", "500")
    await ports.events.add([event(str(nr), type=kind) for nr, kind in enumerate(kinds)])
    await ports.events.add([event("other", source="/other", type="order.paid")])
    assert await listed(ports, types=("order.paid",)) == ["0", "other"]
    assert await listed(ports, types=("order.*", "a_b")) == ["0", "1", "2", "other"]
    assert await listed(ports, types=("*%",)) == ["4"]
    assert await listed(ports, types=("Order.paid",)) == []
    assert await listed(ports, types=("*",), sources=("/oth*",)) == ["other"]


async def test_events_are_listed_up_to_a_moment(ports: wiring.Ports):
    await ports.events.add([event("a")])
    (kept,) = await ports.events.events(Selection())
    assert await listed(ports, until=kept.arrived_at) == []
    assert await listed(ports, until=kept.arrived_at + timedelta(seconds=1)) == ["a"]


async def test_unrouted_returns_the_waiting_events_among_the_given(ports: wiring.Ports):
    first, second = event("a"), event("b")
    await ports.events.add([first, second])
    assert await ports.events.unrouted([first.event_id, "none"]) == [first.event_id]
    assert await ports.events.verdicts([first.event_id]) == []


async def test_a_senders_id_takes_precedence_over_a_prefix_of_our_id(ports: wiring.Ports):
    other = event("other")
    short = event(other.event_id[:1])
    await ports.events.add([other, short])
    assert (await ports.events.find_event(other.event_id[:1])).id == short.event_id
