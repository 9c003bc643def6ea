"""Handle stop signals in a long-running process."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_LOG = logging.getLogger(__name__)

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def on_stop_signal(handler: Callable[[], None]) -> Iterator[None]:
    """Call the handler on each stop signal while the block runs.

    A signal that the process was started to ignore stays ignored, as SIGHUP under `nohup`.
    """
    loop = asyncio.get_running_loop()
    numbers = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def ending_on_sigterm(what: str) -> Iterator[None]:
    """End the process with exit code 0 on SIGTERM while the block runs, outside of an event loop.

    By default the first process of a container would ignore SIGTERM. `what` is told to have
    stopped.
    """

    def leave(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    except SystemExit:
        _LOG.info("%s stopped before it was ready", what)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
