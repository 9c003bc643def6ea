"""The guarded transport of every outgoing call: resolve, check, connect to the checked address.

It is an httpx transport of our own around httpcore's public connection pool, because httpx's
transport accepts no network backend. It reads no environment: no proxies, no netrc, no CA
variables.
"""

import asyncio
import socket
import ssl
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import httpcore
import httpx
import psutil

from activityctl.domain.values.destination import DestinationPolicy, is_here
from activityctl.errors import ActivityctlError, DestinationForbiddenError, reason_of
from activityctl.executors.name_lookup import NameLookup

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""`await resolve(host, port)` returns numeric addresses, the preferred one first."""
Listening = Callable[[], Awaitable[Collection[int]]]
"""`await listening()` returns the ports on which the daemon's processes listen at the moment."""

KEPT_ALIVE: Final = 100
KEEP_ALIVE_SECONDS: Final = 5.0
FALLBACK_SECONDS: Final = 3.0
"""If a host has several addresses: how long to wait for one before trying the next."""
MAX_HEAD_BYTES: Final = 128 * 1024
"""How much is read until a response begins: headers, and informational responses before them.

httpcore reads over any number of informational responses, each of which costs time.
"""
_NEVER: Final = "tasks cannot call Postgres, Temporal and the API of the local daemon"
_TRANSLATED: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


@cache
def trusted_context() -> ssl.SSLContext:
    """Return the context that trusts the usual authorities, whatever the environment says."""
    return httpx.create_ssl_context(trust_env=False)


class LongHeadError(Exception):
    """The reason of a RemoteProtocolError when a response does not begin in time."""

    def __str__(self) -> str:
        return f"more than {MAX_HEAD_BYTES:,} bytes before it began"


@dataclass(slots=True)
class _Head:
    """How many bytes one call may still read until the response begins."""

    left: int = MAX_HEAD_BYTES
    is_over: bool = False


_HEAD: ContextVar[_Head | None] = ContextVar("_HEAD", default=None)


class _BoundedStream(httpcore.AsyncNetworkStream):
    """A stream that ends a call whose response does not begin within MAX_HEAD_BYTES."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - of httpcore
        """Read; raise RemoteProtocolError if too much was read before the response began."""
        data = await self._stream.read(max_bytes, timeout)
        head = _HEAD.get()
        if head is not None and not head.is_over:
            head.left -= len(data)
            if head.left < 0:
                raise httpcore.RemoteProtocolError(LongHeadError())
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - of httpcore
        """Write all bytes."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of httpcore
    ) -> httpcore.AsyncNetworkStream:
        """Return the stream with TLS, bounded as well."""
        return _BoundedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Return what the stream knows about its socket."""
        return self._stream.get_extra_info(info)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that the policy permits; checks each when it connects.

    A name is refused when none of its addresses is permitted. Addresses that are not permitted
    are never tried. Unix sockets are not supported.
    """

    def __init__(
        self,
        policy: DestinationPolicy,
        resolve: Resolve | None = None,
        listening: Listening | None = None,
    ) -> None:
        self._policy = policy
        self._listening = listening
        self._resolve = resolve or NameLookup().resolve
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore defines the signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first permitted address that answers.

        Raises DestinationForbiddenError, or httpcore.ConnectError.
        """
        addresses = await self.permitted(host, port)
        failure: Exception | None = None
        for address in addresses:
            seconds = timeout if address == addresses[-1] else FALLBACK_SECONDS
            try:
                return _BoundedStream(
                    await self._backend.connect_tcp(
                        address, port, seconds, local_address, socket_options
                    )
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        reason = _reason(failure) if failure else "the name has no address"
        raise httpcore.ConnectError(f"cannot connect to {host} port {port}: {reason}")

    async def sleep(self, seconds: float) -> None:
        """Sleep for some seconds."""
        await asyncio.sleep(seconds)

    async def permitted(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of the host that may be connected to.

        Raises DestinationForbiddenError, or httpcore.ConnectError if the name has no address.
        """
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: from the IDNA codec
            raise httpcore.ConnectError(f"cannot resolve {host}: {reason_of(error)}") from error
        self._refuse_own(self._policy, host, addresses, port)
        refusals = {address: self._policy.refusal(address) for address in addresses}
        permitted = [address for address, refusal in refusals.items() if refusal is None]
        if refusals and not permitted:
            listed = ", ".join(f"{address} ({reason})" for address, reason in refusals.items())
            raise DestinationForbiddenError(
                f"{host} has no permitted address: {listed}",
                hint="add its network to ACTIVITYCTL_ALLOWED_NETWORKS",
            )
        await self._refuse_listening(host, permitted, port)
        return permitted

    async def _refuse_listening(self, host: str, addresses: Sequence[str], port: int) -> None:
        """Raise DestinationForbiddenError if a process of the daemon listens on the port here."""
        machine = _machine_addresses() if self._listening is not None else ()
        if self._listening is None or not any(is_here(address, machine) for address in addresses):
            return
        try:
            ports = await self._listening()
        except ActivityctlError as error:
            raise httpcore.ConnectError(
                f"cannot connect to {host} port {port}: {error.message}"
            ) from error
        policy = replace(self._policy, own_ports=frozenset(ports))
        self._refuse_own(policy, host, addresses, port)

    @staticmethod
    def _refuse_own(
        policy: DestinationPolicy, host: str, addresses: Sequence[str], port: int
    ) -> None:
        machine = _machine_addresses() if port in policy.own_ports else ()
        own = [policy.own_port_refusal(address, port, machine) for address in addresses]
        if reason := next(filter(None, own), None):
            raise DestinationForbiddenError(f"{host} port {port} is {reason}", hint=_NEVER)


def _machine_addresses() -> list[str]:
    families = {socket.AF_INET, socket.AF_INET6}
    interfaces = psutil.net_if_addrs().values()
    return [card.address for cards in interfaces for card in cards if card.family in families]


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that makes every connection through a GuardedBackend.

    The Host header and the TLS server name are those of the URL. Raises DestinationForbiddenError
    and httpx's transport errors. The caller limits time, size and the number of parallel calls.
    """

    def __init__(
        self,
        policy: DestinationPolicy,
        *,
        resolve: Resolve | None = None,
        listening: Listening | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or trusted_context(),
            max_connections=None,  # a call cancelled in the pool's queue may leak a slot
            max_keepalive_connections=KEPT_ALIVE,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            network_backend=GuardedBackend(policy, resolve, listening),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. The caller reads and closes the body of the response."""
        url = request.url
        self._policy.check_url(
            scheme=url.scheme,
            host=url.raw_host.decode("ascii"),
            port=url.port,
            userinfo=bool(url.userinfo),
        )
        with _as_httpx_errors(), _bounded_head():
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme,
                        host=url.raw_host,
                        port=url.port,
                        target=url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
            request=request,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx_errors():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _bounded_head() -> Iterator[None]:
    head = _Head()
    token = _HEAD.set(head)
    try:
        yield
    finally:
        head.is_over = True
        _HEAD.reset(token)


@contextmanager
def _as_httpx_errors() -> Iterator[None]:
    try:
        yield
    except _TRANSLATED as error:
        translated: Any = getattr(httpx, type(error).__name__)
        raise translated(str(error)) from error


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.errno:
        return reason_of(error)  # asyncio's own text does not say what the number means
    return str(error) or "no answer in time"
