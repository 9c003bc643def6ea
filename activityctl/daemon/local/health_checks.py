"""Check that the components of the local daemon answer; `state` checks their processes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from activityctl import wiring
from activityctl.daemon.local import embedded_postgres, embedded_temporal
from activityctl.daemon.local.state import ComponentState, ComponentStatus
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.runs.worker import COUNTS_AS_ALIVE
from activityctl.errors import ActivityctlError
from activityctl.settings import Settings

ANSWERS_WITHIN: Final = 2.0
"""Seconds that a component has to answer; after that it counts as silent."""

# RFC 9113, 3.4 and 4.1: the preface and an empty SETTINGS frame; the server sends a SETTINGS frame.
_HTTP2_GREETING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_FRAME_HEADER: Final = 9
_SETTINGS_FRAME: Final = 4

HealthCheck = Callable[[Settings, ComponentStatus], Awaitable[str | None]]
"""Returns what is wrong with a component, or None; raises when it does not answer."""


async def check_health(
    settings: Settings, components: Sequence[ComponentStatus]
) -> list[ComponentStatus]:
    """Return the components; a running one that does not answer becomes `silent`, with a reason.

    Nothing is checked while the daemon starts, or when the settings name other servers.
    """
    if not settings.uses_local_daemon or settings.database_url is None:
        return list(components)
    _load_client()
    return list(await asyncio.gather(*(_checked(settings, part) for part in components)))


def _load_client() -> None:
    """Import the Postgres client first: on a busy machine that takes longer than an answer may."""
    import activityctl.adapters.postgres.database  # noqa: F401  # loaded, not used


async def _checked(settings: Settings, part: ComponentStatus) -> ComponentStatus:
    check = _CHECKS.get(part.name)
    if check is None or part.state is not ComponentState.RUNNING:
        return part
    try:
        async with asyncio.timeout(ANSWERS_WITHIN):
            problem = await check(settings, part)
    except (ActivityctlError, OSError, EOFError, TimeoutError, ValueError):
        problem = f"no answer within {ANSWERS_WITHIN:g}s"
    if problem is None:
        return part
    return part.model_copy(update={"state": ComponentState.SILENT, "last_error": problem})


async def _postgres(settings: Settings, _: ComponentStatus) -> str | None:
    async with wiring.open_ports(settings) as ports:
        await ports.outbox.waiting()
    return None


async def _temporal(_: Settings, part: ComponentStatus) -> str | None:
    """Send an HTTP/2 preface; the client of the SDK is not used, it may crash a command at exit."""
    host, _colon, port = (part.address or "").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(_HTTP2_GREETING)
        frame = await reader.readexactly(_FRAME_HEADER)
    finally:
        writer.close()
    return None if frame[3] == _SETTINGS_FRAME else "not healthy"


async def _worker(settings: Settings, part: ComponentStatus) -> str | None:
    """Check the last beat of this worker process; unknown, so no problem, without Postgres."""
    try:
        async with asyncio.timeout(ANSWERS_WITHIN / 2), wiring.open_ports(settings) as ports:
            alive = await ports.workers.alive()
    except (ActivityctlError, TimeoutError):
        return None
    if any(worker.pid == part.pid for worker in alive):
        return None
    return f"no beat for {COUNTS_AS_ALIVE.total_seconds():g}s"


async def _api(_: Settings, part: ComponentStatus) -> str | None:
    url = urlsplit(part.address or "")
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        answer = await reader.readline()
    finally:
        writer.close()
    return None if answer.startswith(b"HTTP/1.1 200 ") else "not healthy"


async def _signer(settings: Settings, _: ComponentStatus) -> str | None:
    await wiring.open_signer(settings).addresses((), KeyKind.RELAYER)
    return None


_CHECKS: Final[Mapping[str, HealthCheck]] = {
    embedded_postgres.NAME: _postgres,
    embedded_temporal.NAME: _temporal,
    "worker": _worker,
    "api": _api,
    "signer": _signer,
}
