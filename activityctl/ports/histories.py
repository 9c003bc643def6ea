"""Port for recorded workflow histories that are replayed with the installed code."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from activityctl.domain.runs.verification import VerifiedHistory


class Histories(Protocol):
    """Replays histories; nothing is executed, and nothing on the server changes."""

    def verify_files(self, paths: Sequence[Path]) -> AsyncIterator[VerifiedHistory]:
        """Replay the histories in these files; InvalidInputError for a file that has none."""
        ...

    def verify_server(
        self, *, only_open: bool, since: datetime | None, limit: int, save_to: Path | None
    ) -> AsyncIterator[VerifiedHistory]:
        """Replay the newest histories of the server, and save them to a folder if one is given.

        UnreachableError if Temporal does not answer.
        """
        ...
