"""A TLS connection from its first byte on: the handshake has a deadline, and counts as a place.

asyncio would show a connection to the server only after the handshake, so that clients who never
end it could take all file handles.
"""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any, Final

from activityctl.api.places import Places

_GOODBYE_SECONDS: Final = 5.0
"""How long a client may take to agree to the end of the connection."""


class Handshake(SSLProtocol):
    """Decrypts for another protocol, which sees the connection once the handshake is over."""

    def __init__(
        self,
        protocol: asyncio.Protocol,
        context: ssl.SSLContext,
        places: Places,
        seconds: float,
    ) -> None:
        # asyncio itself passes no waiter for the connections of a server, and takes fractions.
        nobody: Any = None
        limits: Any = (seconds, _GOODBYE_SECONDS)
        super().__init__(
            asyncio.get_running_loop(),
            protocol,
            context,
            nobody,
            server_side=True,
            ssl_handshake_timeout=limits[0],
            ssl_shutdown_timeout=limits[1],
        )
        self._places = places
        self._raw: asyncio.Transport | None = None

    # asyncio writes a wider type than the one that it passes
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, in place of a waiting one if there are too many."""
        self._raw = transport
        if not self._places.add_handshake(self):
            transport.abort()
            return
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._places.leave(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Cut the connection now."""
        if self._raw is not None:
            self._raw.abort()
