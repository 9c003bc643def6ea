"""The watcher on the session's chain and the test's database."""

from collections.abc import AsyncIterator

import pytest

from activityctl import wiring
from support.anvil import Anvil
from support.chain_watch import Watched


@pytest.fixture
async def watched(ports: wiring.Ports, chain: Anvil) -> AsyncIterator[Watched]:
    """The watcher, with the real node."""
    made = Watched(ports, chain.url)
    yield made
    await made.stack.aclose()
