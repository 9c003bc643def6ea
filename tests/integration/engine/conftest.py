"""The run engine with a real worker, Postgres, Temporal and commands."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest

from activityctl import wiring
from activityctl.daemon.worker import background
from activityctl.operations.runs import recover
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


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker find lost workflows within a second or two."""
    monkeypatch.setattr(background, "_RECOVER_EVERY", 0.5)
    monkeypatch.setattr(recover, "OLDER_THAN", timedelta(seconds=1))
    monkeypatch.setitem(
        recover.Recovery.carry_on.__kwdefaults__, "older_than", timedelta(seconds=1)
    )
