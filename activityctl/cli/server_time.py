"""The time of Postgres, which dates what a command stores, whatever this machine's clock says."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from activityctl.wiring import Ports


async def server_clock(ports: "Ports") -> Callable[[], datetime]:
    """Ask Postgres for the time once; return a clock that goes on from there."""
    asked_at = await ports.workers.server_time()
    began = time.monotonic()
    return lambda: asked_at + timedelta(seconds=time.monotonic() - began)
