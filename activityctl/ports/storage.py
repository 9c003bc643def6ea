"""Port for what the database is: its version, and what takes space in it."""

from collections.abc import Mapping
from typing import Protocol

from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class StorageReport:
    """The database at one moment."""

    server_version: str
    total_bytes: int
    bytes_by_kind: Mapping[str, int]
    """With indexes, for `events` and for each kind that a retention policy can name."""


class Storage(Protocol):
    """The database as a place where things are kept."""

    async def report(self) -> StorageReport:
        """Return the version of the server and the sizes."""
        ...
