"""Folders and files that only we can have made: nobody else's, and no links.

Whoever owns a folder, or may write it, can exchange what is in it, for example for a link.
"""

import errno
import os
import stat
from pathlib import Path

from activityctl.errors import NotAllowedError

_NO_USER = 65534
"""The id that Linux shows in a container for users who do not exist there."""
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


def require_safe_parents(folder: Path) -> None:
    """Raise NotAllowedError if another user can exchange the folder, because of those above it.

    Such a folder belongs to another user, or all may write it and it has no sticky bit. Root is no
    other user. A folder of a group is allowed: on many systems each user has a group alone.
    """
    trusted = {0, os.geteuid()} | (set() if _is_user(_NO_USER) else {_NO_USER})
    for parent in dict.fromkeys((*folder.absolute().parents, *folder.resolve().parents)):
        info = parent.lstat()
        is_open = info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX
        if stat.S_ISLNK(info.st_mode) or (info.st_uid in trusted and not is_open):
            continue
        whose = "can be written by all users" if is_open else f"belongs to uid {info.st_uid}"
        raise NotAllowedError(
            f"{parent}, above the home, {whose}; another user could exchange the home", hint=_HINT
        )


def _is_user(number: int) -> bool:
    """Return whether a process in this container can have this user id."""
    try:
        lines = Path("/proc/self/uid_map").read_text("ascii").splitlines()
    except OSError:
        return True  # not Linux
    ranges = (tuple(map(int, line.split())) for line in lines)
    return any(first <= number < first + count for first, _, count in ranges)


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
