"""Waiting for what other processes bring about."""

import time
from collections.abc import Callable
from typing import Any


def until(probe: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask again until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.1)
    return found
