"""Port for what a restore of the database asks of the workers."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Restore:
    """A restore of the database from a backup."""

    taken_at: datetime
    """The moment of the backup's data."""
    restored_at: datetime
    settled_at: datetime | None = None
    """When Temporal was brought together with the restored data; None if it was not yet."""
    ended: Sequence[str] = ()
    """The first of the workflows that the restored data did not know, and that were ended."""
    ended_count: int = 0


class Restores(Protocol):
    """Fences workers off while the database is restored, and records what became of it."""

    async def fence(self, lasting: timedelta) -> None:
        """Have workers stop, and keep them from starting, for so long."""
        ...

    async def lift_fence(self) -> None:
        """Let workers start again."""
        ...

    async def is_fenced(self) -> bool:
        """Return whether workers must not start."""
        ...

    async def latest(self) -> Restore | None:
        """Return the newest restore; None if the database was never restored."""
        ...

    async def carried(self, workflow_ids: Collection[str]) -> set[str]:
        """Return which of these workflows carry an open run."""
        ...

    async def settle(self, restored_at: datetime, ended: Sequence[str]) -> None:
        """Record that the restores up to that one are settled, with the unknown workflows.

        These were ended. A restore that came meanwhile is still to be settled.
        Every schedule counts as not written to Temporal from then on.
        """
        ...
