"""What every request passes first: its id, its host, its origin, its rate, and its errors."""

import logging
import re
import uuid
from collections.abc import Collection, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from activityctl.api.allowed_methods import has_head
from activityctl.api.forwarded import Client, Proxies
from activityctl.api.problems import problem_response
from activityctl.api.rates import Rates
from activityctl.api.refusals import (
    HEADER_BYTES,
    BadRequestError,
    ForeignOriginError,
    HttpRefusedError,
    LongHeadersError,
    TooManyRequestsError,
)
from activityctl.errors import ActivityctlError, InternalError
from activityctl.version import VERSION

_LOG = logging.getLogger(__name__)
LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::\d{1,5})?")
_HIDDEN_SLASH: Final = re.compile(rb"%2f|%5c", re.IGNORECASE)
_LIVENESS: Final = "/healthz"
"""Has no rate: who floods an address must not let a supervisor restart a server that works."""
_STREAM: Final = b"text/event-stream"
_FIXED_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-activityctl-version", VERSION.encode()),
]


class Gate:
    """Refuses what must not reach the routes, and turns every error into problem details."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str],
        rates: Rates,
        proxies: Collection[IPv4Network | IPv6Network] = (),
    ) -> None:
        self._app = app
        self._proxies = Proxies(tuple(proxies))
        self._hosts = LOOPBACK_HOSTS | {host.lower() for host in hosts}
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        has_begun = False

        async def answer(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [
                    *message.get("headers", ()),
                    *_FIXED_HEADERS,
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        try:
            self._check(scope, headers)
            await self._app(_asked(scope), receive, answer)
        except Exception as error:  # each is answered; a bug is logged
            problem = _own_error(error, request_id)
            if has_begun:
                raise  # the connection is cut, so that nobody takes a part for the whole
            await problem_response(problem, request_id)(scope, receive, answer)

    def _check(self, scope: Scope, headers: Iterable[tuple[bytes, bytes]]) -> None:
        check_size(headers, (scope.get("raw_path") or b"") + scope.get("query_string", b""))
        check_framing(scope["http_version"], headers)
        check_path(scope.get("raw_path") or b"")
        client = self._proxies.client((scope.get("client") or ("",))[0], headers)
        if client is not None:
            scope["client"] = (client.address, 0)
            scope["scheme"] = client.scheme or scope["scheme"]
        host = self._check_host(headers, client)
        is_known = scope["scheme"] == "https" or (client is not None and client.scheme is not None)
        check_origin(headers, host, scope["scheme"] if is_known else None)
        if scope["path"] != _LIVENESS:
            check_rate(self._rates, f"address {_network(scope)}")

    def _check_host(self, headers: Iterable[tuple[bytes, bytes]], client: Client | None) -> str:
        """Return the host; a name of somebody else could be a web page's (DNS rebinding).

        A proxy may say under which host it was asked. Both must be known: clients can send the
        header of a proxy that does not write it.
        """
        hosts = _values(headers, b"host")
        if len(hosts) != 1:
            raise _foreign_host()
        if client is not None and client.host is not None:
            hosts.append(client.host)
        for host in hosts:
            found = _HOST.fullmatch(host)
            if found is None or found[1].strip("[]").lower() not in self._hosts:
                raise _foreign_host()
        return hosts[-1].lower()


def _asked(scope: Scope) -> Scope:
    """Return the request that the routes answer: HEAD is a GET whose body the server leaves out.

    A stream would have no end, so HEAD has the headers of a page.
    """
    if scope["method"] != "HEAD" or not has_head(scope["path"]):
        return scope
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name != b"accept" or _STREAM not in value
    ]
    return {**scope, "method": "GET", "headers": headers}


def _foreign_host() -> BadRequestError:
    return BadRequestError(
        "this server does not answer for the host of this request",
        hint="use the address it listens on, or start it with --allowed-host NAME",
    )


def check_size(headers: Iterable[tuple[bytes, bytes]], target: bytes = b"") -> None:
    """Raise LongHeadersError: headers, and a path, that come at once are not counted before."""
    if sum(len(name) + len(value) + 4 for name, value in headers) + len(target) > HEADER_BYTES:
        raise LongHeadersError


def check_framing(version: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise BadRequestError if a proxy could see another end of the body (request smuggling)."""
    names = [name for name, _ in headers]
    is_chunked = b"transfer-encoding" in names
    if is_chunked and (b"content-length" in names or version == "1.0"):
        raise BadRequestError("the length of the body is given in two ways")


def check_path(raw: bytes) -> None:
    """Raise BadRequestError if a proxy with rules for paths could see another path."""
    if _HIDDEN_SLASH.search(raw):
        raise BadRequestError("the path has a slash in percent encoding, which no path here needs")


def check_origin(headers: Iterable[tuple[bytes, bytes]], host: str, scheme: str | None) -> None:
    """Raise ForeignOriginError if the page of another site sends the request.

    Without a scheme, it is not known whether a proxy speaks TLS for this server.
    """
    schemes = ("http", "https") if scheme is None else (scheme,)
    for origin in _values(headers, b"origin"):
        if origin.lower() not in {f"{one}://{host}" for one in schemes}:
            raise ForeignOriginError("pages of other sites may not use this server")


def check_rate(rates: Rates, client: str) -> None:
    """Raise TooManyRequestsError if the client has sent too many requests."""
    if seconds := rates.seconds_to_wait(client):
        raise TooManyRequestsError(
            "too many requests; wait, then go on more slowly",
            hint="send several events in one request, or start the server with a higher --rate",
            retry_after=seconds,
        )


def _own_error(error: Exception, request_id: str) -> ActivityctlError:
    """Return the error to answer with, and log what is a bug."""
    if isinstance(error, HttpRefusedError):
        return error
    if isinstance(error, ActivityctlError) and not isinstance(error, InternalError):
        return error
    _LOG.error("request %s failed by a bug", request_id, exc_info=error)
    return InternalError("bug")


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that the client gave if it is harmless, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return uuid.uuid4().hex


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _network(scope: Scope) -> str:
    """Return the client's address; for IPv6 its network, of which one client has all addresses."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ip_address(host)
    except ValueError:
        return str(host)
    return str(address) if address.version == 4 else str(int(address) >> 64)  # noqa: PLR2004  # IPv4
