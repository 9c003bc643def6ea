"""Folders and files that only we can have made: nobody else's, and no links.

Whoever owns a folder, or may write it, can exchange what is in it, for example for a link.
"""

import errno
import os
import stat
from pathlib import Path

from activityctl.errors import NotAllowedError

_HINT = "set ACTIVITYCTL_HOME to a folder of your own"


def require_own_folder(folder: Path, owner: int | None = None) -> None:
    """Raise NotAllowedError unless it is a folder of this user that nobody else may write.

    With `owner`, it must belong to that user id instead. A link is not followed.
    """
    info = folder.lstat()
    wanted = os.geteuid() if owner is None else owner
    if not stat.S_ISDIR(info.st_mode):
        raise NotAllowedError(f"{folder} is a link or a file, not a folder", hint=_HINT)
    if info.st_uid != wanted:
        raise NotAllowedError(
            f"{folder} belongs to another user (uid {info.st_uid}, not {wanted}), who could "
            "exchange the files in it",
            hint=_HINT,
        )
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotAllowedError(
            f"other users may write {folder}, so they could exchange the files in it",
            hint=f"chmod go-w {folder}",
        )


def open_own(path: Path, flags: int) -> int:
    """Open a file, private if it is new; NotAllowedError if it is a link or somebody else's.

    Raises OSError as `os.open` does.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAllowedError(
                f"{path} is a link, which is not followed", hint=f"remove it: rm {path}"
            ) from None
        raise
    info = os.fstat(descriptor)
    if stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    raise NotAllowedError(
        f"{path} is not a file of this user (uid {info.st_uid})", hint=f"remove it: rm {path}"
    )
