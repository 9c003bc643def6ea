"""The status of the folder sync, kept in a file in the home of the local daemon."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from activityctl.private_file import write_private

SYNC_FILE: Final = "sync.json"


class SyncStatus(BaseModel):
    """The content of `sync.json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    folder: str
    applied_at: datetime | None = None
    """When the folder was last applied without a problem."""
    summary: Mapping[str, int] = {}
    """How many objects that apply created, configured, left unchanged and so on."""
    error: str | None = None
    """Why the current content of the folder is not applied, one line for each problem, or None."""

    @property
    def is_known(self) -> bool:
        """Whether the folder was loaded at least once since the worker started."""
        return self.applied_at is not None or self.error is not None


def read_sync(home: Path) -> SyncStatus | None:
    """Return the status; None when no folder is synced or the file cannot be read."""
    try:
        return SyncStatus.model_validate_json((home / SYNC_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_sync(home: Path, status: SyncStatus) -> None:
    """Replace the status in one step; OSError when the home cannot be written."""
    write_private(home / SYNC_FILE, status.model_dump_json(indent=2) + "\n")


def forget_sync(home: Path) -> None:
    """Remove the status file; do nothing when there is none."""
    (home / SYNC_FILE).unlink(missing_ok=True)
