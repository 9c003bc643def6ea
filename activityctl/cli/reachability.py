"""Ask whether Temporal answers, to say why something takes long."""

import asyncio
from typing import Final

from activityctl import wiring
from activityctl.cli.session import Session
from activityctl.errors import ActivityctlError

_SECONDS_TO_CONNECT: Final = 2.0


async def reaches_temporal(session: Session) -> bool:
    """Return whether Temporal answers within two seconds."""
    try:
        async with asyncio.timeout(_SECONDS_TO_CONNECT):
            await wiring.connect_temporal(session.settings)
    except (ActivityctlError, TimeoutError):
        return False
    return True
