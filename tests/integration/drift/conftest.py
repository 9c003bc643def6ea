"""Drift on the shared Temporal: a subscription for each test."""

from collections.abc import AsyncIterator

import pytest

from activityctl import wiring
from activityctl.domain.values import ids
from activityctl.settings import Settings
from support.drifting import ScheduleHarness


@pytest.fixture
async def harness(
    ports: wiring.Ports, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[ScheduleHarness]:
    """A subscription named after the test; all alarms are deleted at the end."""
    name = f"drift-{ids.content_hash(request.node.name)[:12]}"
    harness = ScheduleHarness(ports, await wiring.connect_temporal(settings), name)
    yield harness
    async for schedule in await harness.client.list_schedules():
        if schedule.id.startswith("alarm/"):
            await harness.client.get_schedule_handle(schedule.id).delete()
