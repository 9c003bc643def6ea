"""The real worker in the event loop of a test."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from activityctl.daemon.worker.worker import run_worker
from activityctl.settings import Settings


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Run the real worker in this loop; stop it at the end as `down` does."""
    ready = asyncio.Event()
    worker = asyncio.create_task(run_worker(settings, on_ready=ready.set))
    started = asyncio.create_task(ready.wait())
    await asyncio.wait({worker, started}, return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    try:
        yield
    finally:
        if not worker.done() and ready.is_set():
            signal.raise_signal(signal.SIGTERM)
        await worker
