"""Ends a worker on a signal, whatever it waits for."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOG = logging.getLogger(__name__)
LAST_SECONDS: Final = 45.0
"""After this long, a worker that was told to stop and has not ended is ended at once."""


class Stopping:
    """Knows whether a signal came; ends a worker that only starts, without waiting."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._is_ready = False
        self._worker = asyncio.current_task()
        self.is_for_restore = False
        """Whether the worker ends because the database is restored from a backup."""

    @property
    def is_asked(self) -> bool:
        """Whether a signal came."""
        return self._asked.is_set()

    def ready(self) -> None:
        """From now on a signal is waited for, so that running steps can end."""
        self._is_ready = True

    async def wait(self) -> None:
        """Wait until a signal comes."""
        await self._asked.wait()

    def ask_for_restore(self) -> None:
        """Stop, because what this worker has in memory is no longer so."""
        self.is_for_restore = self.is_for_restore or not self.is_asked
        self.ask()

    def ask(self) -> None:
        """Stop: cancel a worker that is not ready yet; give any other some time."""
        if self._asked.is_set():
            return
        self._asked.set()
        if not self._is_ready and self._worker is not None:
            self._worker.cancel()


@contextmanager
def stop_on_signals(last_seconds: float = LAST_SECONDS) -> Iterator[Stopping]:
    """Yield what a SIGTERM or SIGINT asks to stop; leave the block quietly if it was not ready.

    A thread ends the process if the block has not ended in time after the signal: a library may
    wait for a server that does not answer.
    """
    stopping = Stopping()
    loop = asyncio.get_running_loop()
    last = threading.Timer(last_seconds, _end_process)
    last.daemon = True

    def on_signal() -> None:
        if not stopping.is_asked:
            last.start()
        stopping.ask()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        yield stopping
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not stopping.is_asked or task is None:
            raise
        task.uncancel()
        _LOG.info("worker stopped before it was ready")
    finally:
        last.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _end_process() -> None:
    _LOG.error("the worker did not stop in time; it ends now, and running tasks count as lost")
    os._exit(1)
