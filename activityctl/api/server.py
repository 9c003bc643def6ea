"""Runs the application on a socket: uvicorn with our connections, and a graceful end."""

import resource
import socket
from types import FrameType
from typing import Any, Final

import uvicorn

from activityctl.api.app import ApiOptions, build_app
from activityctl.api.connection import (
    HEADER_SECONDS,
    WRITE_SECONDS,
    Deadlines,
    connections,
)
from activityctl.api.places import Places
from activityctl.api.refusals import HEADER_BYTES
from activityctl.api.renewing import LOOK_SECONDS, kept_new
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.settings import Settings
from activityctl.wiring import ServerCertificate

_STOP_SECONDS: Final = 10
"""How long open requests may take after the signal to stop."""
_KEEP_ALIVE_SECONDS: Final = 60
_FILES_FOR_OTHERS: Final = 64
"""Of the file handles of the process, those that are not for connections of clients."""
_MOST_CONNECTIONS: Final = 4_096
_BACKLOG: Final = 2_048


@frozen_dataclass
class Limits:
    """What the connections of a server may take."""

    connections: int = _MOST_CONNECTIONS
    header_seconds: float = HEADER_SECONDS
    write_seconds: float = WRITE_SECONDS
    look_seconds: float = LOOK_SECONDS
    """How often the files of the certificate are looked at."""


class _Server(uvicorn.Server):
    """Ends with exit code 0 on a signal; uvicorn would send it to itself again afterwards."""

    places: Places
    certificate: ServerCertificate | None = None
    look_seconds: float = LOOK_SECONDS

    async def main_loop(self) -> None:
        """Serve until the end, with a certificate that is kept new."""
        async with kept_new(self.certificate, self.look_seconds):
            await super().main_loop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, which would last for ever, then finish the other requests."""
        app: Any = self.config.app
        app.state.streams.stop()
        self.places.abort_handshakes()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


def build_server(
    settings: Settings,
    options: ApiOptions,
    limits: Limits | None = None,
    certificate: ServerCertificate | None = None,
) -> uvicorn.Server:
    """Return a server, ready to serve on a listening socket; with a certificate, by TLS."""
    chosen = limits or Limits(connections=_most_connections())
    places = Places(chosen.connections)
    deadlines = Deadlines(chosen.header_seconds, chosen.write_seconds)
    made: Any = connections(places, deadlines, certificate.context if certificate else None)
    config = uvicorn.Config(
        build_app(settings, options),
        http=made,
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    server = _Server(config)
    server.places = places
    server.certificate = certificate
    server.look_seconds = chosen.look_seconds
    return server


def serve_on(
    listener: socket.socket,
    settings: Settings,
    options: ApiOptions,
    certificate: ServerCertificate | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; open requests are finished first."""
    build_server(settings, options, certificate=certificate).run(sockets=[listener])


def _most_connections() -> int:
    """Return how many connections the process can have, after raising its limit of files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _FILES_FOR_OTHERS
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(_MOST_CONNECTIONS, soft - _FILES_FOR_OTHERS))
