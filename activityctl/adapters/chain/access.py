"""Opens the nodes of chains; the secret `chain-<id>` of this machine has their URLs."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from activityctl.adapters.chain.nodes import open_nodes
from activityctl.domain.chain.rpc_url import read_urls, secret_name
from activityctl.errors import InvalidInputError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import ChainNodes, SecretReader

READ_EVERY: Final = 1.0
"""Seconds after which the secret is read again, in case it was changed."""


@frozen_dataclass
class _Opened:
    urls: tuple[str, ...]
    nodes: ChainNodes
    stack: AsyncExitStack
    read_at: float


class SecretChains:
    """Implements Chains."""

    def __init__(
        self,
        secrets: SecretReader,
        *,
        allow_http: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets = secrets
        self._allow_http = allow_http
        self._clock = clock
        self._opened: dict[int, _Opened] = {}

    async def nodes(self, chain_id: int) -> ChainNodes:
        """Return the nodes of the chain."""
        opened, now = self._opened.get(chain_id), self._clock()
        if opened is not None and now - opened.read_at < READ_EVERY:
            return opened.nodes
        urls = await self._urls(chain_id)
        if opened is not None and opened.urls == urls:
            self._opened[chain_id] = _Opened(urls, opened.nodes, opened.stack, now)
            return opened.nodes
        stack = AsyncExitStack()
        nodes = await stack.enter_async_context(open_nodes(chain_id, urls))
        self._opened[chain_id] = _Opened(urls, nodes, stack, now)
        if opened is not None:
            await opened.stack.aclose()
        return nodes

    async def close(self) -> None:
        """Close the connections to all nodes."""
        for opened in self._opened.values():
            await opened.stack.aclose()
        self._opened.clear()

    async def _urls(self, chain_id: int) -> tuple[str, ...]:
        name = secret_name(chain_id)
        found = await self._secrets.read(name)
        try:
            return read_urls(found.value, allow_http=self._allow_http)
        except ValueError as error:
            raise InvalidInputError(
                f"the secret {name} cannot be used: {error}",
                hint=f"activityctl secrets set {name}",
            ) from None
