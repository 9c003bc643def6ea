"""What one answer is written to: its headers leave together with its body."""

import asyncio
from collections.abc import Callable


class AnswerTransport:
    """Keeps headers that announce a body until this comes: each piece that is sent costs.

    The body follows at once, or else the headers leave before the loop does anything else. Those of
    an endless answer announce no length, and are never kept.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        """`close` closes the connection as the protocol decides."""
        self.is_closing = transport.is_closing
        self._send = transport.write
        self._close = close
        self._kept = b""
        self._is_first = True
        self._sending: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        """Send the data, after the headers that were kept."""
        if self._is_first and b"\r\ncontent-length:" in data.lower():
            self._kept = data
            self._sending = asyncio.get_running_loop().call_soon(self._send_kept)
        elif self._kept:
            self._send_kept(data)
        else:
            self._send(data)
        self._is_first = False

    def close(self) -> None:
        """End the answer."""
        self._send_kept()
        self._close()

    def _send_kept(self, data: bytes = b"") -> None:
        kept, self._kept = self._kept, b""
        if self._sending is not None:
            self._sending.cancel()
        if kept:
            self._send(kept + data)
