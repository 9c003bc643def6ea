import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.chain.chain_log import ChainLog
from activityctl.domain.chain.reading import Reading, ReadingTriggers, Watch, plan_readings
from activityctl.domain.chain.trigger import ChainTrigger

CONTRACT = "0x" + "22" * 20
TRANSFER = "event Transfer(address indexed from, address indexed to, uint256 value)"
MINE, OTHER = ("sub", "mine"), ("sub", "other")


def a_trigger(**fields) -> ChainTrigger:
    body = {"chainId": 7, "address": CONTRACT, "confirmations": 0, **fields}
    return ChainTrigger.model_validate_json(json.dumps(body))


def applied(wanted, watches=(), readings=(), heads=None):
    """Return the watches and readings after the changes, and check that nothing is left to do."""
    heads = {7: 100} if heads is None else heads
    changes = plan_readings(wanted, watches, readings, heads)
    kept = {watch.key: watch for watch in watches if watch.key not in changes.ended_watches}
    kept |= {watch.key: watch for watch in changes.watches}
    rows = {each.id: each for each in readings if each.id not in changes.ended_readings}
    rows |= {each.id: each for each in changes.readings if each.id not in rows}
    assert not plan_readings(wanted, kept.values(), rows.values(), heads)
    return kept, rows


def test_a_new_trigger_begins_after_the_present_height():
    watches, readings = applied({MINE: a_trigger()})
    assert watches == {MINE: Watch(*MINE, 7, 0, None, after=100)}
    assert readings == {"7/0": Reading("7/0", 7, 0, 100)}


def test_blocks_of_the_past_are_read_by_a_scan_that_triggers_share():
    wanted = {MINE: a_trigger(fromBlock=40), OTHER: a_trigger(fromBlock=40)}
    watches, readings = applied(wanted)
    assert {watch.scan for watch in watches.values()} == {"7/0/40-100"}
    scan = readings["7/0/40-100"]
    assert (scan.number, scan.until, scan.target(100)) == (39, 100, 100)
    done = [replace(scan, number=100), readings["7/0"]]
    assert set(applied(wanted, watches.values(), done)[1]) == {"7/0"}


def test_nothing_begins_while_the_height_is_not_known():
    assert not plan_readings({MINE: a_trigger()}, (), (), {})


def test_a_trigger_with_more_or_fewer_confirmations_goes_on_where_it_was():
    watches, readings = applied({MINE: a_trigger(confirmations=12)})
    lane = replace(readings["7/12"], number=95)
    watches, readings = applied({MINE: a_trigger()}, watches.values(), [lane], {7: 120})
    assert readings == {
        "7/0": Reading("7/0", 7, 0, 120),
        "7/0/101-120": Reading("7/0/101-120", 7, 0, 100, until=120),
    }
    assert watches[MINE].after == 120


def test_another_first_block_begins_anew_and_a_trigger_that_is_gone_ends():
    watches, readings = applied({MINE: a_trigger(), OTHER: a_trigger()})
    wanted = {MINE: a_trigger(fromBlock=90)}
    watches, readings = applied(wanted, watches.values(), readings.values(), {7: 120})
    assert watches == {MINE: Watch(*MINE, 7, 0, 90, after=120, scan="7/0/90-120")}
    assert applied({}, watches.values(), readings.values()) == ({}, {})


@given(st.integers(0, 300), st.integers(0, 40), st.integers(0, 300))
def test_every_block_from_the_first_one_on_is_read_exactly_once(first, confirmations, head):
    """The scan and the lane together cover what the trigger wants, without a gap or an overlap."""
    trigger = a_trigger(fromBlock=first, confirmations=confirmations)
    watches, readings = applied({MINE: trigger}, heads={7: head})
    watch = watches[MINE]
    lane = {block for block in range(readings[trigger.lane].number + 1, 400) if block > watch.after}
    scan = readings.get(watch.scan)
    scanned = set() if scan is None else set(range(scan.number + 1, scan.until + 1))
    assert not lane & scanned
    assert lane | scanned == set(range(first, 400))


def test_one_log_makes_an_event_for_each_declaration_of_matching_triggers():
    topic = a_trigger(abi=TRANSFER).signature.topic
    word = "0x" + "00" * 31 + "05"
    log = ChainLog(CONTRACT, (topic, word, word), word, 9, word, word, 0, 4)
    wanted = {
        ("sub", str(number)): trigger
        for number, trigger in enumerate(
            [
                a_trigger(),
                a_trigger(abi=TRANSFER),
                a_trigger(abi=TRANSFER, topics=[None, word]),
                a_trigger(abi="Transfer(address indexed src, address indexed dst, uint wad)"),
                a_trigger(abi="Transfer(address indexed a, address b, uint256 indexed c)"),
                a_trigger(abi=TRANSFER, confirmations=3),
                a_trigger(address="0x" + "33" * 20),
            ]
        )
    }
    watches, readings = applied(wanted)
    events = ReadingTriggers(readings["7/0"], wanted, watches).events(log, 1_700_000_000)
    names = [set(event.data.get("args", ())) for event in events]
    assert names == [set(), {"from", "to", "value"}, {"src", "dst", "wad"}, {"a", "b", "c"}]
    assert len({event.event_id for event in events}) == 4
