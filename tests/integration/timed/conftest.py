"""Time on the real servers: a subscription of each test's own, and a worker."""

from collections.abc import AsyncIterator

import pytest

from activityctl import wiring
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.settings import Settings
from support.timed import House
from support.worker import working


@pytest.fixture
async def house(
    ports: wiring.Ports, settings: Settings, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """A subscription of the test's own; its schedules are gone when the test is."""
    name = f"time-{ids.content_hash(request.node.name)[:12]}"
    house = House(ports, await wiring.connect_temporal(settings), name)
    yield house
    for schedule in await ports.register.schedules(Selection()):
        await wiring.build_schedule_client(house.client).delete(schedule.wanted.id)


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    async with working(settings):
        yield
