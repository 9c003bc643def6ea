"""The readings of chains: they move only from where they are, and their events go with them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest_asyncio

from activityctl import wiring
from activityctl.domain.chain.chain_log import ChainLog
from activityctl.domain.chain.log_event import log_event
from activityctl.domain.chain.reading import Reading, plan_readings
from activityctl.domain.chain.trigger import REMOVED_TYPE
from activityctl.domain.values.log import Cursor, LogFilter
from activityctl.domain.values.selection import Selection
from activityctl.operations.looking.chains import chain_notes
from activityctl.operations.looking.get import ObjectViews
from activityctl.ports import NodeState

ADDRESS, WORD = "0x" + "22" * 20, "0x" + "11" * 32
CHAIN: Mapping[str, Any] = {"chainId": 7, "address": ADDRESS, "confirmations": 2}


def a_log(block: int) -> ChainLog:
    return ChainLog(ADDRESS, (WORD,), "0x", block, f"0x{block:064x}", WORD, 0, 3)


@pytest_asyncio.fixture(loop_scope="session")
async def begun(ports: wiring.Ports, apply, define, subscribe) -> Reading:
    """Apply a chain trigger, and begin it at block 100; return its lane."""
    triggers = [{"name": "t", "chain": CHAIN}, {"name": "daily", "cron": {"schedule": "@daily"}}]
    await apply(define("digest", triggers=triggers), subscribe("mine"))
    await ports.chains.note(7, 100, None, [NodeState("one.example"), NodeState("two", "slow")])
    state = await ports.chains.state()
    changes = plan_readings(state.wanted, state.watches.values(), state.readings, state.heads)
    await ports.chains.change(changes)
    (reading,) = (await ports.chains.state()).readings
    return reading


async def route(ports: wiring.Ports) -> None:
    from activityctl.daemon.worker.router import Router

    await Router(ports.events, lambda: None).route()


async def test_one_worker_watches(ports: wiring.Ports):
    async with ports.chains.watching() as first, ports.chains.watching() as second:
        assert (first, second) == (True, False)
    async with ports.chains.watching() as again:
        assert again


async def test_a_reading_moves_with_its_events_and_only_from_where_it_is(
    ports: wiring.Ports, begun: Reading
):
    event = log_event(7, begun.id, None, a_log(101), 1_700_000_000)
    after = replace(begun, number=101, hash="0xa")
    assert await ports.chains.advance(begun, after, [(101, "0xa")], [event])
    assert not await ports.chains.advance(begun, after, [(101, "0xb")], [])
    assert (await ports.chains.state()).readings == (after,)
    assert await ports.chains.blocks(begun.id) == [(101, "0xa")]
    later = replace(after, number=101 + 600, hash="0xc")
    assert await ports.chains.advance(after, later, [(701, "0xc")], [event])
    assert await ports.chains.blocks(begun.id) == [(701, "0xc")], "older ones are forgotten"
    assert len(await ports.events.events(Selection(limit=10))) == 1


async def test_logs_of_blocks_that_are_gone_are_taken_back(ports: wiring.Ports, begun: Reading):
    events = [log_event(7, begun.id, None, a_log(n), 1_700_000_000) for n in (101, 102)]
    blocks = [(n, f"0x{n:064x}") for n in (101, 102)]
    after = replace(begun, number=102, hash=blocks[1][1])
    assert await ports.chains.advance(begun, after, blocks, events)
    await route(ports)
    back = replace(begun, number=101, hash=blocks[0][1])
    assert await ports.chains.rewind(begun, back, [blocks[1][1]]) == 0, "it is elsewhere"
    assert await ports.chains.rewind(after, back, [blocks[1][1]]) == 1
    assert await ports.chains.blocks(begun.id) == [blocks[0]]
    (gone, *_) = await ports.events.events(Selection(limit=10))
    assert gone.document["type"] == REMOVED_TYPE
    assert gone.document["data"]["blockNumber"] == 102
    mine = await ports.catalog.find_subscription("mine")
    entries, _ = await ports.logbook.page(LogFilter((mine.id,)), Cursor(), limit=10)
    assert [entry.message for entry in entries if entry.level == "warning"] == [
        f"log 3 of transaction {WORD} is no longer in chain 7: block 102 was replaced"
    ]


async def test_a_trigger_that_ends_keeps_no_reading(ports: wiring.Ports, begun: Reading, remove):
    assert (await ports.chains.state()).readings == (begun,)
    await remove("mine")
    state = await ports.chains.state()
    assert state.wanted == {}
    changes = plan_readings(state.wanted, state.watches.values(), state.readings, state.heads)
    await ports.chains.change(changes)
    state = await ports.chains.state()
    assert (state.watches, state.readings) == ({}, ())
    assert await ports.chains.summary() == []


async def test_chains_are_listed_with_nodes_readings_and_filters(
    ports: wiring.Ports, begun: Reading
):
    views = ObjectViews(ports)
    assert await ports.chains.advance(begun, replace(begun, number=104, hash="0xa"), [], [])
    await ports.chains.note(7, 110, None, [NodeState("one.example"), NodeState("two", "slow")])
    (view,) = (await views.page("chains", None, Selection(limit=None))).views
    mine = await ports.catalog.find_subscription("mine")
    assert view["filters"] == [
        {
            "subscription": "mine",
            "subscriptionId": mine.id,
            "trigger": "t",
            "address": [ADDRESS],
            "topics": [],
            "event": None,
            "confirmations": 2,
            "fromBlock": "latest",
            "after": 100,
            "scan": None,
        }
    ]
    assert view["nodes"] == [
        {"name": "one.example", "fault": None},
        {"name": "two", "fault": "slow"},
    ]
    known = {name: view[name] for name in ("chainId", "triggers", "head", "block", "behind")}
    assert known == {"chainId": 7, "triggers": 1, "head": 110, "block": 104, "behind": 4}
    assert (view["error"], view["failingSince"]) == (None, None)
    assert await views.named("chains", "7", Selection(limit=None)) == [view]
    (note,) = await chain_notes(ports.chains, mine.id)
    read = "read up to block 104, 4 blocks to go"
    assert note == f"trigger t fires by logs of chain 7, after 2 confirmations; {read}"
    await ports.chains.note(7, None, "no node answers", [])
    (view,) = (await views.page("chains", None, Selection(limit=None))).views
    assert (view["error"], view["head"]) == ("no node answers", 110)
    assert view["failingSince"] is not None
    (note,) = await chain_notes(ports.chains, mine.id)
    assert note.endswith("the chain cannot be read: no node answers")
