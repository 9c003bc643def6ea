"""The Workers port: workers with a recent heartbeat are alive, by Postgres' clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.runs.worker import LoopTrouble, WorkerBeat
from activityctl.operations.looking.overview import WorkerTrouble, troubles_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
ONE = WorkerBeat("one", "host", 42, "1.0", NOON)
TWO = replace(ONE, id="two", started_at=NOON - HOUR)


async def test_a_worker_is_alive_for_ten_seconds_after_its_heartbeat(ledger: Any) -> None:
    await ledger.ports.workers.beat(ONE)
    await ledger.ports.workers.beat(TWO)
    await ledger.at(NOON + 10 * SECOND)
    assert await ledger.ports.workers.alive() == [TWO, ONE]
    await ledger.at(NOON + 10.001 * SECOND)
    assert await ledger.ports.workers.alive() == []
    assert await ledger.ports.workers.alive(timedelta(seconds=11)) == [TWO, ONE]
    await ledger.at(NOON - HOUR)  # the clock of Postgres was set back; the workers were killed
    assert await ledger.ports.workers.alive() == []
    assert (await ledger.ports.metrics.snapshot()).workers == 0


@pytest.mark.parametrize("off", [-HOUR, -11 * SECOND, 11 * SECOND, HOUR])
async def test_the_clock_of_a_worker_does_not_matter(ledger: Any, off: timedelta) -> None:
    """Nor does the reader's clock: that of this machine is years from the ledger's clock."""
    await ledger.ports.workers.beat(replace(ONE, started_at=NOON + off))
    assert len(await ledger.ports.workers.alive()) == 1
    assert (await ledger.ports.metrics.snapshot()).workers == 1
    await ledger.at(NOON + 11 * SECOND)
    assert await ledger.ports.workers.alive() == []
    assert (await ledger.ports.metrics.snapshot()).workers == 0


async def test_the_last_heartbeat_counts(ledger: Any) -> None:
    for seconds in (0, 30):
        await ledger.at(NOON + seconds * SECOND)
        await ledger.ports.workers.beat(ONE)
    assert await ledger.ports.workers.alive(timedelta(0)) == [ONE]


async def test_a_worker_that_left_is_not_alive(ledger: Any) -> None:
    await ledger.ports.workers.beat(ONE)
    await ledger.ports.workers.leave("one")
    await ledger.ports.workers.leave("one")
    assert await ledger.ports.workers.alive(9 * DAY) == []


async def test_a_worker_without_heartbeat_for_a_day_is_removed(ledger: Any) -> None:
    await ledger.ports.workers.beat(ONE)
    await ledger.at(NOON + DAY + SECOND)
    await ledger.ports.workers.beat(TWO)
    assert await ledger.ports.workers.alive(9 * DAY) == [TWO]


async def test_a_worker_that_slept_for_days_is_alive_after_a_heartbeat(ledger: Any) -> None:
    await ledger.ports.workers.beat(ONE)
    await ledger.at(NOON + 3 * DAY)
    await ledger.ports.workers.beat(ONE)
    assert await ledger.ports.workers.alive() == [ONE]


async def test_the_loops_that_fail_are_those_of_the_last_beat(ledger: Any) -> None:
    workers = ledger.ports.workers
    trouble = LoopTrouble("router", NOON, 3, "it broke")
    await workers.beat(replace(ONE, troubles=(trouble,)))
    (alive,) = await workers.alive()
    assert alive.troubles == (trouble,)
    found = await troubles_of(workers)
    assert found == (WorkerTrouble("host pid 42", trouble),)
    await workers.beat(ONE)
    assert await troubles_of(workers) == ()
