"""Waits for results of other processes."""

import time
from collections.abc import Callable
from typing import Any


def until(probe: Callable[[], Any], seconds: float = 120) -> Any:
    """Call the probe until its result is true; return that result.

    It is called less and less often, because most probes are commands, which take CPU.
    """
    deadline, pause = time.monotonic() + seconds, 0.1
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(pause)
        pause = min(1.4 * pause, 0.7)
    return found
