"""Checks servers that are not those of the local daemon: do they answer, and who works for them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from activityctl import wiring
from activityctl.daemon.local.state import ComponentState, ComponentStatus
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.errors import ActivityctlError
from activityctl.secret import masked_url
from activityctl.settings import Settings

_ANSWERS_WITHIN: Final = 9.0


async def check_servers(settings: Settings) -> list[ComponentStatus]:
    """Return the state of Postgres, of Temporal and of each living worker; takes 9 s at most."""
    workers: list[WorkerBeat] = []

    async def read_workers() -> None:
        async with wiring.open_ports(settings) as ports:
            workers.extend(await ports.workers.alive())

    async def connect() -> None:
        await wiring.connect_temporal(settings)

    postgres, temporal = await asyncio.gather(
        _checked("postgres", read_workers), _checked("temporal", connect)
    )
    postgres = postgres.model_copy(update={"address": _address(settings)})
    temporal = temporal.model_copy(update={"address": settings.temporal_address})
    return [postgres, temporal, *worker_states(workers, knows=postgres.last_error is None)]


def _address(settings: Settings) -> str | None:
    """Return host and port of the database, without user and password."""
    with suppress(ValueError):
        url = urlsplit(masked_url(settings.required_database_url()))
        return f"{url.hostname}:{url.port or 5432}" if url.hostname else None
    return None


async def _checked(name: str, check: Callable[[], Awaitable[None]]) -> ComponentStatus:
    try:
        async with asyncio.timeout(_ANSWERS_WITHIN):
            await check()
    except ActivityctlError as error:
        return ComponentStatus(name=name, state=ComponentState.SILENT, last_error=error.message)
    except TimeoutError:
        problem = f"no answer within {_ANSWERS_WITHIN:g}s"
        return ComponentStatus(name=name, state=ComponentState.SILENT, last_error=problem)
    return ComponentStatus(name=name, state=ComponentState.RUNNING)


def worker_states(alive: list[WorkerBeat], *, knows: bool = True) -> list[ComponentStatus]:
    """Return the state of each living worker; one that says so if there is none."""
    if not alive:
        problem = "none is running" if knows else "unknown, because Postgres does not answer"
        return [ComponentStatus(name="worker", last_error=problem)]
    return [
        ComponentStatus(
            name="worker",
            state=ComponentState.RUNNING,
            version=worker.version,
            address=worker.host,
            pid=worker.pid,
            last_error=next((f"loop {bad.loop}: {bad.error}" for bad in worker.troubles), None),
        )
        for worker in alive
    ]
