"""The Timetable port: with many callers at once each nominal time is decided exactly once."""

import asyncio
import random
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GAP = 39 * SECOND
"""How long nobody asks, in the middle: longer than the grace of a misfire."""
TIMES = 49


def every_second(policy: str) -> dict[str, Any]:
    return {"every": "1s", "misfire": {"policy": policy, "window": "1h"}}


def calls(ledger: Any, chance: random.Random) -> list[Awaitable[Any]]:
    """Return calls of alarms, wake-ups, dispatchers and people, for times around now."""
    now = ledger.now.replace(microsecond=0)
    recent = [now + number * SECOND for number in range(-5, 2)]
    asked = [chance.choice(recent) for _ in range(chance.randint(1, 6))]
    found: list[Awaitable[Any]] = [
        ledger.process_wake_up(nominal) if chance.random() < 0.3 else ledger.process_alarm(nominal)
        for nominal in asked
    ]
    if chance.random() < 0.5:
        found.append(ledger.dispatch())
    if chance.random() < 0.3:
        policy = chance.choice(["skip", "fire_once", "fire_all"])
        found.append(ledger.apply(body=every_second(policy)))
    if chance.random() < 0.2:
        found.append(pause_for_a_moment(ledger))
    chance.shuffle(found)
    return found


async def pause_for_a_moment(ledger: Any) -> None:
    await ledger.pause()
    await ledger.resume(catch_up=True)


@pytest.mark.parametrize("seed", range(4))
async def test_no_time_is_lost_or_decided_twice(ledger: Any, seed: int) -> None:
    chance = random.Random(seed)
    await ledger.apply(body=every_second("fire_all"))
    end, has_waited = NOON + TIMES * SECOND + GAP, False
    while ledger.now < end:
        step = timedelta(milliseconds=chance.randint(100, 4_000))
        if not has_waited and ledger.now > NOON + 20 * SECOND:
            step, has_waited = GAP, True
        await ledger.at(min(ledger.now + step, end))
        await asyncio.gather(*calls(ledger, chance))
    await ledger.process_alarm(end)
    wanted = set(ledger.due("interval", every_second("skip"), NOON))
    # What an alarm ahead of Postgres' clock decided starts by the time of that alarm.
    await ledger.at(end + 2 * SECOND)
    await ledger.dispatch()
    # Several callers may start a firing: they have one run, which is opened once.
    ledger.started = list({firing.run_id: firing for firing in ledger.started}.values())
    outcomes = [nominal for nominal in await ledger.outcomes() if nominal <= end]
    assert (wanted - set(outcomes), set(outcomes) - wanted) == (set(), set())
    assert len(wanted) == TIMES + GAP // SECOND
