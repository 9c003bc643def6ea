"""The Workers port: who beats is alive, who left or fell silent is not."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from activityctl import wiring
from activityctl.domain.worker import WorkerBeat


@pytest.fixture
def one(now: datetime) -> WorkerBeat:
    return WorkerBeat("one", "host", 42, "1.0", now, now)


async def test_a_worker_that_beats_is_alive(ports: wiring.Ports, one: WorkerBeat, now: datetime):
    two = replace(one, id="two", started_at=now - timedelta(hours=1))
    await ports.workers.beat(one)
    await ports.workers.beat(two)
    assert await ports.workers.alive(now) == [two, one]
    assert await ports.workers.alive(now + timedelta(seconds=1)) == []


async def test_the_last_beat_counts(ports: wiring.Ports, one: WorkerBeat, now: datetime):
    later = now + timedelta(seconds=30)
    await ports.workers.beat(one)
    await ports.workers.beat(replace(one, seen_at=later))
    assert await ports.workers.alive(later) == [replace(one, seen_at=later)]


async def test_a_worker_that_left_is_gone(ports: wiring.Ports, one: WorkerBeat, now: datetime):
    await ports.workers.beat(one)
    await ports.workers.leave("one")
    await ports.workers.leave("one")
    assert await ports.workers.alive(now - timedelta(days=9)) == []


async def test_a_worker_silent_for_a_day_is_forgotten(
    ports: wiring.Ports, one: WorkerBeat, now: datetime
):
    await ports.workers.beat(one)
    two = replace(one, id="two", seen_at=now + timedelta(days=1, seconds=1))
    await ports.workers.beat(two)
    assert await ports.workers.alive(now - timedelta(days=9)) == [two]


async def test_a_worker_that_slept_for_days_lives_again(
    ports: wiring.Ports, one: WorkerBeat, now: datetime
):
    await ports.workers.beat(one)
    awake = replace(one, seen_at=now + timedelta(days=3))
    await ports.workers.beat(awake)
    assert await ports.workers.alive(awake.seen_at) == [awake]
