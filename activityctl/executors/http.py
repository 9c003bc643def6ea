"""The `http` task: sends one request and checks the response; `destination` guards the address."""

import asyncio
import json
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from activityctl.domain.values.credentials import (
    MASK,
    header_credentials,
    is_credential_header,
    scrub,
    scrub_json,
)
from activityctl.domain.values.destination import DestinationPolicy, Network
from activityctl.domain.values.model import Manifest
from activityctl.domain.values.untrusted import printable
from activityctl.errors import DestinationForbiddenError, TaskError
from activityctl.executors.response import (
    ACCEPTED_ENCODINGS,
    body_text,
    check_headers,
    parse_body_json,
    read_body,
    read_start,
    request_label,
    too_large,
)
from activityctl.ports import ExecutorOutcome, JsonValue, TaskCall
from activityctl.version import VERSION

if TYPE_CHECKING:
    import httpx

DEADLINE_SECONDS: Final = 30.0
"""Limit for a whole attempt: waiting for a free slot, connecting, headers and body."""
MAX_CALLS_AT_ONCE: Final = 100
QUOTED_CHARACTERS: Final = 500
_QUOTED_BYTES: Final = 4 * QUOTED_CHARACTERS
_RETRYABLE_STATUSES: Final = frozenset({408, 425, 429})
_FIRST_SERVER_ERROR: Final = 500
_HEADER_LINE_TOO_LARGE: Final = 431

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110, section 5.6.2."""
_RESERVED_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-activityctl-attempt",
        "x-activityctl-run",
    }
)
_STATUS: Final = re.compile(r"[1-5]xx|[1-5][0-9]{2}")


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("is not a valid name of a header")
    if name.lower() in _RESERVED_HEADERS:
        raise ValueError("is a header that activityctl sets; remove it")
    return name


def _header_value(value: str) -> str:
    if re.search("[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ValueError("a header must not contain line ends or other control characters")
    return value


def _status(value: int | str) -> int | str:
    if not _STATUS.fullmatch(str(value)):
        raise ValueError("should be a status code such as 404, or a class such as 2xx")
    return value


def _to_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Status = Annotated[int | str, AfterValidator(_status)]
_STATUS_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 599},
        {"type": "string", "pattern": f"^({_STATUS.pattern})$"},
    ]
}
Scalar = str | bool | int | float


class HttpBody(Manifest):
    """The fields of `http:`."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {"required": ["json", "body"], "properties": {"body": {"type": "string"}}}
        }
    )

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = Field(
        default="GET", description="The method of the request.", examples=["POST"]
    )
    url: str = Field(
        description="The URL of the request: https, without user and password.",
        examples=["https://risk.example/score"],
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        description="Headers to send, in addition to those that activityctl sets.",
        examples=[{"Accept": "application/json"}],
        json_schema_extra={"propertyNames": {"pattern": f"^(?:{_TOKEN.pattern})$"}},
    )
    query: dict[str, Scalar | list[Scalar]] = Field(
        default={},
        description="Query parameters to add to the URL; a list repeats its key.",
        examples=[{"page": 1, "tag": ["a", "b"]}],
    )
    json_value: JsonValue = Field(
        default=None,
        alias="json",
        description="The body of the request, sent as JSON; not together with `body`.",
        examples=[{"run": "${ run.id }"}],
    )
    body: str | None = Field(
        default=None,
        description="The body of the request, sent as text; not together with `json`.",
        examples=["${ run.id }"],
    )
    expect: Annotated[
        list[Status],
        BeforeValidator(_to_list),
        Field(min_length=1),
        WithJsonSchema(
            {"anyOf": [_STATUS_SCHEMA, {"type": "array", "items": _STATUS_SCHEMA, "minItems": 1}]}
        ),
    ] = Field(
        default=["2xx"],
        description="Status codes or classes that mean success.",
        examples=[["2xx", 404]],
    )

    @model_validator(mode="after")
    def _has_one_content(self) -> Self:
        if self.sends_json and self.body is not None:
            raise ValueError("json and body cannot be combined; give one of them")
        return self

    @property
    def sends_json(self) -> bool:
        """Whether `json` is given; `json: null` sends the JSON value null."""
        return "json_value" in self.model_fields_set

    def expects(self, status: int) -> bool:
        """Return whether this status means success."""
        return any(str(wanted) in {str(status), f"{status // 100}xx"} for wanted in self.expect)


class HttpExecutor:
    """Sends one request for each attempt, over one pool of kept-alive connections.

    If the URL is only a path, it is a path of `own_api`; the address is checked like any other.
    Other URLs reach none of `own_ports` on this machine, the daemon's own.
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
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        from activityctl.executors.destination import GuardedTransport

        policy = DestinationPolicy(allow_http, tuple(allowed_networks), frozenset(own_ports))
        self._transport = GuardedTransport(policy)
        others = policy.own_ports - {urlsplit(own_api or "").port}
        self._api_transport = GuardedTransport(replace(policy, own_ports=frozenset(others)))
        self._slots = asyncio.Semaphore(MAX_CALLS_AT_ONCE)
        self._deadline_seconds = deadline_seconds
        self._own_api = own_api

    async def execute(self, body: HttpBody, call: TaskCall) -> ExecutorOutcome:
        """Send the request. Raises TaskError for every response that `expect` does not name."""
        secrets = header_credentials(body.headers)
        try:
            output = await self._attempt(body, call)
        except TaskError as error:
            message = scrub(error.message, secrets)
            code, may_retry = error.task_code, error.may_retry
            raise TaskError(message, code=code, retryable=may_retry) from None
        return ExecutorOutcome(scrub_json(output, secrets))

    async def _attempt(self, body: HttpBody, call: TaskCall) -> dict[str, JsonValue]:
        started = time.monotonic()
        request = _request(body, call, self._own_api)
        deadline = min(self._deadline_seconds, call.timeout_seconds)
        try:
            async with asyncio.timeout(deadline), self._slots:
                is_path = self._own_api is not None and _is_path(body.url)
                transport = self._api_transport if is_path else self._transport
                output = await self._exchange(request, body, transport)
        except TimeoutError:
            raise TaskError(
                f"{request_label(request)}: no complete response within {deadline:g} s",
                code="timeout",
            ) from None
        return {**output, "durationMs": round((time.monotonic() - started) * 1000)}

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()
        await self._api_transport.aclose()

    async def _exchange(
        self, request: "httpx.Request", body: HttpBody, transport: "httpx.AsyncBaseTransport"
    ) -> dict[str, JsonValue]:
        import httpx

        try:
            # not through an httpx client, which would keep cookies from one run to another
            response = await transport.handle_async_request(request)
            try:
                check_headers(response)
                if not body.expects(response.status_code):
                    raise await _unexpected_status(response)
                content = await read_body(response)
            finally:
                await response.aclose()
        except DestinationForbiddenError as error:
            raise _forbidden(request_label(request), error.message, error.hint) from error
        except httpx.TransportError as error:
            raise _transport_error(request, error) from error
        return _output(response, content)


def _request(body: HttpBody, call: TaskCall, own_api: str | None) -> "httpx.Request":
    import httpx

    try:
        url = httpx.URL(_absolute_url(body.url, own_api))
    except httpx.InvalidURL as error:
        raise _forbidden(body.method, f"the URL is invalid: {error}") from error
    try:
        media_type, content = _content(body)
        headers = httpx.Headers(
            {
                "User-Agent": f"activityctl/{VERSION}",
                "Accept": "*/*",
                "Idempotency-Key": call.idempotency_key,
                **media_type,
            }
        )
        headers.update(httpx.Headers(body.headers, encoding="utf-8"))
        headers["Accept-Encoding"] = ACCEPTED_ENCODINGS
        headers["X-Activityctl-Run"] = call.run_id
        headers["X-Activityctl-Attempt"] = str(call.attempt)
        if body.query:
            url = url.copy_merge_params(body.query)
        return httpx.Request(body.method, url, headers=headers, content=content)
    except (
        httpx.InvalidURL,
        ValueError,
        TypeError,
    ) as error:  # too long, NaN in json, a lone surrogate in a header
        raise TaskError(
            f"{body.method}: the request is invalid: {error}",
            code="invalid_request",
            retryable=False,
        ) from error


def _absolute_url(url: str, own_api: str | None) -> str:
    return own_api.rstrip("/") + url if own_api and _is_path(url) else url


def _is_path(url: str) -> bool:
    return url.startswith("/") and not url.startswith("//")


def _content(body: HttpBody) -> tuple[dict[str, str], bytes | None]:
    if body.sends_json:  # not left to httpx, which sends nothing for null
        text = json.dumps(
            body.json_value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        return {"Content-Type": "application/json"}, text.encode()
    if body.body is not None:
        return {"Content-Type": "text/plain; charset=utf-8"}, body.body.encode()
    return {}, None


def _forbidden(label: str, reason: str, hint: str | None = None) -> TaskError:
    message = f"{label}: {reason}" + (f"; {hint}" if hint else "")
    return TaskError(message, code="destination_forbidden", retryable=False)


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


async def _unexpected_status(response: "httpx.Response") -> TaskError:
    status = response.status_code
    message = f"{request_label(response.request)}: {status} {response.reason_phrase}".rstrip()
    if location := response.headers.get("location"):
        message += f": redirects to {location[:QUOTED_CHARACTERS]}, which is not followed"
    try:
        quoted = body_text(response, await read_start(response, _QUOTED_BYTES)).strip()
    except TaskError as error:
        quoted = error.message
    if quoted:
        message += f": {quoted[:QUOTED_CHARACTERS]}"
    may_retry = status >= _FIRST_SERVER_ERROR or status in _RETRYABLE_STATUSES
    return TaskError(printable(message), code="unexpected_status", retryable=may_retry)


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
