"""Drift on the shared Temporal: a subscription of each test's own."""

from collections.abc import AsyncIterator

import pytest

from activityctl import wiring
from activityctl.domain.values import ids
from activityctl.settings import Settings
from support.drifting import House


@pytest.fixture
async def house(
    ports: wiring.Ports, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """A subscription named after the test; its schedules are gone when the test is."""
    name = f"drift-{ids.content_hash(request.node.name)[:12]}"
    house = House(ports, await wiring.connect_temporal(settings), name)
    yield house
    async for one in await house.client.list_schedules():
        if ids.subscription_id(name) in one.id:
            await house.client.get_schedule_handle(one.id).delete()
