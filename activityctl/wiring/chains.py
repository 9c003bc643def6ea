"""Opens the nodes of EVM chains."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from activityctl.ports import Chains, SecretReader
from activityctl.settings import Settings


@asynccontextmanager
async def open_chains(settings: Settings, secrets: SecretReader) -> AsyncIterator[Chains]:
    """Return the chains whose nodes the secrets name; close all connections at exit."""
    from activityctl.adapters.chain.access import SecretChains

    chains = SecretChains(secrets, allow_http=settings.allow_http)
    try:
        yield chains
    finally:
        await chains.close()
