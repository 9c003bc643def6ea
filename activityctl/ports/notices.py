"""The port of notices: what is to be told of subscriptions."""

from datetime import timedelta
from typing import Protocol

from activityctl.domain.runs.notices import GatheredNotice


class Notices(Protocol):
    """Gathers what was written to be told. It stays until it is told, whoever dies meanwhile."""

    async def gather(
        self, quiet: timedelta, longest: timedelta, limit: int
    ) -> list[GatheredNotice]:
        """Return what may be told now, also what another worker has gathered and not told yet.

        Notices of one kind and subscription are told together when no other has come for `quiet`,
        or when the first has waited for `longest`. What was gathered once stays the same.
        """
        ...

    async def told(self, notice: GatheredNotice) -> None:
        """Remove a notice whose firing and event are stored."""
        ...
