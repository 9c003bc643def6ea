"""A network link to a server that a test can slow down, or cut without a word."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit


@dataclass
class _Wire:
    """One connection through the link."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    is_dead: bool = False
    client_is_next: bool = True
    """What is sent on a dead connection is swallowed: nobody is told, as by a firewall."""


class Link:
    """Forwards TCP connections to a server, in a thread of its own.

    `round_trip` seconds are added to each round trip.
    """

    def __init__(self, host: str, port: int, round_trip: float = 0.0) -> None:
        self._target = host, port
        self.round_trip = round_trip
        self._is_cut = False
        self._wires: list[_Wire] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0
        self.round_trips = 0
        """How often a client has sent something after an answer, or as the first."""

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._do(self._listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Kill every connection silently, those of the future as well, until `heal`."""
        self.kill_connections()
        self._is_cut = True

    def heal(self) -> None:
        """Forward new connections again. The old ones stay dead."""
        self._is_cut = False

    def kill_connections(self) -> None:
        """Kill the connections of now silently; new ones work."""
        for wire in self._wires:
            wire.is_dead = True

    def url(self, url: str) -> str:
        """Return the URL of the server as it is reached through the link."""
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{self.port}"))

    def _do(self, what: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what(), self._loop).result(10)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        self._server.close()
        for wire in self._wires:
            for writer in wire.writers:
                writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = _Wire([writer], is_dead=self._is_cut)
        self._wires.append(wire)
        if wire.is_dead:
            await self._forward(wire, reader, None)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        wire.writers.append(server_writer)
        with suppress(asyncio.CancelledError):  # at the end, where nobody waits for it
            await asyncio.gather(
                self._forward(wire, reader, server_writer),
                self._forward(wire, server_reader, writer),
            )

    async def _forward(
        self, wire: _Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None
    ) -> None:
        """Forward what comes, each piece half a round trip later, without holding up the next."""
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                is_from_client = writer is not wire.writers[0]
                self.round_trips += is_from_client and wire.client_is_next
                wire.client_is_next = not is_from_client
                if writer is not None:
                    delay = self.round_trip / 2
                    self._loop.call_later(delay, self._send, wire, writer, data)
            if writer is not None:
                await asyncio.sleep(self.round_trip / 2)
        if writer is not None and not wire.is_dead:
            writer.close()

    @staticmethod
    def _send(wire: _Wire, writer: asyncio.StreamWriter, data: bytes) -> None:
        if not wire.is_dead and not writer.is_closing():
            writer.write(data)
