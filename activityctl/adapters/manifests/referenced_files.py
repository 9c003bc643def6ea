"""Reads a file that a manifest refers to, in the manifest's own folder or below it."""

import os
import stat
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Final

from activityctl.adapters.manifests.files import (
    OPEN_FLAGS,
    STDIN_NAME,
    content_of,
    irregular,
    unread_reason,
)

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read_referenced_file(manifest: str, path: str) -> bytes:
    """Return the content of the file that a manifest refers to by a relative path.

    The path must not contain `..`, and no symbolic link on it is followed. Only regular files of
    at most 1 MiB are read. Raises ValueError with the reason if the file cannot be read.
    """
    if manifest == STDIN_NAME:
        raise ValueError(
            "a manifest from standard input has no folder to read from; list the days in it"
        )
    parts = parts_below(path)
    try:
        return _read(Path(manifest).parent, parts)
    except OSError as error:
        raise ValueError(f"{path}: {unread_reason(error)}") from None


def parts_below(path: str) -> tuple[str, ...]:
    """Return the parts of a path that stays in its folder; ValueError for any other path."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith(("/", "~")) or ".." in parts or "\0" in path:
        raise ValueError("should be a path in the folder of this manifest or below it, without ..")
    return parts


def _read(folder: Path, parts: tuple[str, ...]) -> bytes:
    *above, name = parts
    with ExitStack() as open_files:
        current = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        open_files.callback(os.close, current)
        for part in above:
            _require_no_link(part, current)
            current = os.open(part, _FOLDER_FLAGS, dir_fd=current)
            open_files.callback(os.close, current)
        _require_no_link(name, current)
        # Checked before it is opened: opening a FIFO would wake its writer.
        _require_regular(name, os.stat(name, dir_fd=current, follow_symlinks=False))
        descriptor = os.open(name, OPEN_FLAGS | os.O_NOFOLLOW, dir_fd=current)
        open_files.callback(os.close, descriptor)
        status = os.fstat(descriptor)
        _require_regular(name, status)
        content, reason = content_of(descriptor, status)
    if reason:
        raise ValueError(f"{name}: {reason}")
    return content


def _require_no_link(name: str, folder: int) -> None:
    if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise ValueError(f"{name}: symbolic links are not followed")


def _require_regular(name: str, status: os.stat_result) -> None:
    if reason := irregular(status):
        raise ValueError(f"{name}: {reason}")
