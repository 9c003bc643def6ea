"""HttpClient: makes http calls for the task and for the context source, within all limits."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from activityctl.domain.values.credentials import header_credentials, scrub, scrub_json
from activityctl.domain.values.destination import DestinationPolicy, Network
from activityctl.domain.values.masking import Mask
from activityctl.errors import DestinationForbiddenError, TaskError
from activityctl.executors.address import is_path
from activityctl.executors.http_auth import auth_headers, signer
from activityctl.executors.http_body import HttpBody
from activityctl.executors.http_content import Contents
from activityctl.executors.http_failures import transport_error, unexpected_status
from activityctl.executors.http_parts import check_header_value
from activityctl.executors.local_file import AllowedFolders
from activityctl.executors.pages import NextPage, Pages
from activityctl.executors.request import Letter, forbidden, host_of, url_of
from activityctl.executors.response import (
    check_headers,
    output_of,
    read_body,
    request_label,
)
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Decide, JsonValue, Outgoing, ResolveSecret, untraced

if TYPE_CHECKING:
    import httpx

    from activityctl.executors.destination import Listening

MAX_CALLS_AT_ONCE: Final = 100


@frozen_dataclass
class HttpCall:
    """Who makes a call, and within what limit."""

    run_id: str
    attempt: int
    idempotency_key: str
    timeout_seconds: float
    limit_name: str
    """The field of the limit, for the message of a timeout."""
    secret: ResolveSecret
    mask: Mask
    decide: Decide
    outgoing: Outgoing = untraced


class HttpClient:
    """Makes calls over one pool of kept-alive connections.

    If the URL is only a path, it is a path of `own_api`; the address is checked like any other.
    Other URLs reach none of the daemon's own ports on this machine: `own_ports`, which are known,
    and those that `listening` finds when a call is made.
    Redirects are not followed, cookies are not kept.
    """

    def __init__(
        self,
        *,
        allow_http: bool,
        allowed_networks: Sequence[Network],
        own_api: str | None = None,
        own_ports: Collection[int] = (),
        listening: "Listening | None" = None,
        folders: AllowedFolders | None = None,
        at_once: int = MAX_CALLS_AT_ONCE,
    ) -> None:
        from activityctl.executors.destination import GuardedTransport

        policy = DestinationPolicy(allow_http, tuple(allowed_networks), frozenset(own_ports))
        self._transport = GuardedTransport(policy, listening=listening)
        others = policy.own_ports - {urlsplit(own_api or "").port}
        self._api_transport = GuardedTransport(replace(policy, own_ports=frozenset(others)))
        self._slots = asyncio.Semaphore(at_once)
        self._own_api = own_api
        self._contents = Contents(folders or AllowedFolders(()))

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()
        await self._api_transport.aclose()

    async def send(self, body: HttpBody, call: HttpCall) -> dict[str, JsonValue]:
        """Return the output of the call; raise TaskError for a response that is not expected.

        Credentials in response headers are masked, and so is each credential of the request where
        the response repeats it.
        """
        url = await url_of(body, self._own_api, call.secret)
        letter = await self._letter(body, url, call)
        secrets = header_credentials(letter.headers)
        try:
            output = await self._within_limit(body, url, letter, call)
        except TaskError as error:
            message = scrub(call.mask.text(error.message), secrets)
            raise error.with_message(message) from None
        masked: dict[str, JsonValue] = scrub_json(call.mask.json(output), secrets)
        return masked

    async def _letter(self, body: HttpBody, url: "httpx.URL", call: HttpCall) -> Letter:
        host = host_of(url)
        headers = await auth_headers(body.auth, call.secret, host)
        for name, value in body.headers.items():
            headers[name] = await call.secret(value, host=host)
            if not isinstance(value, str):
                try:
                    check_header_value(headers[name])
                except ValueError as error:
                    message = f"headers.{name}: {value}: {error}"
                    raise TaskError(message, code="secret_unusable", retryable=False) from None
        return Letter(
            body.method,
            headers,
            await self._contents.make(body, call.secret, host),
            await signer(body.auth, call.secret, host, time.time),
            call.run_id,
            call.attempt,
            call.idempotency_key,
        )

    async def _within_limit(
        self, body: HttpBody, url: "httpx.URL", letter: Letter, call: HttpCall
    ) -> dict[str, JsonValue]:
        started = time.monotonic()
        first = letter.request(url)
        limit = call.timeout_seconds
        try:
            async with asyncio.timeout(limit), self._slots:
                if body.paginate is None:
                    _, output = await self._traced(first, body, call)
                else:
                    pages = Pages(body.paginate, call.decide)
                    output = await self._read_pages(first, body, letter, pages, call)
        except TimeoutError:
            raise TaskError(
                f"{request_label(first)}: no complete response within {limit:g} s "
                f"({call.limit_name})",
                code="timeout",
            ) from None
        return {**output, "durationMs": round((time.monotonic() - started) * 1000)}

    async def _read_pages(
        self, first: "httpx.Request", body: HttpBody, letter: Letter, pages: Pages, call: HttpCall
    ) -> dict[str, JsonValue]:
        request = first
        while True:
            response, output = await self._traced(request, body, call)
            await pages.add(response, output)
            page = await pages.next_page(response, output)
            if page is None:
                break
            if page.fields:
                letter = await self._turned(letter, body, page, call)
            request = letter.request(page.url, pages.count + 1)
        return {
            "status": output["status"],
            "headers": output["headers"],
            "items": pages.items,
            "pages": pages.count,
            "complete": pages.is_complete,
            "bytes": pages.bytes,
        }

    async def _turned(
        self, letter: Letter, body: HttpBody, page: NextPage, call: HttpCall
    ) -> Letter:
        """Return the letter with the content that asks for the page."""
        try:
            asking = body.with_fields(page.fields)
        except ValueError as error:
            message = f"paginate.nextIn: {error}"
            raise TaskError(message, code="invalid_request", retryable=False) from error
        content = await self._contents.make(asking, call.secret, host_of(page.url))
        return replace(letter, content=content)

    async def _traced(
        self, request: "httpx.Request", body: HttpBody, call: HttpCall
    ) -> "tuple[httpx.Response, dict[str, JsonValue]]":
        """Exchange with the header of the trace, unless the task has one of its own."""
        async with call.outgoing(f"{request.method} {host_of(request.url)}") as header:
            if header is not None:
                request.headers.setdefault("traceparent", header)
            return await self._exchange(request, body, call.mask)

    async def _exchange(
        self, request: "httpx.Request", body: HttpBody, mask: Mask
    ) -> "tuple[httpx.Response, dict[str, JsonValue]]":
        import httpx

        is_own = self._own_api is not None and is_path(body.url)
        transport = self._api_transport if is_own else self._transport
        try:
            # not through an httpx client, which would keep cookies from one run to another
            response = await transport.handle_async_request(request)
            try:
                check_headers(response)
                if not body.expects(response.status_code):
                    raise await unexpected_status(response, mask)
                content = await read_body(response)
            finally:
                await response.aclose()
        except DestinationForbiddenError as error:
            raise forbidden(request_label(request), error) from error
        except httpx.TransportError as error:
            raise transport_error(request, error) from error
        return response, output_of(response, content, body.response, mask)
