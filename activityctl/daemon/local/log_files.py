"""Keeps the logs of the components small while the components run.

A component holds its log open and does not know that it is rotated. So the supervisor copies a log
that is too large and then empties it. Every log is opened for appending, so what a component writes
next begins the emptied file. Lines that it writes between the copy and the emptying are lost: that
takes milliseconds.
"""

import asyncio
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

LOG_BYTES: Final = 10 * 1024 * 1024
OLD_LOGS: Final = 2
"""How many older logs are kept beside the current one: `<name>.log.1` is the newest of them."""
CHECK_SECONDS: Final = 5.0

_LOG = logging.getLogger(__name__)


async def keep_logs_small(
    folder: Path, limit: int = LOG_BYTES, seconds: float = CHECK_SECONDS
) -> None:
    """Rotate every log of the folder that is larger than the limit, until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(rotate_logs, folder, limit)


def rotate_logs(folder: Path, limit: int = LOG_BYTES) -> None:
    """Rotate each log that is larger than the limit; log what cannot be rotated."""
    for path in sorted(folder.glob("*.log")):
        try:
            if path.lstat().st_size > limit:
                _copy_and_empty(path)
        except OSError as error:
            _LOG.warning("could not rotate %s: %s", path.name, error)


def move_away(path: Path) -> None:
    """Make the log an old log; the oldest one is deleted. Nothing may write it any more."""
    _shift(path)
    path.replace(_old(path, 1))


def _copy_and_empty(path: Path) -> None:
    _shift(path)
    try:
        _copy(path, _old(path, 1))
    finally:  # on a full disk there is no copy, but the log must not grow without limit
        os.truncate(path, 0)


def _copy(path: Path, target: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with path.open("rb") as source, os.fdopen(os.open(target, flags, 0o600), "wb") as copy:
            shutil.copyfileobj(source, copy)
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _shift(path: Path) -> None:
    for number in range(OLD_LOGS, 1, -1):
        with suppress(FileNotFoundError):
            _old(path, number - 1).replace(_old(path, number))
    _old(path, 1).unlink(missing_ok=True)


def _old(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
