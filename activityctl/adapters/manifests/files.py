"""The bytes of the manifests that a command was given: files, folders, globs, standard input."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import BinaryIO, Final

from activityctl.adapters.manifests.strict_yaml import MAX_BYTES
from activityctl.errors import Problem

STDIN_NAME: Final = "<stdin>"
SUFFIXES: Final = (".yaml", ".yml", ".json")

# O_NONBLOCK: a FIFO that took the file's place after it was looked at must not block.
OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_TOO_LARGE: Final = "larger than 1 MiB"
_CHANGED: Final = "changed while it was read; run the command again"
_FOLDERS_SEARCHED: Final = 1_000
_KINDS: Final = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)
_REASONS: Final = {
    errno.ENOENT: "no such file or folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "symbolic links lead in a circle, or where none is followed",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOTDIR: "part of the path is not a folder",
    errno.ENXIO: "not a regular file",
}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file as it was read; the name is the one its user would know it by."""

    name: str
    content: bytes


def read_files(
    paths: Sequence[str], *, recursive: bool, stdin: BinaryIO | None
) -> tuple[list[SourceFile], list[Problem]]:
    """Return the content of all files that the paths name, and what could not be read.

    A path is a file, a folder (its `*.yaml`, `*.yml`, `*.json`, by name, subfolders after the
    files when recursive; hidden ones never), a pattern (`**` for any depth), or `-` for stdin.
    Each file is read once, regular files only, at most 1 MiB. A symbolic link is followed only
    when named. Nothing but stdin is waited for; nothing is raised.
    """
    gathering = _FileCollector(recursive=recursive, stdin=stdin)
    for path in dict.fromkeys(paths):
        try:
            gathering.take(path)
        except (OSError, ValueError) as error:
            gathering.refuse(path, reason_of(error))
    return gathering.files, list(dict.fromkeys(gathering.problems))


class _FileCollector:
    """The files read so far, and the problems met."""

    def __init__(self, *, recursive: bool, stdin: BinaryIO | None) -> None:
        self.files: list[SourceFile] = []
        self.problems: list[Problem] = []
        self._recursive = recursive
        self._stdin = stdin
        self._seen: set[tuple[int, int]] = set()

    def refuse(self, name: str, reason: str) -> None:
        self.problems.append(Problem(name, 0, 0, "", reason))

    def take(self, path: str) -> None:
        """Take in one path as its user gave it."""
        if path == "-":
            self._take_stdin()
        elif not path:
            self.refuse('""', "an empty path")
        elif has_magic(path) and not os.path.lexists(path):
            self._take_pattern(path)
        elif stat.S_ISDIR(Path(path).stat().st_mode):
            self._take_folder(path)
        else:
            self._take_file(path, OPEN_FLAGS)

    def _take_stdin(self) -> None:
        if self._stdin is None:
            self.refuse(STDIN_NAME, "there is no standard input")
            return
        content = b""
        while len(content) <= MAX_BYTES and (
            part := self._stdin.read(MAX_BYTES + 1 - len(content))
        ):
            content += part
        if len(content) > MAX_BYTES:
            self.refuse(STDIN_NAME, _TOO_LARGE)
        else:
            self.files.append(SourceFile(STDIN_NAME, content))

    def _take_pattern(self, pattern: str) -> None:
        is_found = False
        for path in _matches(pattern):
            is_found = True
            if Path(path).is_dir() and not Path(path).is_symlink():
                self._take_folder(path)
            else:
                self._take_found(path)
        if not is_found:
            self.refuse(pattern, "no file fits this pattern")

    def _take_folder(self, folder: str) -> None:
        is_found = False
        before = len(self.problems)
        for path in self._manifests_in(folder, limit=None if self._recursive else 1):
            is_found = True
            self._take_found(path)
        if is_found or len(self.problems) > before:
            return
        reason = "no manifests in this folder"
        if not self._recursive and any(self._manifests_in(folder, limit=_FOLDERS_SEARCHED)):
            reason += ", but in folders below it; add -R"
        del self.problems[before:]  # of folders that nobody asked for
        self.refuse(folder, reason)

    def _manifests_in(self, folder: str, limit: int | None) -> Iterator[str]:
        """Yield paths with a manifest's suffix, searching at most `limit` folders."""
        waiting = [folder]
        searched = 0
        while waiting and (limit is None or searched < limit):
            current = waiting.pop()
            searched += 1
            try:
                entries = _entries(current)
            except OSError as error:
                self.refuse(current, reason_of(error))
                continue
            folders = []
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(_joined(current, entry.name))
                elif entry.name.endswith(SUFFIXES):
                    yield _joined(current, entry.name)
            waiting += reversed(folders)

    def _take_found(self, path: str) -> None:
        """Take in a file that a folder or a pattern led to; its links are not followed."""
        try:
            if Path(path).is_symlink():
                self.refuse(path, "a symbolic link in a folder is not followed; name it with -f")
            else:
                self._take_file(path, OPEN_FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            is_gone = error.errno == errno.ENOENT
            self.refuse(path, "vanished before it was read" if is_gone else reason_of(error))

    def _take_file(self, path: str, flags: int) -> None:
        """Read a file, or say why not; raises OSError."""
        if reason := irregular(Path(path).stat()):
            # Looked at before it is opened: to open a FIFO wakes its writer.
            self.refuse(path, reason)
            return
        descriptor = os.open(path, flags)
        try:
            before = os.fstat(descriptor)
            if reason := irregular(before):
                self.refuse(path, reason)
                return
            if (before.st_dev, before.st_ino) in self._seen:
                return
            self._seen.add((before.st_dev, before.st_ino))
            content, reason = content_of(descriptor, before)
        finally:
            os.close(descriptor)
        if reason:
            self.refuse(path, reason)
        else:
            self.files.append(SourceFile(path, content))


def content_of(descriptor: int, before: os.stat_result) -> tuple[bytes, str]:
    """Return a file's bytes and why they are refused, empty if they are not."""
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
    """Return why a file is not read, empty for a regular one."""
    if stat.S_ISREG(status.st_mode):
        return ""
    kind = next((name for fits, name in _KINDS if fits(status.st_mode)), "of an unknown kind")
    return f"is {kind}, not a regular file"


def reason_of(error: OSError | ValueError) -> str:
    """Return why a file could not be read, in plain words."""
    if isinstance(error, OSError) and error.errno is not None:
        return _REASONS.get(error.errno, os.strerror(error.errno))
    return f"cannot be read: {error}"


def _entries(folder: str, *, hidden: bool = False) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name: either the usual ones or the hidden ones."""
    with os.scandir(folder or ".") as entries:
        chosen = [entry for entry in entries if entry.name.startswith(".") == hidden]
    return sorted(chosen, key=lambda entry: entry.name)


def _joined(folder: str, name: str) -> str:
    if folder in ("", "."):
        return name
    return folder + name if folder.endswith("/") else f"{folder}/{name}"


def _matches(pattern: str) -> list[str]:
    """Return the paths that fit a pattern; what `*` and `**` enter is never a symbolic link.

    The standard library's glob follows links in `**`, which takes ages where two links lead
    back to their own folder.
    """
    found = ["/"] if pattern.startswith("/") else [""]
    *above, last = [part for part in pattern.split("/") if part]
    for part in above:
        found = list(dict.fromkeys(path for base in found for path in _folders(base, part)))
    return list(dict.fromkeys(path for base in found for path in _paths(base, last)))


def _folders(base: str, part: str) -> Iterator[str]:
    """Yield the folders in `base` that fit a pattern's part."""
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
    """Yield what fits a pattern's last part; `**` stands for all files, however deep."""
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
    """Yield the folder and all below it."""
    waiting = [base]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += [
            _joined(current, entry.name)
            for entry in reversed(_entries(current))
            if entry.is_dir(follow_symlinks=False)
        ]
