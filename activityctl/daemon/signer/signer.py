"""The signer: the only process that opens the keys of accounts."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from activityctl import wiring
from activityctl.adapters.postgres.schema.version import require_schema
from activityctl.adapters.signer.place import prepare_folder
from activityctl.daemon.log import hide_secret
from activityctl.daemon.signals import on_stop_signal
from activityctl.daemon.signer.server import SignerServer, TlsPort
from activityctl.errors import UnreachableError
from activityctl.settings import Settings

_LOG = logging.getLogger(__name__)
_POOL: Final = 4
_PATIENCE: Final = 30.0
_PAUSE: Final = 0.5


async def run_signer(
    settings: Settings,
    *,
    port: TlsPort | None = None,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer until SIGTERM, SIGINT or SIGHUP: on the socket of the home, or on a port with TLS.

    Requests that are under way get their answer. `on_ready` is called with the place. Raises
    UnreachableError if Postgres does not answer in time, RefusedError if its schema is of another
    version.
    """
    stopping = asyncio.Event()
    with on_stop_signal(stopping.set):
        async with AsyncExitStack() as stack:
            ports = await stack.enter_async_context(_ports(settings))
            signer = wiring.open_local_signer(settings, ports, on_read=hide_secret)
            server = SignerServer(signer)
            if port is None:
                path = wiring.signer_socket(settings)
                await asyncio.to_thread(_prepare, path, settings)
                await stack.enter_async_context(server.on_socket(path))
                place = str(path)
            else:
                bound = await stack.enter_async_context(server.on_port(port))
                place = f"{port.host}:{bound}"
            _LOG.info("signer listens", extra={"place": place})
            on_ready(place)
            await stopping.wait()
            _LOG.info("signer stops")


def _prepare(path: Path, settings: Settings) -> None:
    if path.parent != settings.home.resolve():
        prepare_folder(path)


class _ports:  # noqa: N801  # a context manager, named like a function
    """The ports of Postgres, which may still be starting."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> wiring.Ports:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        while True:
            try:
                await require_schema(await wiring.database_url(self._settings))
                opened = wiring.open_ports(self._settings, pool_size=_POOL)
                return await self._stack.enter_async_context(opened)
            except UnreachableError:
                if loop.time() > deadline:
                    raise
                await asyncio.sleep(_PAUSE)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
