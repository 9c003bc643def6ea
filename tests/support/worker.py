"""The real worker in the event loop of a test."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from activityctl.adapters.postgres.rights import Role
from activityctl.daemon.worker.worker import run_worker
from activityctl.settings import Secret, Settings
from support.leftovers import note_worker
from support.logins import url_as


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Run the real worker in this loop; stop it at the end as `down` does.

    It logs in with the role `worker`.
    """
    note_worker(settings)
    ready = asyncio.Event()
    url = Secret(url_as(settings.required_database_url(), Role.WORKER))
    limited = replace(settings, database_url=url)
    worker = asyncio.create_task(run_worker(limited, on_ready=ready.set))
    started = asyncio.create_task(ready.wait())
    await asyncio.wait({worker, started}, return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    try:
        yield
    finally:
        if not worker.done() and ready.is_set():
            signal.raise_signal(signal.SIGTERM)
        await worker
