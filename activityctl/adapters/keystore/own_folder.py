"""The folder of a home in which its secrets are kept, and the lock against two writers."""

import asyncio
import fcntl
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, Self

from activityctl.errors import ConflictError, InvalidInputError, NotAllowedError, reason_of

_LOCK_SECONDS: Final = 5.0
_PAUSE: Final = 0.05


def secrets_folder(home: Path) -> Path:
    """Return the folder; it may not exist."""
    return home / "secrets"


def make_folder(folder: Path) -> None:
    """Create the folder for this user alone; refuse one that others can write or exchange."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(
            f"{folder} cannot be created: {reason_of(error)}",
            hint="set ACTIVITYCTL_HOME to a folder of your own",
        ) from error
    require_own(folder)


def require_own(folder: Path) -> None:
    """Raise NotAllowedError unless the folder is of this user alone; a link is not followed."""
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode):
        raise NotAllowedError(f"{folder} is a link or a file", hint=f"remove it: rm {folder}")
    if info.st_uid != os.geteuid():
        raise NotAllowedError(
            f"{folder} belongs to another user (uid {info.st_uid})",
            hint="set ACTIVITYCTL_HOME to a folder of your own",
        )
    if info.st_mode & 0o077:
        raise NotAllowedError(
            f"other users may open {folder}, where secrets are kept", hint=f"chmod 700 {folder}"
        )


def read_own(path: Path) -> bytes | None:
    """Return the content of a file of this user; None if there is none.

    Raises NotAllowedError for a link, and for a file that is another user's or that others read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotAllowedError(f"{path} cannot be read: {reason_of(error)}") from error
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            raise NotAllowedError(f"{path} is not a file of this user (uid {info.st_uid})")
        if info.st_mode & 0o077:
            raise NotAllowedError(f"other users may read {path}", hint=f"chmod 600 {path}")
        return file.read()


@asynccontextmanager
async def locked(folder: Path, *, seconds: float = _LOCK_SECONDS) -> AsyncIterator[None]:
    """Hold the lock of the folder; ConflictError if somebody else holds it for too long.

    Others in this process go on while it waits.
    """
    with _Lock(folder, seconds) as lock:
        while not lock.take():  # noqa: ASYNC110  # another process tells us nothing
            await asyncio.sleep(_PAUSE)
        yield


@contextmanager
def locked_in_thread(folder: Path, *, seconds: float) -> Iterator[None]:
    """Do the same for code that runs in a thread of its own."""
    with _Lock(folder, seconds) as lock:
        while not lock.take():
            time.sleep(_PAUSE)
        yield


class _Lock:
    """The lock file; closing it gives the lock back."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._deadline = time.monotonic() + seconds

    def __enter__(self) -> Self:
        make_folder(self._folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._folder / "lock", flags, 0o600)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def take(self) -> bool:
        """Return whether it is taken now; ConflictError if it is too late for another try."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > self._deadline:
                raise ConflictError(
                    f"another process is changing the secrets in {self._folder}", hint="try again"
                ) from None
            return False
        return True
