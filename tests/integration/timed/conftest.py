"""Timing on real servers: a subscription for each test, and a worker."""

from collections.abc import AsyncIterator

import pytest

from activityctl import wiring
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.settings import Settings
from support.timed import RunHarness
from support.worker import working


@pytest.fixture
async def harness(
    ports: wiring.Ports, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[RunHarness]:
    """A subscription named after the test; its alarms are deleted at the end."""
    name = f"time-{ids.content_hash(request.node.name)[:12]}"
    harness = RunHarness(ports, await wiring.connect_temporal(settings), name)
    yield harness
    for schedule in await ports.register.schedules(Selection()):
        await wiring.build_schedule_client(harness.client).delete(schedule.wanted.alarm_id)


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    async with working(settings):
        yield
