"""Reads the bytes of manifests from files, folders, patterns and standard input."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import BinaryIO, Final

from activityctl.adapters.manifests.strict_yaml import MAX_BYTES
from activityctl.errors import Problem, reason_of
from activityctl.frozen_dataclass import frozen_dataclass

STDIN_NAME: Final = "<stdin>"
SUFFIXES: Final = (".yaml", ".yml", ".json")

# O_NONBLOCK: a FIFO that replaced the file after the check must not block.
OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_TOO_LARGE: Final = "larger than 1 MiB"
_CHANGED: Final = "changed while it was read; run the command again"
FOLDERS_SEARCHED: Final = 1_000
_KINDS: Final = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


@frozen_dataclass
class SourceFile:
    """The content of one file; the name is the path as the user gave it or would write it."""

    name: str
    content: bytes


def read_files(
    paths: Sequence[str],
    *,
    recursive: bool,
    stdin: BinaryIO | None,
    most_folders: int | None = None,
) -> tuple[list[SourceFile], list[Problem]]:
    """Return the content of all files that the paths name, and a problem for each failure.

    A path is a file, a folder, a pattern (`**` for any depth), or `-` for stdin. Of a folder, the
    `*.yaml`, `*.yml` and `*.json` files are read, sorted by name; then, if recursive, its
    subfolders. Hidden files and folders are skipped. Each file is read once. Only regular files of
    at most 1 MiB are read. A symbolic link is followed only when it is given as a path. Only stdin
    can block. With `most_folders`, the search below each folder ends after that many. Never raises.
    """
    collector = _FileCollector(recursive=recursive, stdin=stdin, most_folders=most_folders)
    for path in dict.fromkeys(paths):
        try:
            collector.add_path(path)
        except (OSError, ValueError) as error:
            collector.add_problem(path, unread_reason(error))
    return collector.files, list(dict.fromkeys(collector.problems))


class _FileCollector:
    """Collects files and problems, path by path."""

    def __init__(
        self, *, recursive: bool, stdin: BinaryIO | None, most_folders: int | None
    ) -> None:
        self.files: list[SourceFile] = []
        self.problems: list[Problem] = []
        self._recursive = recursive
        self._most_folders = most_folders if recursive else 1
        self._stdin = stdin
        self._seen: set[tuple[int, int]] = set()

    def add_problem(self, name: str, reason: str) -> None:
        self.problems.append(Problem(name, 0, 0, "", reason))

    def add_path(self, path: str) -> None:
        """Read all files that a path of the user means. Raises OSError and ValueError."""
        if path == "-":
            self._read_stdin()
        elif not path:
            self.add_problem('""', "the path is empty")
        elif "\0" in path:
            self.add_problem(path, "the path contains a NUL character")
        elif has_magic(path) and not os.path.lexists(path):
            self._read_pattern(path)
        elif stat.S_ISDIR(Path(path).stat().st_mode):
            self._read_folder(path)
        else:
            self._read_file(path, OPEN_FLAGS)

    def _read_stdin(self) -> None:
        if self._stdin is None:
            self.add_problem(STDIN_NAME, "there is no standard input")
            return
        content = b""
        while len(content) <= MAX_BYTES and (
            part := self._stdin.read(MAX_BYTES + 1 - len(content))
        ):
            content += part
        if len(content) > MAX_BYTES:
            self.add_problem(STDIN_NAME, _TOO_LARGE)
        else:
            self.files.append(SourceFile(STDIN_NAME, content))

    def _read_pattern(self, pattern: str) -> None:
        is_found = False
        for path in _matches(pattern):
            is_found = True
            if Path(path).is_dir() and not Path(path).is_symlink():
                self._read_folder(path)
            else:
                self._read_found(path)
        if not is_found:
            self.add_problem(pattern, "no file matches this pattern")

    def _read_folder(self, folder: str) -> None:
        is_found = False
        before = len(self.problems)
        for path in self._manifests_in(folder, limit=self._most_folders):
            is_found = True
            self._read_found(path)
        if is_found or len(self.problems) > before:
            return
        reason, is_empty = "no manifests in this folder", True
        if not self._recursive and any(self._manifests_in(folder, limit=FOLDERS_SEARCHED)):
            reason, is_empty = f"{reason}; to read those in its subfolders, add -R", False
        del self.problems[before:]  # problems of subfolders, which the user did not ask for
        self.problems.append(Problem(folder, 0, 0, "", reason, is_empty=is_empty))

    def _manifests_in(self, folder: str, limit: int | None) -> Iterator[str]:
        """Yield paths with the suffix of a manifest; search at most `limit` folders."""
        waiting = [folder]
        searched = 0
        while waiting and (limit is None or searched < limit):
            current = waiting.pop()
            searched += 1
            try:
                entries = _entries(current)
            except OSError as error:
                self.add_problem(current, unread_reason(error))
                continue
            folders = []
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(_joined(current, entry.name))
                elif entry.name.endswith(SUFFIXES):
                    yield _joined(current, entry.name)
            waiting += reversed(folders)

    def _read_found(self, path: str) -> None:
        """Read a file found in a folder or by a pattern; do not follow symbolic links."""
        try:
            if Path(path).is_symlink():
                reason = "a symbolic link in a folder is not followed; give its path with -f"
                self.add_problem(path, reason)
            else:
                self._read_file(path, OPEN_FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            is_gone = error.errno == errno.ENOENT
            reason = "was deleted before it could be read" if is_gone else unread_reason(error)
            self.add_problem(path, reason)

    def _read_file(self, path: str, flags: int) -> None:
        """Read a file, or add a problem that says why it is refused. Raises OSError."""
        if reason := irregular(Path(path).stat()):
            # Checked before it is opened: opening a FIFO would wake its writer.
            self.add_problem(path, reason)
            return
        descriptor = os.open(path, flags)
        try:
            before = os.fstat(descriptor)
            if reason := irregular(before):
                self.add_problem(path, reason)
                return
            if (before.st_dev, before.st_ino) in self._seen:
                return
            self._seen.add((before.st_dev, before.st_ino))
            content, reason = content_of(descriptor, before)
        finally:
            os.close(descriptor)
        if reason:
            self.add_problem(path, reason)
        else:
            self.files.append(SourceFile(path, content))


def content_of(descriptor: int, before: os.stat_result) -> tuple[bytes, str]:
    """Return the bytes of a file and the reason if they are refused, else an empty text."""
    if before.st_size > MAX_BYTES:
        return b"", _TOO_LARGE
    content = b""
    while len(content) <= MAX_BYTES and (part := os.read(descriptor, MAX_BYTES + 1 - len(content))):
        content += part
    after = os.fstat(descriptor)
    is_same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not is_same or len(content) != before.st_size:
        return b"", _CHANGED
    return content, ""


def irregular(status: os.stat_result) -> str:
    """Return why this kind of file is not read; empty for a regular file."""
    if stat.S_ISREG(status.st_mode):
        return ""
    kind = next((name for fits, name in _KINDS if fits(status.st_mode)), "of an unknown kind")
    return f"is {kind}, not a regular file"


def unread_reason(error: OSError | ValueError) -> str:
    """Return why a file could not be read, as a text for users."""
    if isinstance(error, OSError) and error.errno is not None:
        return reason_of(error)
    return f"cannot be read: {error}"


def _entries(folder: str, *, hidden: bool = False) -> list[os.DirEntry[str]]:
    """Return a folder's entries sorted by name: either the visible or the hidden ones."""
    with os.scandir(folder or ".") as entries:
        chosen = [entry for entry in entries if entry.name.startswith(".") == hidden]
    return sorted(chosen, key=lambda entry: entry.name)


def _joined(folder: str, name: str) -> str:
    if folder in ("", "."):
        return name
    return folder + name if folder.endswith("/") else f"{folder}/{name}"


def _matches(pattern: str) -> list[str]:
    """Return the paths that match a pattern; `*` and `**` do not follow symbolic links.

    The standard library's glob follows links in `**`. That takes very long if two links point
    back to their own folder.
    """
    bases = ["/"] if pattern.startswith("/") else [""]
    *above, last = [part for part in pattern.split("/") if part]
    for part in above:
        bases = list(dict.fromkeys(path for base in bases for path in _folders(base, part)))
    return list(dict.fromkeys(path for base in bases for path in _paths(base, last)))


def _folders(base: str, part: str) -> Iterator[str]:
    """Yield the folders in `base` that match one part of a pattern."""
    if part == "**":
        yield from _folders_from(base)
    elif not has_magic(part):
        path = Path(base, part)
        if path.is_dir():
            yield _joined(base, part)
    else:
        for entry in _entries(base, hidden=part.startswith(".")):
            if entry.is_dir(follow_symlinks=False) and fnmatchcase(entry.name, part):
                yield _joined(base, entry.name)


def _paths(base: str, part: str) -> Iterator[str]:
    """Yield the paths in `base` that match a pattern's last part; `**` means all files below."""
    if part == "**":
        for folder in _folders_from(base):
            for entry in _entries(folder):
                if not entry.is_dir(follow_symlinks=False):
                    yield _joined(folder, entry.name)
    elif not has_magic(part):
        if os.path.lexists(_joined(base, part)):
            yield _joined(base, part)
    else:
        for entry in _entries(base, hidden=part.startswith(".")):
            if fnmatchcase(entry.name, part):
                yield _joined(base, entry.name)


def _folders_from(base: str) -> Iterator[str]:
    """Yield the folder and all folders below it."""
    waiting = [base]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += [
            _joined(current, entry.name)
            for entry in reversed(_entries(current))
            if entry.is_dir(follow_symlinks=False)
        ]
