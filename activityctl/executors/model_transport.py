"""The way from the clients of models to their servers: our own transport, with all its limits.

The clients write requests and read answers. Which address is called, with which headers, how much
is read and which error a bad answer is: that is decided here. The key never gets into a client.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import httpx
import httpx2

from activityctl.domain.values.masking import Mask
from activityctl.errors import DestinationForbiddenError, TaskError
from activityctl.executors.address import parse_url
from activityctl.executors.http_failures import transport_error, unexpected_status
from activityctl.executors.request import forbidden, host_of
from activityctl.executors.response import check_headers, request_label, too_large
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.version import VERSION

MAX_SENT_BYTES: Final = 10 * 1024 * 1024
MAX_STREAM_BYTES: Final = 32 * 1024 * 1024
"""Of a streamed answer; each token of it costs some hundred bytes."""
MAX_PLAIN_BYTES: Final = 4 * 1024 * 1024
MAX_EVENT_BYTES: Final = 256 * 1024
MAX_EVENT_LINES: Final = 200
"""Of one event of a stream; the clients copy what they have of an event with each line."""
MAX_EVENTS: Final = 200_000
_PIECE_BYTES: Final = 4096
_KEPT_HEADERS: Final = ("accept", "anthropic-version", "content-type")
"""What is sent of the headers of a client; others tell about this machine or its environment."""
_EVENT_STREAM: Final = "text/event-stream"
_SUCCESS: Final = range(200, 300)


@frozen_dataclass
class Wire:
    """What the transport knows of one attempt."""

    base: httpx.URL
    headers: Mapping[str, str]
    """Who asks; the key among them."""
    idempotency_key: str
    is_stream: bool
    mask: Mask
    progress: Callable[[], None]


class ModelTransport(httpx2.AsyncBaseTransport):
    """Carries the requests of one attempt; `failure` is the reason why one of them has failed."""

    def __init__(self, transport: httpx.AsyncBaseTransport, wire: Wire) -> None:
        self._transport = transport
        self._wire = wire
        self._opened: list[httpx.Response] = []
        self.requests = 0
        self.failure: TaskError | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to the server of the task; raise TaskError for all but status 2xx."""
        try:
            return await self._send(request)
        except TaskError as error:
            self.failure = error
            raise

    async def close(self) -> None:
        """Close every response, also those that were not read to their end."""
        for response in self._opened:
            await response.aclose()

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        ours = self._request(request, await request.aread())
        try:
            response = await self._transport.handle_async_request(ours)
        except DestinationForbiddenError as error:
            raise forbidden(request_label(ours), error) from error
        except httpx.TransportError as error:
            raise transport_error(ours, error) from error
        self._opened.append(response)
        check_headers(response)
        if response.status_code not in _SUCCESS:
            raise await _refusal(response, self._wire.mask)
        media_type = response.headers.get("content-type", "")
        self._check_form(response, media_type)
        return httpx2.Response(
            response.status_code,
            headers={"content-type": media_type},
            stream=_Body(response, self),
            request=request,
        )

    def _request(self, request: httpx2.Request, content: bytes) -> httpx.Request:
        wire = self._wire
        url = parse_url(str(request.url))
        if (url.scheme, host_of(url)) != (wire.base.scheme, host_of(wire.base)):
            message = f"the client of the model would call {url.host}, which the task does not name"
            raise TaskError(message, code="destination_forbidden", retryable=False)
        if len(content) > MAX_SENT_BYTES:
            message = f"the request has more than {MAX_SENT_BYTES:,} bytes"
            raise TaskError(message, code="invalid_request", retryable=False)
        key = wire.idempotency_key
        headers = httpx.Headers(
            {
                **{
                    name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers
                },
                "Accept-Encoding": "identity",
                "Idempotency-Key": key if self.requests == 1 else f"{key}/{self.requests}",
                "User-Agent": f"activityctl/{VERSION}",
            }
        )
        headers.update(httpx.Headers(dict(wire.headers), encoding="utf-8"))
        return httpx.Request(request.method, url, headers=headers, content=content)

    def _check_form(self, response: httpx.Response, media_type: str) -> None:
        label = request_label(response.request)
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            message = f"{label}: the response is compressed, which was not asked for"
            raise TaskError(message, code="bad_response", retryable=False)
        is_stream = media_type.partition(";")[0].strip().lower() == _EVENT_STREAM
        if self._wire.is_stream and not is_stream:
            shown = repr(media_type[:80]) if media_type else "no media type"
            message = (
                f"{label}: the response has {shown} and is no stream of events; "
                "set stream: false if the server cannot stream"
            )
            raise TaskError(message, code="bad_response", retryable=False)

    async def read(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """Yield the body in small pieces, so that reading it holds up nothing else."""
        size = _Size(response.request, is_stream=self._wire.is_stream)
        try:
            async for part in response.aiter_raw():
                self._wire.progress()
                for start in range(0, len(part), _PIECE_BYTES):
                    piece = part[start : start + _PIECE_BYTES]
                    size.add(piece)
                    yield piece
                    await asyncio.sleep(0)
        except TaskError as error:
            self.failure = error
            raise
        except httpx.TransportError as error:
            self.failure = transport_error(response.request, error)
            raise self.failure from error


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpx.Response, transport: ModelTransport) -> None:
        self._response = response
        self._transport = transport

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._transport.read(self._response)

    async def aclose(self) -> None:
        await self._response.aclose()


class _Size:
    """Counts a body and raises TaskError for one that is too much work to read."""

    def __init__(self, request: httpx.Request, *, is_stream: bool) -> None:
        self._request = request
        self._is_stream = is_stream
        self._bytes = self._events = 0
        self._event_bytes = self._event_lines = self._line_bytes = 0

    def add(self, piece: bytes) -> None:
        """Count a piece."""
        self._bytes += len(piece)
        most = MAX_STREAM_BYTES if self._is_stream else MAX_PLAIN_BYTES
        if self._bytes > most:
            raise too_large(self._request, f"a body with more than {most:,} bytes")
        if self._is_stream:
            for line in piece.splitlines(keepends=True):
                self._add_line(line)

    def _add_line(self, line: bytes) -> None:
        """Count a line, or a part of one. A blank line ends an event; a lone CR does not."""
        content = line.rstrip(b"\r\n")
        self._line_bytes += len(content)
        self._event_bytes += len(line)
        self._event_lines += len(line) > len(content)
        if line.endswith(b"\n"):
            if self._line_bytes == 0:
                self._events += 1
                self._event_bytes = self._event_lines = 0
            self._line_bytes = 0
        if self._event_bytes > MAX_EVENT_BYTES or self._event_lines > MAX_EVENT_LINES:
            raise too_large(
                self._request,
                f"an event with more than {MAX_EVENT_BYTES:,} bytes or {MAX_EVENT_LINES} lines",
            )
        if self._events > MAX_EVENTS:
            raise too_large(self._request, f"more than {MAX_EVENTS:,} events")


async def _refusal(response: httpx.Response, mask: Mask) -> TaskError:
    """Return the error for a status that is no success, with the code of the `ai` kind."""
    error = await unexpected_status(response, mask)
    code, may_retry = "http_status", error.may_retry
    match response.status_code:
        case 429:
            code = "rate_limited"
            may_retry = "insufficient_quota" not in error.message  # no wait helps there
        case 529:
            code = "rate_limited"
        case 503 if error.retry_after_seconds is not None:
            code = "rate_limited"
        case 400 if "content_filter" in error.message:
            code, may_retry = "refused", False
    return TaskError(
        error.message,
        code=code,
        retryable=may_retry,
        retry_after_seconds=error.retry_after_seconds,
        status=response.status_code,
    )
