"""Fixtures: a Temporal server for each test file, configured as the product does it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activityctl.adapters.temporal.client import connect
from activityctl.daemon.local.embedded_temporal import DYNAMIC_CONFIG, find_binary
from activityctl.settings import Settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncIterator[str]:
    keys = [("--dynamic-config-value", f"{key}={value}") for key, value in DYNAMIC_CONFIG.items()]
    server = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(find_binary()),
        dev_server_extra_args=[part for pair in keys for part in pair],
    )
    async with server:
        yield server.client.service_client.config.target_host


@pytest.fixture
async def client(address: str, tmp_path: Path) -> Client:
    return await connect(Settings(home=tmp_path, temporal_address=address))
