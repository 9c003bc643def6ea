"""Requests to the HTTP API: with their token, within their time and size, repeated when harmless.

No redirect is followed and no proxy of the environment is used, so the token goes to one host.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import httpx

from activityctl.adapters.remote.problems import (
    error_of,
    no_answer_of_ours,
    other_version,
    redirected,
)
from activityctl.errors import ActivityctlError, UnreachableError, reason_of
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.secret import Secret
from activityctl.version import VERSION

VERSION_HEADER: Final = "x-activityctl-version"
_CONNECT_SECONDS: Final = 5.0
_SECONDS: Final = 30.0
"""How long one answer may take, from the request to its last byte."""
_SILENCE: Final = 30.0
"""Seconds after which a stream counts as broken; the server sends something every 15."""
_LARGEST: Final = 64 * 1024 * 1024
_PATIENCE: Final = 10.0
"""How long requests are repeated in all, whatever `Retry-After` says."""
_TRIES: Final = 4
_FIRST_PAUSE: Final = 0.2
_SUCCESS: Final = 2
_REDIRECTION: Final = 3
_CONTENT: Final = "application/json"
Params = Mapping[str, str | int | Sequence[str] | None]


@frozen_dataclass
class ServerPlace:
    """Where the API is, and how it is reached."""

    url: str
    token: Secret | None
    tls: ssl.SSLContext
    hint: str = "start it, or correct its address: activityctl config show"
    """What to do if it does not answer."""


@frozen_dataclass
class Answer:
    """The JSON of an answer, and its ETag."""

    value: Any
    tag: str | None = None


class ApiClient:
    """Sends requests and returns the JSON of the answers; each error is one of ours."""

    def __init__(self, place: ServerPlace, http: httpx.AsyncClient) -> None:
        self.url = place.url
        self._place = place
        self._http = http

    async def get(self, path: str, params: Params | None = None) -> Any:
        """Return the JSON of an answer; it is asked for again after a fault of the network."""
        return (await self._answer("GET", path, params, is_harmless=True)).value

    async def ask(  # what a request has
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Params | None = None,
        tag: str | None = None,
        key: str | None = None,
        is_harmless: bool = False,
        seconds: float = 0.0,
    ) -> Answer:
        """Return the JSON of an answer, and its tag; it is repeated as one of `post`.

        With a `tag`, the object or plan must still have it. The server may wait for `seconds`.
        """
        headers = {"Content-Type": _CONTENT}
        if tag is not None:
            headers["If-Match"] = f'"{tag}"'
        if key is not None:
            headers["Idempotency-Key"] = key
        data = b"" if body is None else json.dumps(body).encode()
        repeats = is_harmless or key is not None
        return await self._answer(
            method, path, params, headers, data, is_harmless=repeats, seconds=seconds
        )

    async def post(  # what a request has
        self,
        path: str,
        body: Any = None,
        *,
        params: Params | None = None,
        key: str | None = None,
        content: bytes | None = None,
        media_type: str = _CONTENT,
        is_harmless: bool = False,
    ) -> Any:
        """Return the JSON of an answer.

        It is repeated if nothing of it was done; after an answer that was lost only with a `key`,
        by which the server knows a repeat, or if it is harmless in itself.
        """
        headers = {"Content-Type": media_type}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = json.dumps(body or {}).encode() if content is None else content
        repeats = is_harmless or key is not None
        answer = await self._answer("POST", path, params, headers, data, is_harmless=repeats)
        return answer.value

    async def _answer(  # what a request has
        self,
        method: str,
        path: str,
        params: Params | None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        *,
        is_harmless: bool,
        seconds: float = 0.0,
    ) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        pause = _FIRST_PAUSE
        for left in range(_TRIES - 1, -1, -1):
            try:
                async with asyncio.timeout(_SECONDS + seconds):
                    status, answered, body = await self._send(method, path, params, headers, data)
            except httpx.TransportError as error:
                is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                again = is_harmless and not is_unsent and left and loop.time() + pause < deadline
                if not again:
                    raise self._unreachable(error) from error
            except TimeoutError:
                raise self._unreachable(TimeoutError()) from None
            else:
                again = _says_again(status, body, is_harmless=is_harmless)
                wait = _seconds(answered) if again else None
                if wait is None or not left or loop.time() + wait > deadline:
                    return self._checked(status, answered, body)
                pause = wait
            await asyncio.sleep(pause)
            pause = min(pause * 3, 2.0)
        raise AssertionError("the last try returns or raises")

    async def _send(
        self,
        method: str,
        path: str,
        params: Params | None,
        headers: Mapping[str, str] | None,
        data: bytes | None,
    ) -> tuple[int, httpx.Headers, bytes]:
        """Send one request; return status, headers and body."""
        request = self._http.build_request(
            method, self._target(path), params=_given(params), headers=headers, content=data
        )
        answer = await self._http.send(request, stream=True)
        try:
            parts, size = [], 0
            async for part in answer.aiter_raw():
                size += len(part)
                if size > _LARGEST:
                    raise UnreachableError(
                        f"the answer of {self.url} is larger than {_LARGEST // 1024**2} MiB",
                        hint="ask for less, for example with --limit",
                    )
                parts.append(part)
        finally:
            await answer.aclose()
        return answer.status_code, answer.headers, b"".join(parts)

    def _checked(self, status: int, headers: httpx.Headers, body: bytes) -> Answer:
        """Return the JSON of a success; raise the error of anything else."""
        if status // 100 == _REDIRECTION:
            raise redirected(self.url, status)
        try:
            value = json.loads(body)
        except ValueError:
            raise no_answer_of_ours(self.url, status, "no JSON") from None
        if status // 100 == _SUCCESS:
            tag = headers.get("etag")
            return Answer(value, None if tag is None else tag.removeprefix("W/").strip('"'))
        if not isinstance(value, dict) or "code" not in value:
            raise no_answer_of_ours(self.url, status, "JSON that is no problem detail")
        raise self._with_version(error_of(status, value, self.url), headers)

    def _with_version(self, error: ActivityctlError, headers: httpx.Headers) -> ActivityctlError:
        """Return the error; if the request is not known there, with the version of the server."""
        version = headers.get(VERSION_HEADER, VERSION)
        is_unknown = error.message.endswith("does not know this request")
        if version != VERSION and (is_unknown or error.code == "usage"):
            error.message = f"{error.message}; {other_version(version)}"
            error.args = (error.message,)
        return error

    @asynccontextmanager
    async def stream(
        self, path: str, params: Params | None = None, last_id: str | None = None
    ) -> AsyncIterator[AsyncIterator[str]]:
        """Open a stream of events; yield its lines as they come.

        UnreachableError if the connection ends by a fault, or if nothing comes for a while.
        """
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        timeout = httpx.Timeout(_SILENCE, connect=_CONNECT_SECONDS)
        try:
            request = self._http.build_request(
                "GET", self._target(path), params=_given(params), headers=headers, timeout=timeout
            )
            answer = await self._http.send(request, stream=True)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        try:
            is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
            if not answer.is_success or not is_stream:
                self._checked(answer.status_code, answer.headers, await answer.aread())
                raise no_answer_of_ours(self.url, answer.status_code, "no stream")
            yield self._lines(answer)
        finally:
            await answer.aclose()

    async def _lines(self, answer: httpx.Response) -> AsyncIterator[str]:
        try:
            async for line in answer.aiter_lines():
                yield line
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _target(self, path: str) -> str:
        return f"{self.url}{path}"

    def _unreachable(self, error: Exception) -> UnreachableError:
        """Return the error for a server that does not answer, or not as it should."""
        return UnreachableError(
            f"{self.url} does not answer: {_reason(error)}", hint=self._place.hint
        )


def _says_again(status: int, body: bytes, *, is_harmless: bool) -> bool:
    """Return whether the same request may be sent again after this answer.

    What is not harmless only if nothing of it was done, as the problem details say.
    """
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    if status != HTTPStatus.SERVICE_UNAVAILABLE:
        return False
    try:
        problem = json.loads(body)
    except ValueError:
        return is_harmless
    return is_harmless or (isinstance(problem, dict) and problem.get("retryable") is True)


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return reason_of(cause)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection ended before the answer"
    return str(error).lower() or "the connection failed"


def _seconds(headers: httpx.Headers) -> float | None:
    """Return after how many seconds to try again; None if the server does not say."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _given(params: Params | None) -> httpx.QueryParams:
    """Return the parameters that have a value; a sequence is repeated."""
    found: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in (params or {}).items():
        if isinstance(value, str | int):
            found.append((name, str(value)))
        elif value is not None:
            found += [(name, each) for each in value]
    return httpx.QueryParams(found)


@asynccontextmanager
async def open_client(place: ServerPlace) -> AsyncIterator[ApiClient]:
    """Open the connections to a server; they are made with the first request."""
    headers = {"User-Agent": f"activityctl/{VERSION}", "Accept-Encoding": "identity"}
    if place.token is not None:
        headers["Authorization"] = f"Bearer {place.token.value}"
    async with httpx.AsyncClient(
        headers=headers,
        verify=place.tls,
        timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),  # `_answer` has the deadline
        trust_env=False,
        follow_redirects=False,
    ) as http:
        yield ApiClient(place, http)
