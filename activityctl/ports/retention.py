"""The port that removes what is kept no longer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from activityctl.domain.values.retention import Keep, RetainedKind
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Place:
    """Where the next batch begins, in the order of age; opaque for the caller."""

    keys: tuple[object, ...]


@frozen_dataclass
class Batch:
    """What a batch has done."""

    removed: int
    after: Place | None
    """None if nothing old enough is left."""


@frozen_dataclass
class OldRows:
    """What a policy would remove."""

    going: int = 0
    held: int = 0
    """What is old enough, and stays because something needs it."""
    oldest: datetime | None = None
    """The oldest of them all."""

    def __add__(self, other: "OldRows") -> "OldRows":
        """Return both together."""
        known = [each.oldest for each in (self, other) if each.oldest is not None]
        return OldRows(
            self.going + other.going, self.held + other.held, min(known) if known else None
        )


class RetentionStore(Protocol):
    """Removes old rows in small transactions, oldest first; no row that somebody holds."""

    async def owners(self) -> Sequence[str]:
        """Return the ids of all subscriptions, also of deleted ones."""
        ...

    async def remove(
        self, kind: RetainedKind, keep: Keep, owner: str | None, after: Place | None, limit: int
    ) -> Batch:
        """Look at the next old rows, at most `limit`, and remove those that nothing needs.

        For tasks and attempts, the rows are runs. Without an owner the number of `keep` is not
        looked at. The age is by Postgres' clock.
        """
        ...

    async def count(self, kind: RetainedKind, keep: Keep, owner: str | None) -> OldRows:
        """Return what `remove` would remove in all, and what it would leave."""
        ...
