"""One HTTP/1.1 connection whose other side must not take for ever, and how many there may be.

uvicorn reads and writes; what is added here are deadlines, a number of connections, and answers
with problem details for what is no HTTP.
"""

import asyncio
import json
import socket
import ssl
import sys
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from activityctl.api.answer_transport import AnswerTransport
from activityctl.api.handshake import Handshake
from activityctl.api.places import Places
from activityctl.api.problems import CONTENT_TYPE, problem_of
from activityctl.api.refusals import HttpRefusedError, LongHeadersError
from activityctl.frozen_dataclass import frozen_dataclass

HEADER_SECONDS: Final = 10.0
"""How long the headers of a request may take from their first byte to their last."""
WRITE_SECONDS: Final = 30.0
"""After how long a client that does not read its answer is cut off."""
_DISCARDED_BYTES: Final = 64 * 1024
"""A body that nobody wants is read up to this length, so that the connection can be used again."""


_LINGER_BYTES: Final = 1024 * 1024
_LINGER_SECONDS: Final = 2.0
"""How much, and how long, a client may send after its last answer."""


class _NotHttpError(HttpRefusedError):
    """The bytes are no request."""


class _SlowHeadersError(HttpRefusedError):
    code = "request_timeout"
    status = 408


class _FullError(HttpRefusedError):
    code = "busy"
    status = 503
    retryable = True


@frozen_dataclass
class Deadlines:
    """How long a client may take, in seconds."""

    header: float = HEADER_SECONDS
    write: float = WRITE_SECONDS


def connections(
    places: Places, deadlines: Deadlines, context: ssl.SSLContext | None = None
) -> Callable[..., asyncio.BaseProtocol]:
    """Return what makes one server's connections; with a context, they are encrypted."""
    attributes = {"places": places, "deadlines": deadlines, "handshake": None}
    plain = type("BoundedProtocol", (_BoundedProtocol,), attributes)
    if context is None:
        return plain

    def encrypted(**given: Any) -> Handshake:
        inner = plain(**given)
        handshake = Handshake(inner, context, places, deadlines.header)
        inner.handshake = handshake
        return handshake

    return encrypted


class _BoundedProtocol(H11Protocol):
    places: ClassVar[Places]
    deadlines: ClassVar[Deadlines]
    handshake: Handshake | None
    """What decrypts for this connection."""

    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _unwanted: int | None = None
    """How many bytes came after the last answer; None while there may be another one."""

    # uvicorn writes a narrower type than the class that it extends
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, in place of an idle one if there are too many."""
        super().connection_made(transport)
        _send_at_once(transport)
        if self.handshake is not None:
            self.places.leave(self.handshake)
        if not self.places.take(self):
            self._refuse(_FullError("too many connections", retry_after=1))
            return
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self.places.leave(self)
        self._deadline = _cancel(self._deadline)
        self._write_deadline = _cancel(self._write_deadline)

    def data_received(self, data: bytes) -> None:
        """Take bytes; the first of a request start its deadline."""
        if self._unwanted is not None:
            self._unwanted += len(data)
            if self._unwanted > _LINGER_BYTES:
                self.transport.close()
            return
        owed_body = self._owes_body
        super().data_received(data)
        is_idle = owed_body and self.conn.their_state is h11.IDLE and not self._has_begun
        if is_idle:
            self._keep_alive()
        self._look(is_idle=is_idle)

    def handle_events(self) -> None:
        """Start on the next request; the end of its answer waits for what still comes of it."""
        super().handle_events()
        if self.cycle is not None and self.cycle.transport is self.transport:
            transport: Any = AnswerTransport(self.transport, self.close_answered)
            self.cycle.transport = transport

    def close_answered(self) -> None:
        """Close the connection after its last answer."""
        if self.conn.their_state is h11.SEND_BODY:
            self._close_after_reading()
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Go on with the next request, unless much of this one has not been read."""
        if self._unwanted is not None:
            return
        if self.conn.their_state is h11.SEND_BODY and not self._body_is_short():
            self._close_after_reading()
            return
        super().on_response_complete()
        self._look(is_idle=True)

    def shutdown(self) -> None:
        """End the connection because the server stops; an answer on its way is not cut off."""
        if self._owes_body:
            self._close_after_reading()
        elif self._unwanted is None:
            super().shutdown()

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for ever."""
        super().pause_writing()
        self._write_deadline = self.loop.call_later(self.deadlines.write, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        super().resume_writing()
        self._write_deadline = _cancel(self._write_deadline)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # the name is uvicorn's
        """Answer what is no HTTP/1.1; uvicorn calls this while it handles h11's error."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            self._refuse(LongHeadersError())
        else:
            self._refuse(_NotHttpError("this is no valid HTTP/1.1 request"))

    def _look(self, *, is_idle: bool = False) -> None:
        """Start or end the deadline; `is_idle` after an answer, when uvicorn's own timer runs."""
        if self.transport.is_closing() or self._unwanted is not None:
            return
        if self.conn.their_state is not h11.IDLE and not self._owes_body:
            self.places.set_waiting(self, waits=False)
            self._deadline = _cancel(self._deadline)
            return
        self.places.set_waiting(self, waits=True)
        if self._deadline is None and not (is_idle and not self._owes_body):
            self._deadline = self.loop.call_later(self.deadlines.header, self._time_out)

    def _time_out(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        seconds = f"{self.deadlines.header:g} seconds"
        if self.conn.our_state is h11.IDLE and self._has_begun:
            self._refuse(_SlowHeadersError(f"the headers did not arrive within {seconds}"))
        else:
            self.transport.close()

    def abort(self) -> None:
        """Cut the connection now."""
        self.transport.abort()

    @property
    def _owes_body(self) -> bool:
        """Whether the answer is given, and a part of the request's body has not come yet."""
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    @property
    def _has_begun(self) -> bool:
        """Whether a part of the headers of a request is there."""
        return bool(self.conn.trailing_data[0])

    def _keep_alive(self) -> None:
        """Wait for the next request as long as after any answer."""
        self._deadline = _cancel(self._deadline)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _body_is_short(self) -> bool:
        lengths = [value for name, value in self.headers or () if name == b"content-length"]
        return bool(lengths) and int(lengths[0]) <= _DISCARDED_BYTES

    def _refuse(self, error: HttpRefusedError) -> None:
        """Answer without the application, and close."""
        problem = problem_of(error, uuid.uuid4().hex)
        self.transport.write(_plain_response(problem, error.retry_after))
        self._close_after_reading()

    def _close_after_reading(self) -> None:
        """End the answer, and read a little of what still comes before the connection is closed.

        A client that is still sending would else get a reset in place of its answer (RFC 9112,
        9.6).
        """
        if self._unwanted is not None or self.transport.is_closing():
            return
        self._unwanted = 0
        self._deadline = _cancel(self._deadline)
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self.places.set_waiting(self, waits=True)
        self._deadline = self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def _plain_response(problem: dict[str, Any], retry_after: float | None) -> bytes:
    body = json.dumps(problem).encode()
    retry = "" if retry_after is None else f"Retry-After: {retry_after:g}\r\n"
    head = (
        f"HTTP/1.1 {problem['status']} {problem['title']}\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-Id: {problem['requestId']}\r\n{retry}Connection: close\r\n\r\n"
    )
    return head.encode() + body


def _send_at_once(transport: asyncio.Transport) -> None:
    """Send small pieces without a wait for the client's acknowledgement of those before (Nagle).

    asyncio does so only for a socket that names its protocol, which those of an accepted
    connection do as its listener did: a client that acknowledges late, as most systems do, would
    get each answer on a kept connection 40 ms late.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Cancel a timer, and return what takes its place: None."""
    if timer is not None:
        timer.cancel()
    return None
