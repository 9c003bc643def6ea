"""Writes files that only their owner can read, whole or not at all, and reads them again."""

import os
import stat
import tempfile
from pathlib import Path

from activityctl.errors import NotAllowedError, reason_of


def read_private(path: Path, limit: int) -> bytes | None:
    """Return the first `limit` bytes of a file; None if it is absent.

    Raises NotAllowedError if it is a link, or if others own it or can read or write it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotAllowedError(
            f"{path} cannot be read: {reason_of(error)}", hint=f"remove it: rm {path}"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        others = stat.S_IRWXG | stat.S_IRWXO
        is_own = stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid()
        if not is_own or info.st_mode & others:
            raise NotAllowedError(
                f"{path} is not a file that only this user can read",
                hint=f"remove it: rm {path}",
            )
        return file.read(limit)


def write_private(path: Path, content: str | bytes) -> None:
    """Replace a file with mode 0600, atomically and durably."""
    # A new file of a name that nobody can guess, with mode 0600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:  # also Ctrl-C: no half-written file stays
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder to disk, so that renames in it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
