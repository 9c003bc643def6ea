"""The guarded wire of every outgoing call: resolve, check, connect to the checked address.

An httpx transport of our own around httpcore's public pool, because httpx's transport
takes no network backend. It reads no environment: no proxies, no netrc, no CA variables.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import httpcore
import httpx

from activityctl.domain.values.destination import DestinationPolicy
from activityctl.errors import DestinationForbiddenError

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""`await resolve(host, port)` gives numeric addresses, the preferred first."""

KEPT_ALIVE: Final = 100
KEEP_ALIVE_SECONDS: Final = 5.0
FALLBACK_SECONDS: Final = 3.0
"""How long one of several addresses may take to connect before the next is tried."""
_TRANSLATED: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


async def resolve_name(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver, which also reads spellings such as `0x7f000001`."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@cache
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that the policy permits, each checked at connect time.

    A name is refused when none of its addresses is permitted; the others are never tried.
    It knows no unix sockets.
    """

    def __init__(self, policy: DestinationPolicy, resolve: Resolve = resolve_name) -> None:
        self._policy = policy
        self._resolve = resolve
        self._wire = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first permitted address that answers."""
        addresses = await self._permitted(host, port)
        failure: Exception | None = None
        for address in addresses:
            patience = timeout if address == addresses[-1] else FALLBACK_SECONDS
            try:
                return await self._wire.connect_tcp(
                    address, port, patience, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        reason = _reason(failure) if failure else "it has no address"
        raise httpcore.ConnectError(f"cannot connect to {host} port {port}: {reason}")

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)

    async def _permitted(self, host: str, port: int) -> Sequence[str]:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label the IDNA codec refuses
            raise httpcore.ConnectError(f"cannot resolve {host}: {error}") from error
        refusals = {address: self._policy.refusal(address) for address in found}
        permitted = [address for address, refusal in refusals.items() if refusal is None]
        if refusals and not permitted:
            listed = ", ".join(f"{address} ({reason})" for address, reason in refusals.items())
            raise DestinationForbiddenError(
                f"{host} is {listed}", hint="add its network to ACTIVITYCTL_ALLOWED_NETWORKS"
            )
        return permitted


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport whose every connection passes a GuardedBackend.

    Host header and TLS server name stay those of the URL. Raises DestinationForbiddenError
    and httpx's transport errors. The caller bounds time, size and how many calls run at once.
    """

    def __init__(
        self,
        policy: DestinationPolicy,
        *,
        resolve: Resolve = resolve_name,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or _trust(),
            max_connections=None,  # a call cancelled in the pool's queue may cost it a place
            max_keepalive_connections=KEPT_ALIVE,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            network_backend=GuardedBackend(policy, resolve),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's body is still to be read and closed."""
        url = request.url
        self._policy.check_url(
            scheme=url.scheme, host=url.host, port=url.port, userinfo=bool(url.userinfo)
        )
        with _as_httpx_errors():
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
def _as_httpx_errors() -> Iterator[None]:
    try:
        yield
    except _TRANSLATED as error:
        translated: Any = getattr(httpx, type(error).__name__)
        raise translated(str(error)) from error


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.errno:  # asyncio's own text leaves out what it means
        return os.strerror(error.errno)
    return str(error) or "no answer in time"
