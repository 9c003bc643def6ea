"""The fixture of the HTTP executor's tests: an executor that may call local servers."""

import pytest_asyncio

from activityctl.executors.http import HttpExecutor
from activityctl.executors.http_client import HttpClient
from support.http_server import LOOPBACK


@pytest_asyncio.fixture(loop_scope="session")
async def executor():
    made = HttpExecutor(HttpClient(allow_http=True, allowed_networks=LOOPBACK))
    yield made
    await made.close()
