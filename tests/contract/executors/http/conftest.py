"""The fixture of the HTTP executor's tests: an executor that may call local servers."""

import pytest

from activityctl.executors.http import HttpExecutor
from activityctl.executors.http_client import HttpClient
from support.http_server import LOOPBACK


@pytest.fixture
async def executor():
    made = HttpExecutor(HttpClient(allow_http=True, allowed_networks=LOOPBACK))
    yield made
    await made.close()
