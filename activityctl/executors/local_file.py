"""Reads files of the worker for tasks: only in folders that the settings allow, within a size."""

import asyncio
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from activityctl.errors import TaskError, reason_of

MAX_FILE_BYTES: Final = 1024 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking, because opening a named pipe waits for a writer.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class AllowedFolders:
    """Reads regular files below some folders.

    A link may lead to another file in the same folder, as in Kubernetes, but not out of it. The
    real path is opened part by part without following links, so that a link that is made meanwhile
    leads nowhere.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)

    async def read(self, path: str, *, limit: int = MAX_FILE_BYTES) -> bytes:
        """Return the content; raise TaskError if it may not or cannot be read, or is too large."""
        return await asyncio.to_thread(self._read, path, limit)

    def _read(self, path: str, limit: int) -> bytes:
        root, parts = self._place(path)
        try:
            with os.fdopen(_open_below(root, parts), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise _refusal(f"{path} is not a regular file", "file_forbidden")
                content = file.read(limit + 1)
        except OSError as error:
            raise _unreadable(path, error) from error
        if len(content) > limit:
            raise _refusal(f"{path} has more than {limit:,} bytes", "file_too_large")
        return content

    def _place(self, path: str) -> tuple[Path, tuple[str, ...]]:
        """Return the allowed folder and the real path below it."""
        wanted = Path(path)
        if "\0" in path or not wanted.is_absolute():
            raise _refusal(f"{path!r} is not an absolute path", "file_forbidden")
        if not self._folders:
            raise _refusal(
                f"{path}: no folder is allowed on this worker; set ACTIVITYCTL_ALLOWED_FOLDERS",
                "file_forbidden",
            )
        try:
            roots = [folder.resolve() for folder in self._folders]
            real = wanted.resolve()
        except (OSError, RuntimeError) as error:  # RuntimeError: a circle of links
            raise _refusal(f"{path}: {error}", "file_forbidden") from error
        for root in roots:
            if real.is_relative_to(root) and real != root:
                return root, real.relative_to(root).parts
        where = "" if real == wanted else f", which is {real},"
        raise _refusal(
            f"{path}{where} is not in a folder that ACTIVITYCTL_ALLOWED_FOLDERS names",
            "file_forbidden",
        )


def _open_below(root: Path, parts: Sequence[str]) -> int:
    folder = os.open(root, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def _refusal(message: str, code: str) -> TaskError:
    return TaskError(message, code=code, retryable=False)


def _unreadable(path: str, error: OSError) -> TaskError:
    if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
        return _refusal(f"{path} is not a regular file", "file_forbidden")
    return TaskError(f"{path}: {reason_of(error)}", code="file_unreadable")
