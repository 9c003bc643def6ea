"""Posts hooks to executors' services, within limits; follows no redirect and judges no answer."""

import asyncio
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from activityctl.domain.values.destination import DestinationPolicy, Network
from activityctl.domain.values.masking import Mask
from activityctl.errors import DestinationForbiddenError, TaskError
from activityctl.executors.address import parse_url
from activityctl.executors.http_failures import transport_error, unexpected_status
from activityctl.executors.request import forbidden
from activityctl.executors.response import (
    ACCEPTED_ENCODINGS,
    check_headers,
    read_body,
    request_label,
)
from activityctl.ports import HookAnswer
from activityctl.version import VERSION

if TYPE_CHECKING:
    import httpx

    from activityctl.executors.destination import Listening

DEADLINE_SECONDS: Final = 30.0
"""For one request, with headers and body of its response together."""
_AT_ONCE: Final = 100


class HookClient:
    """Makes calls over one pool of kept-alive connections, to permitted addresses only."""

    def __init__(
        self,
        *,
        allow_http: bool,
        allowed_networks: Sequence[Network],
        own_ports: frozenset[int] = frozenset(),
        listening: "Listening | None" = None,
    ) -> None:
        from activityctl.executors.destination import GuardedTransport

        policy = DestinationPolicy(allow_http, tuple(allowed_networks), own_ports)
        self._transport = GuardedTransport(policy, listening=listening)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        accepted: Container[int],
        seconds: float,
        mask: Mask,
    ) -> HookAnswer:
        """Return the answer, if it has an accepted status; else raise TaskError."""
        return await self._send("GET", url, None, headers, accepted, seconds, mask)

    async def post(
        self,
        url: str,
        text: str,
        headers: Mapping[str, str],
        *,
        accepted: Container[int],
        seconds: float,
        mask: Mask,
    ) -> HookAnswer:
        """Return the answer, if it has an accepted status; else raise TaskError."""
        typed = {"Content-Type": "application/json", **headers}
        return await self._send("POST", url, text, typed, accepted, seconds, mask)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _send(  # noqa: PLR0917  # one request, whole
        self,
        method: str,
        url: str,
        text: str | None,
        headers: Mapping[str, str],
        accepted: Container[int],
        seconds: float,
        mask: Mask,
    ) -> HookAnswer:
        import httpx

        try:
            request = httpx.Request(
                method,
                parse_url(url),
                headers={
                    "User-Agent": f"activityctl/{VERSION}",
                    "Accept": "application/json",
                    "Accept-Encoding": ACCEPTED_ENCODINGS,
                    **headers,
                },
                content=None if text is None else text.encode(),
            )
        except DestinationForbiddenError as error:
            raise forbidden(method, error) from error
        limit = min(seconds, DEADLINE_SECONDS)
        try:
            async with asyncio.timeout(limit), self._slots:
                return await self._exchange(request, accepted, mask)
        except TimeoutError:
            message = f"{request_label(request)}: no complete response within {limit:g} s"
            raise TaskError(message, code="timeout") from None
        except DestinationForbiddenError as error:
            raise forbidden(request_label(request), error) from error
        except httpx.TransportError as error:
            raise transport_error(request, error) from error

    async def _exchange(
        self, request: "httpx.Request", accepted: Container[int], mask: Mask
    ) -> HookAnswer:
        response = await self._transport.handle_async_request(request)
        try:
            check_headers(response)
            if response.status_code not in accepted:
                raise await unexpected_status(response, mask)
            return HookAnswer(
                response.status_code, dict(response.headers), await read_body(response)
            )
        finally:
            await response.aclose()
