"""Reads a renewed certificate without a restart: when its files have changed, and on SIGHUP."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from activityctl.errors import UsageError
from activityctl.wiring import ServerCertificate

_LOG = logging.getLogger(__name__)
LOOK_SECONDS: Final = 10.0
"""How often the files are looked at. Changed files are read once they have stayed the same for as
long, because the certificate and its key are not replaced in the same moment."""
_SOON: Final = timedelta(days=14)
_DAY: Final = timedelta(days=1)


def _now() -> datetime:
    return datetime.now(UTC)


class Renewing:
    """Keeps the certificate of a server new, and warns while it is about to expire."""

    def __init__(
        self, certificate: ServerCertificate, clock: Callable[[], datetime] = _now
    ) -> None:
        self._certificate = certificate
        self._clock = clock
        self._used = self._seen = certificate.state()
        self._warned_at: datetime | None = None

    def look(self) -> None:
        """Read the files if they have changed and are complete."""
        state = self._certificate.state()
        if state != self._used and state == self._seen:
            self.renew()
        self._seen = state
        self._warn()

    def renew(self) -> None:
        """Read the files now; what is wrong with them is logged, and the old ones stay in use."""
        self._used = self._certificate.state()
        try:
            self._certificate.renew(self._clock())
        except UsageError as error:
            _LOG.error("the certificate was not renewed, the old one is used: %s", error)
            return
        self._warned_at = None
        _LOG.info("the certificate was read: it is valid until %s", self._until())

    def _warn(self) -> None:
        now = self._clock()
        is_soon = now > self._certificate.valid_until - _SOON
        if is_soon and (self._warned_at is None or now - self._warned_at >= _DAY):
            self._warned_at = now
            _LOG.warning("the certificate is valid until %s only", self._until())

    def _until(self) -> str:
        return f"{self._certificate.valid_until:%Y-%m-%d %H:%M} UTC"


@asynccontextmanager
async def kept_new(
    certificate: ServerCertificate | None, seconds: float = LOOK_SECONDS
) -> AsyncIterator[None]:
    """Keep the certificate new in the block; without one, do nothing."""
    if certificate is None:
        yield
        return
    renewing = Renewing(certificate)
    loop = asyncio.get_running_loop()
    has_signals = threading.current_thread() is threading.main_thread()
    if has_signals:
        loop.add_signal_handler(signal.SIGHUP, renewing.renew)
    looking = asyncio.create_task(_look(renewing, seconds))
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        if has_signals:
            loop.remove_signal_handler(signal.SIGHUP)


async def _look(renewing: Renewing, seconds: float) -> None:
    while True:
        renewing.look()
        await asyncio.sleep(seconds)
