"""Handle stop signals in a long-running process."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

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
