"""The run engine with a real worker, Postgres, Temporal and commands."""

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network

import pytest

from activityctl import wiring
from activityctl.settings import Settings
from support.engine import Engine
from support.worker import working


@pytest.fixture
def engine(ports: wiring.Ports) -> Engine:
    return Engine(ports)


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[None]:
    loopback = (ip_network("127.0.0.0/8"),)
    async with working(replace(settings, allowed_networks=loopback)):
        yield
