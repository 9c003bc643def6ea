"""What a test of chain triggers does with one database and one chain: apply, watch, read."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from activityctl import wiring
from activityctl.adapters.chain.nodes import open_nodes
from activityctl.daemon.worker.chains.watcher import ChainWatcher
from activityctl.daemon.worker.router import Router
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.apply import apply
from activityctl.ports import ChainNodes
from support.anvil import Anvil
from support.rpc_server import Reply, RpcServer, error, result

TRANSFER = "event Transfer(address indexed from, address indexed to, uint256 value)"
TRANSFER_TOPIC = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
ALICE, BOB = "a1" * 20, "b0" * 20


def transfer_input(value: int, sender: str = ALICE, to: str = BOB) -> str:
    """Return the input of a contract that logs three topics: a transfer."""
    return f"0x{TRANSFER_TOPIC}{sender:0>64}{to:0>64}{value:064x}"


class Watched:
    """The watcher and the router of one database, called by hand."""

    def __init__(self, ports: wiring.Ports, *urls: str, speed: float = 1.0) -> None:
        """Pauses after faults pass `speed` times as fast."""
        self.ports = ports
        self.urls = urls
        self.clock = lambda: time.monotonic() * speed
        self.stack = AsyncExitStack()
        self.opened: ChainNodes | None = None
        self.restart()

    def restart(self) -> None:
        """Go on as another process would."""
        self.watcher = ChainWatcher(self.ports.chains, self, self.clock)
        self.router = Router(self.ports.events, lambda: None)

    async def nodes(self, chain_id: int) -> ChainNodes:
        if self.opened is None:
            opening = open_nodes(chain_id, self.urls, clock=self.clock)
            self.opened = await self.stack.enter_async_context(opening)
        return self.opened

    async def apply(self, *triggers: Mapping[str, Any], names: Sequence[str] = ("mine",)) -> None:
        """Apply a definition with these chain triggers, and subscriptions."""
        named = [{"name": f"t{index}", "chain": body} for index, body in enumerate(triggers)]
        tasks = [{"name": "note", "value": {"output": 1}}]
        whole = {"metadata": {"name": "sample"}, "spec": {"triggers": named, "tasks": tasks}}
        definition = ActivityDefinition.model_validate_json(json.dumps(whole))
        manifests = {
            name: SubscriptionManifest.model_validate(
                {"metadata": {"name": name}, "spec": {"activity": "sample"}}
            )
            for name in names
        }
        wanted = ManifestSet({"sample": definition}, manifests, {})
        ports = self.ports
        await apply(wanted, ports.catalog, ports.register, ports.workers, _now, timeout_seconds=0)

    async def watch(self) -> None:
        """Read on until nothing is left, and route."""
        while await self.watcher.watch() == 0:
            pass
        await self.router.route()

    async def watch_until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 90) -> None:
        """Watch again and again, as the worker does, until something holds."""
        async with asyncio.timeout(seconds):
            while not await holds():
                await self.watcher.watch()
                await asyncio.sleep(0.01)
        await self.router.route()

    async def is_read_up_to(self, number: int) -> bool:
        """Whether every reading has read this block."""
        state = await self.ports.chains.state()
        return all(reading.number >= number for reading in state.readings)

    async def events(self) -> list[Mapping[str, Any]]:
        """Return all events in the order of arrival."""
        found = await self.ports.events.events(Selection(limit=100_000))
        return [event.document for event in reversed(found)]

    async def values(self) -> list[str]:
        """Return the values of all transfers in the order of arrival."""
        return [document["data"]["args"]["value"] for document in await self.events()]

    async def firings(self) -> list[tuple[str, str]]:
        """Return the trigger of each firing and its event's transferred value or block."""
        found = await self.ports.events.events(Selection(limit=100_000))
        by_id = {event.id: event.document["data"] for event in found}
        verdicts = await self.ports.events.verdicts(list(by_id))
        return sorted(
            (verdict.trigger, by_id[verdict.event_id]["args"]["value"])
            for verdict in verdicts
            if verdict.firing_key is not None
        )


def _now() -> datetime:
    return datetime.now(UTC)


def forwarding(chain: Anvil, before: Reply | None = None) -> RpcServer:
    """Return a node that asks the real one, unless `before` returns an answer of its own."""

    async def ask(writer: asyncio.StreamWriter, method: str, params: list[Any], number: int):
        own = before(method, params, number) if before else None
        if own is None:
            try:
                own = result(await asyncio.to_thread(chain.call, method, *params), number)
            except RuntimeError as failed:
                own = error(-32000, str(failed), number)
        await own(writer)

    def reply(method: str, params: list[Any], number: int):
        return lambda writer: ask(writer, method, params, number)

    return RpcServer(reply)
