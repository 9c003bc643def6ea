"""The `http` task: sends one request and checks the response; `destination` guards the address."""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import BaseModel

from activityctl.domain.values.credentials import (
    MASK,
    header_credentials,
    is_credential_header,
    scrub,
    scrub_json,
)
from activityctl.domain.values.destination import DestinationPolicy, Network
from activityctl.domain.values.masking import Mask
from activityctl.domain.values.secret_ref import SecretRef, fill_secrets
from activityctl.domain.values.untrusted import printable
from activityctl.errors import DestinationForbiddenError, TaskError
from activityctl.executors.address import is_path
from activityctl.executors.http_body import HttpBody, check_header_value
from activityctl.executors.request import forbidden, host_of, request_of
from activityctl.executors.response import (
    body_text,
    check_headers,
    parse_body_json,
    read_body,
    read_start,
    request_label,
    seconds_to_wait,
    too_large,
)
from activityctl.ports import ExecutorOutcome, JsonValue, TaskCall

if TYPE_CHECKING:
    import httpx

    from activityctl.executors.destination import Listening

MAX_CALLS_AT_ONCE: Final = 100
QUOTED_CHARACTERS: Final = 500
_QUOTED_BYTES: Final = 4 * QUOTED_CHARACTERS
_RETRYABLE_STATUSES: Final = frozenset({408, 425, 429})
_FIRST_SERVER_ERROR: Final = 500
_HEADER_LINE_TOO_LARGE: Final = 431


class HttpExecutor:
    """Sends one request for each attempt, over one pool of kept-alive connections.

    If the URL is only a path, it is a path of `own_api`; the address is checked like any other.
    Other URLs reach none of the daemon's own ports on this machine: `own_ports`, which are known,
    and those that `listening` finds when a call is made.
    Redirects are not followed, cookies are not kept. Output: `status`, `headers` (names in lower
    case, repeated ones joined by commas), `json`, or else `body` as text, `bytes` (size of the
    body, decompressed) and `durationMs`. Credentials in response headers are masked, and so is
    each credential of the request where the response repeats it.
    """

    kind: ClassVar[str] = "http"
    body: ClassVar[type[BaseModel]] = HttpBody

    def __init__(
        self,
        *,
        allow_http: bool,
        allowed_networks: Sequence[Network],
        own_api: str | None = None,
        own_ports: Collection[int] = (),
        listening: "Listening | None" = None,
    ) -> None:
        from activityctl.executors.destination import GuardedTransport

        policy = DestinationPolicy(allow_http, tuple(allowed_networks), frozenset(own_ports))
        self._transport = GuardedTransport(policy, listening=listening)
        others = policy.own_ports - {urlsplit(own_api or "").port}
        self._api_transport = GuardedTransport(replace(policy, own_ports=frozenset(others)))
        self._slots = asyncio.Semaphore(MAX_CALLS_AT_ONCE)
        self._own_api = own_api

    async def execute(self, body: HttpBody, call: TaskCall) -> ExecutorOutcome:
        """Send the request. Raises TaskError for every response that `expect` does not name."""
        headers = await self._headers(body, call)
        body = await self._with_json(body, call)
        secrets = header_credentials(headers)
        try:
            output = await self._attempt(body, headers, call)
        except TaskError as error:
            message = scrub(call.mask.text(error.message), secrets)
            raise error.with_message(message) from None
        return ExecutorOutcome(scrub_json(call.mask.json(output), secrets))

    async def _headers(self, body: HttpBody, call: TaskCall) -> dict[str, str]:
        """Return the headers with the values of their secrets."""
        host = host_of(body.url, self._own_api)
        headers = {}
        for name, value in body.headers.items():
            headers[name] = await call.secret(value, host=host)
            if not isinstance(value, str):
                try:
                    check_header_value(headers[name])
                except ValueError as error:
                    message = f"headers.{name}: {value}: {error}"
                    raise TaskError(message, code="secret_unusable", retryable=False) from None
        return headers

    async def _with_json(self, body: HttpBody, call: TaskCall) -> HttpBody:
        """Return the body with the values of the secrets in `json`."""
        if not body.sends_json:
            return body
        host = host_of(body.url, self._own_api)

        async def read(ref: SecretRef) -> str:
            return await call.secret(ref, host=host)

        return body.model_copy(update={"json_value": await fill_secrets(body.json_value, read)})

    async def _attempt(
        self, body: HttpBody, headers: Mapping[str, str], call: TaskCall
    ) -> dict[str, JsonValue]:
        started = time.monotonic()
        request = request_of(body, headers, call, self._own_api)
        limit = call.timeout_seconds
        try:
            async with asyncio.timeout(limit), self._slots:
                is_own = self._own_api is not None and is_path(body.url)
                transport = self._api_transport if is_own else self._transport
                output = await self._exchange(request, body, transport, call.mask)
        except TimeoutError:
            raise TaskError(
                f"{request_label(request)}: no complete response within {limit:g} s "
                "(timeout.startToClose)",
                code="timeout",
            ) from None
        return {**output, "durationMs": round((time.monotonic() - started) * 1000)}

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()
        await self._api_transport.aclose()

    async def _exchange(
        self,
        request: "httpx.Request",
        body: HttpBody,
        transport: "httpx.AsyncBaseTransport",
        mask: Mask,
    ) -> dict[str, JsonValue]:
        import httpx

        try:
            # not through an httpx client, which would keep cookies from one run to another
            response = await transport.handle_async_request(request)
            try:
                check_headers(response)
                if not body.expects(response.status_code):
                    raise await _unexpected_status(response, mask)
                content = await read_body(response)
            finally:
                await response.aclose()
        except DestinationForbiddenError as error:
            raise forbidden(request_label(request), error) from error
        except httpx.TransportError as error:
            raise _transport_error(request, error) from error
        return _output(response, content)


def _transport_error(request: "httpx.Request", error: "httpx.TransportError") -> TaskError:
    import httpx

    from activityctl.executors.destination import LongHeadError

    label = request_label(request)
    if isinstance(error, httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return TaskError(f"{label}: {error}", code="invalid_request", retryable=False)
    if isinstance(error, httpx.RemoteProtocolError):
        origin = error.__cause__.args[0] if error.__cause__ and error.__cause__.args else None
        if isinstance(origin, LongHeadError):
            return too_large(request, str(origin))
        if getattr(origin, "error_status_hint", None) == _HEADER_LINE_TOO_LARGE:
            return too_large(request, "a header line that does not end")
        return TaskError(f"{label}: {error}", code="bad_response")
    return TaskError(f"{label}: {error or type(error).__name__}", code="unreachable")


async def _unexpected_status(response: "httpx.Response", mask: Mask) -> TaskError:
    """Return the error; `mask` is applied to what the response says before that is cut."""
    status = response.status_code
    message = f"{request_label(response.request)}: {status} {response.reason_phrase}".rstrip()
    if location := response.headers.get("location"):
        message += (
            f": redirects to {mask.text(location)[:QUOTED_CHARACTERS]}, which is not followed"
        )
    try:
        quoted = body_text(response, await read_start(response, _QUOTED_BYTES)).strip()
    except TaskError as error:
        quoted = error.message
    if quoted:
        message += f": {mask.beginning(quoted)[:QUOTED_CHARACTERS]}"
    may_retry = status >= _FIRST_SERVER_ERROR or status in _RETRYABLE_STATUSES
    return TaskError(
        printable(message),
        code="unexpected_status",
        retryable=may_retry,
        retry_after_seconds=seconds_to_wait(response.headers, datetime.now(UTC)),
        status=status,
    )


def _output(response: "httpx.Response", content: bytes) -> dict[str, JsonValue]:
    document = parse_body_json(response, content)
    output: dict[str, JsonValue] = {
        "status": response.status_code,
        "headers": {
            name: MASK if is_credential_header(name) else value
            for name, value in response.headers.items()
        },
        "body": body_text(response, content) if content and not document.is_json else None,
        "json": document.value,
        "bytes": len(content),
    }
    if document.problem is not None and content:
        output["jsonError"] = document.problem
    return output
