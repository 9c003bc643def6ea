"""The nodes of one chain: the first that works is used, and one with a fault rests for a while."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx

from activityctl.adapters.chain.node import CALL_SECONDS, MAX_BODY, HttpNode
from activityctl.domain.chain.rpc_url import secret_name, shown_hosts
from activityctl.errors import UnreachableError
from activityctl.ports import ChainNode, NodeFaultError, NodeState

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0


@dataclass(slots=True)
class _Known:
    node: HttpNode
    rests_until: float = 0.0
    is_told: bool = False
    """Whether the node itself said how long to leave it alone."""
    faults: int = 0
    last: str = ""


class HttpNodes:
    """Implements ChainNodes over HTTP; the URL that comes first is preferred."""

    def __init__(
        self,
        chain_id: int,
        nodes: Sequence[HttpNode],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.chain_id = chain_id
        self._known = [_Known(node) for node in nodes]
        self._clock = clock

    def states(self) -> tuple[NodeState, ...]:
        """Return every node with its last fault, the preferred one first; this asks nobody."""
        return tuple(
            NodeState(known.node.name, known.last if known.faults else None)
            for known in self._known
        )

    async def use(self, work: Callable[[ChainNode], Awaitable[T]]) -> T:
        """Do the work with the first node that is not resting; with the next after a fault.

        If all of them rest, the one that rests for the shortest time is asked all the same,
        unless it said itself how long to wait.
        """
        for known in self._in_order():
            try:
                found = await work(known.node)
            except NodeFaultError as error:
                self._rest(known, error)
            else:
                known.faults = 0
                return found
        faults = "; ".join(f"{known.node.name}: {known.last}" for known in self._known)
        raise UnreachableError(
            f"no node of chain {self.chain_id} can be used: {faults}",
            hint=f"activityctl secrets set {secret_name(self.chain_id)}",
        )

    async def each(self, work: Callable[[ChainNode], Awaitable[T]]) -> list[T]:
        """Do the work with every node at once; leave out those with a fault."""

        async def attempt(known: _Known) -> list[T]:
            try:
                return [await work(known.node)]
            except NodeFaultError:
                return []

        found = await asyncio.gather(*(attempt(known) for known in self._known))
        return [item for items in found for item in items]

    def _in_order(self) -> list[_Known]:
        now = self._clock()
        ready = [known for known in self._known if known.rests_until <= now]
        resting = [known for known in self._known if not known.is_told]
        resting.sort(key=lambda known: known.rests_until)
        return ready or resting[:1]

    def _rest(self, known: _Known, error: NodeFaultError) -> None:
        known.node.doubt()
        known.faults += 1
        own = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(known.faults - 1, 10))
        known.is_told = error.pause is not None
        known.rests_until = self._clock() + (own if error.pause is None else error.pause)
        if known.last != error.message or known.faults == 1:
            where = {"chain": self.chain_id, "node": known.node.name}
            _LOG.warning("node cannot be used: %s", error.message, extra=where)
        known.last = error.message


@asynccontextmanager
async def open_nodes(
    chain_id: int,
    urls: Sequence[str],
    *,
    seconds: float = CALL_SECONDS,
    max_body: int = MAX_BODY,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[HttpNodes]:
    """Open a client for these nodes. Proxies of the environment and redirects are not followed."""
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=4)
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
    timeout = httpx.Timeout(seconds)
    async with httpx.AsyncClient(
        trust_env=False, follow_redirects=False, limits=limits, headers=headers, timeout=timeout
    ) as client:
        names = shown_hosts(urls)
        nodes = [
            HttpNode(client, url, name, chain_id, seconds=seconds, max_body=max_body)
            for url, name in zip(urls, names, strict=True)
        ]
        yield HttpNodes(chain_id, nodes, clock)
