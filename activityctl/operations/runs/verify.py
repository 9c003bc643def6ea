"""Verify that recorded workflow histories fit the installed workflow code."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from activityctl.domain.runs.verification import VerifiedHistory
from activityctl.errors import NotFoundError


def history_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files, and the `.json` files of the folders, sorted; each file once.

    NotFoundError if a path does not exist, or if there is no file at all.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise NotFoundError("file or folder", str(path))
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        found |= dict.fromkeys(files)
    if not found:
        raise NotFoundError("history", ", ".join(map(str, paths)), hint="histories are .json files")
    return list(found)


async def verify(
    histories: AsyncIterator[VerifiedHistory], on_progress: Callable[[int, int], None]
) -> list[VerifiedHistory]:
    """Return all results; `on_progress` hears how many there are, and how many do not fit."""
    verified: list[VerifiedHistory] = []
    parted = 0
    async for history in histories:
        verified.append(history)
        parted += not history.fits
        on_progress(len(verified), parted)
    return verified
