"""Who calls the command line, and from which commit: the CI's word, else git's."""

import getpass
import os
import socket
import subprocess
from collections.abc import Sequence
from glob import has_magic
from pathlib import Path
from typing import Final

from activityctl.domain.gitops.history import Origin
from activityctl.settings import Settings

DIRTY: Final = "-dirty"
"""After a commit: the files are not as it has them, or not among those it has."""
UNCHECKED: Final = "-unchecked"
"""After a commit: what was read came from no file, or git could not tell in time."""
_GIT_SECONDS: Final = 2.0
_SUFFIXES: Final = (".yaml", ".yml", ".json")
# Git runs nothing that a folder's own settings name, and leaves the index alone.
_GIT: Final = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false")
_STATUS: Final = (
    *("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "-z"),
    *("--untracked-files=normal", "--ignored=matching", "--"),
)


def origin_of_call(settings: Settings, files: Sequence[str] = ()) -> Origin:
    """Return the origin of changes made by this call; nothing here can fail it.

    `files` are the files, folders and patterns that the changes are read from; they alone
    decide whether the commit is marked, and `-` stands for what is in no file.
    """
    actor = settings.actor or _local_user()
    return Origin(actor=actor, source_commit=settings.source_commit or commit_of(files))


def origin_of_sync(settings: Settings, folder: Path) -> Origin:
    """Return the origin of changes that came with a folder: its own commit, as it is now."""
    actor = settings.actor or _local_user()
    return Origin(command="sync", actor=actor, source_commit=commit_of([str(folder)]))


def commit_of(files: Sequence[str]) -> str | None:
    """Return the commit that is checked out where the files are, marked unless it has them.

    Of no files it is the working folder's. None where git has none.
    """
    paths = [os.path.realpath(path) for path in files if path != "-"]
    folder = _folder_of(paths[0]) if paths else None
    if not paths or len(paths) < len(files):
        head = _git(folder, "rev-parse", "HEAD")
        return f"{head}{UNCHECKED}" if head and files else head
    status = _git(folder, *_STATUS, *map(_pathspec, paths))
    if status is None:
        head = _git(folder, "rev-parse", "HEAD")
        return f"{head}{UNCHECKED}" if head else None
    return _marked(status, paths)


def _marked(status: str, paths: Sequence[str]) -> str | None:
    """Return the commit that the status tells, marked when a path is not as it was committed."""
    head = None
    is_dirty = False
    for entry in status.split("\0"):
        kind, _, rest = entry.partition(" ")
        if kind == "#":
            name, _, value = rest.partition(" ")
            head = value if name == "branch.oid" and value != "(initial)" else head
        elif kind == "!":
            is_dirty |= _is_read(rest, paths)
        else:
            is_dirty |= bool(entry)
    return f"{head}{DIRTY}" if head and is_dirty else head


def _is_read(ignored: str, paths: Sequence[str]) -> bool:
    """Tell whether a file or folder that git ignores may be among what is read."""
    if not ignored.endswith("/"):
        return ignored.endswith(_SUFFIXES)
    return any(f"/{ignored}" in f"{path}/" for path in paths)


def _is_pattern(path: str) -> bool:
    return has_magic(path) and not os.path.lexists(path)


def _pathspec(path: str) -> str:
    return f":({'glob' if _is_pattern(path) else 'literal'}){path}"


def _folder_of(path: str) -> Path:
    found = Path(path)
    while _is_pattern(str(found)):
        found = found.parent
    return found if found.is_dir() else found.parent


def _local_user() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _git(folder: Path | None, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  # the user's own git
            [*_GIT, *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
