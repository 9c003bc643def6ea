"""One node of a chain: sends a JSON-RPC call and reads the answer, within bounds of time and size.

A node is a stranger: it may be slow, endless, malformed, or of another chain.
"""

import asyncio
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from activityctl.domain.chain.hexadecimal import quantity
from activityctl.domain.chain.node_answer import AnswerFault, fault_of
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import escape_line
from activityctl.ports import CallRefusedError, NodeFaultError

CALL_SECONDS: Final = 15.0
"""The most seconds of one call, over headers and body together."""
MAX_BODY: Final = 32 * 1024 * 1024
"""The most bytes of an answer, after decompression."""
_LONGEST_MESSAGE: Final = 500
_LONGEST_PAUSE: Final = 300.0
_WRONG_CHAIN_PAUSE: Final = 60.0
_TOO_LARGE: Final = 413
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_GATEWAY_TIMEOUT: Final = 504
_INTERNAL_ERROR: Final = -32603
"""The code of JSON-RPC for a fault of the server."""
_WORTH_TO_READ: Final = frozenset({400, 403, 404, 413, 422, 429, 500, 503})
"""Statuses whose body may be a JSON-RPC error that says more."""


class HttpNode:
    """Implements ChainNode over HTTP."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        name: str,
        chain_id: int,
        *,
        seconds: float = CALL_SECONDS,
        max_body: int = MAX_BODY,
    ) -> None:
        self.name = name
        self._client = client
        self._url = url
        self._chain_id = chain_id
        self._seconds = seconds
        self._max_body = max_body
        self._numbers = itertools.count(1)
        self._is_checked = False

    async def call(self, method: str, *params: JsonValue) -> JsonValue:
        """Return the result; before the first call, and after a fault, check the chain's id."""
        if not self._is_checked:
            await self._check_chain()
        return await self._call(method, params)

    def doubt(self) -> None:
        """Check the chain's id again before the next call."""
        self._is_checked = False

    async def _check_chain(self) -> None:
        answer = await self._call("eth_chainId", ())
        try:
            found = quantity(answer)
        except ValueError as error:
            raise NodeFaultError(f"eth_chainId: {error}") from None
        if found != self._chain_id:
            raise NodeFaultError(
                f"is a node of chain {found}, not {self._chain_id}", pause=_WRONG_CHAIN_PAUSE
            )
        self._is_checked = True

    async def _call(self, method: str, params: tuple[JsonValue, ...]) -> JsonValue:
        number = next(self._numbers)
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        try:
            async with asyncio.timeout(self._seconds):
                status, headers, content = await self._send(method, body)
        except TimeoutError:
            raise self._timed_out(method) from None
        except httpx.HTTPError as lost:
            raise NodeFaultError(f"{method}: {_reason(lost)}") from None
        is_read = 200 <= status < 300 or status in _WORTH_TO_READ  # noqa: PLR2004  # HTTP statuses
        answer = _json_object(content) if is_read else None
        if answer is not None and isinstance(error := answer.get("error"), Mapping):
            raise _refusal(method, error, status, headers)
        if not 200 <= status < 300:  # noqa: PLR2004  # HTTP statuses
            raise self._status_fault(method, status, headers)
        if answer is None or "result" not in answer:
            raise NodeFaultError(f"{method}: the answer is no JSON-RPC result")
        if answer.get("id") != number:
            raise NodeFaultError(f"{method}: the answer is to another call")
        return answer["result"]

    async def _send(self, method: str, body: JsonValue) -> tuple[int, Mapping[str, str], bytes]:
        async with self._client.stream("POST", self._url, json=body) as response:
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > self._max_body:
                    raise _too_large(method, self._max_body)
            return response.status_code, response.headers, bytes(content)

    def _timed_out(self, method: str) -> Exception:
        reason = f"no answer within {self._seconds:g} s"
        if method == "eth_getLogs":  # a smaller query may be answered in time
            return CallRefusedError(AnswerFault.TOO_WIDE, 0, reason, None)
        return NodeFaultError(f"{method}: {reason}")

    def _status_fault(self, method: str, status: int, headers: Mapping[str, str]) -> Exception:
        if method == "eth_getLogs" and status in {_TOO_LARGE, _GATEWAY_TIMEOUT}:
            return CallRefusedError(AnswerFault.TOO_WIDE, status, f"HTTP {status}", None)
        if 300 <= status < 400:  # noqa: PLR2004  # HTTP statuses
            return NodeFaultError(f"{method}: HTTP {status}, a redirect, which is not followed")
        return NodeFaultError(f"{method}: HTTP {status}", pause=_retry_after(headers))


def _too_large(method: str, most: int) -> Exception:
    reason = f"the answer is larger than {most // 1024} KiB"
    if method == "eth_getLogs":
        return CallRefusedError(AnswerFault.TOO_WIDE, 0, reason, None)
    return NodeFaultError(f"{method}: {reason}")


def _refusal(
    method: str, error: Mapping[str, Any], status: int, headers: Mapping[str, str]
) -> Exception:
    code = error.get("code")
    number = code if isinstance(code, int) and not isinstance(code, bool) else 0
    message = escape_line(str(error.get("message") or "an error without a message"))
    message = message[:_LONGEST_MESSAGE]
    fault = fault_of(method, number, message)
    if fault in {AnswerFault.TOO_OFTEN, AnswerFault.NOT_THERE}:
        pause = (_retry_after(headers) or 1.0) if fault is AnswerFault.TOO_OFTEN else None
        return NodeFaultError(f"{method}: {message} (code {number})", pause=pause)
    is_broken = status >= _SERVER_ERROR or number == _INTERNAL_ERROR
    if fault is AnswerFault.REFUSED and is_broken:
        return NodeFaultError(f"{method}: {message} (code {number})")
    return CallRefusedError(fault, number, message, _revert_data(error.get("data")))


def _revert_data(value: Any) -> str | None:
    """Return the bytes of a reverted call; nodes put them into different places."""
    if isinstance(value, Mapping):
        value = value.get("data") or value.get("result")
    return value if isinstance(value, str) and value.startswith("0x") else None


def _json_object(content: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, Mapping) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header, at most five minutes."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text) if text.isdigit() else _seconds_until(text)
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _LONGEST_PAUSE)


def _seconds_until(text: str) -> float:
    moment = parsedate_to_datetime(text)
    return (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()


def _reason(error: httpx.HTTPError) -> str:
    """Return why a call failed; the texts of httpx may quote the URL."""
    match error:
        case httpx.ConnectError():
            return "no connection"
        case httpx.RemoteProtocolError() | httpx.DecodingError():
            return "the answer is malformed"
        case _:
            return "the connection was lost"
