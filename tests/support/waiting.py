"""Waits for results of other processes."""

import time
from collections.abc import Callable
from typing import Any


def until(probe: Callable[[], Any], seconds: float = 60) -> Any:
    """Call the probe until its result is true; return that result."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.1)
    return found
