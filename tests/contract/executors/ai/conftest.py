"""Fixtures of the `ai` executor's tests: an executor that may call local servers."""

from importlib import import_module

import pytest
import pytest_asyncio

from activityctl.domain.values.destination import DestinationPolicy
from activityctl.executors.ai import AiExecutor
from activityctl.executors.destination import GuardedTransport
from activityctl.executors.models import MODULES
from support.http_server import LOOPBACK


@pytest.fixture(scope="module", autouse=True)
def _loaded_clients():
    for _, module in MODULES.values():  # on a busy machine this takes as long as a test may
        import_module(module)


@pytest_asyncio.fixture(loop_scope="session")
async def executor():
    made = AiExecutor(GuardedTransport(DestinationPolicy(True, LOOPBACK, frozenset())))
    yield made
    await made.close()
