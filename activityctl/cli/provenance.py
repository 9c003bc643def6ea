"""Find out who calls the command line and from which commit: settings of the CI first, then git."""

import getpass
import os
import socket
import subprocess
from collections.abc import Iterable, Sequence
from glob import has_magic
from pathlib import Path
from typing import Final

from activityctl.domain.gitops.history import Origin
from activityctl.settings import Settings

DIRTY: Final = "-dirty"
"""Suffix of a commit: the files differ from it, or it does not contain them."""
UNCHECKED: Final = "-unchecked"
"""Suffix of a commit: the input was no file, or git did not answer in time."""
_GIT_SECONDS: Final = 2.0
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_GIT: Final = ("git", "--no-optional-locks")
_NOTHING_RUNS: Final = (
    ("core.fsmonitor", "false"),
    ("core.hooksPath", os.devnull),
    ("core.pager", "cat"),
)
"""Settings with which git runs no program that the folder's settings name; see `_settings`."""
_NO_FETCHING: Final = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
_NO_MATCH: Final = 1
_STATUS: Final = (
    "--ignore-submodules=all",
    *("--porcelain=v2", "--branch", "--no-ahead-behind", "-z"),
    *("--untracked-files=normal", "--ignored=matching", "--"),
)


def origin_of_call(settings: Settings, files: Sequence[str] = ()) -> Origin:
    """Return the origin of the changes that this call makes; never raises.

    `files` are the files, folders and patterns that the changes are read from, `-` for input
    that is no file. Only they decide whether the commit gets a suffix.
    """
    actor = settings.actor or _local_user()
    return Origin(actor=actor, source_commit=settings.source_commit or commit_of(files))


def origin_of_sync(settings: Settings, folder: Path) -> Origin:
    """Return the origin of changes in a synced folder, with the folder's present commit."""
    actor = settings.actor or _local_user()
    return Origin(command="sync", actor=actor, source_commit=commit_of([str(folder)]))


def commit_of(files: Sequence[str]) -> str | None:
    """Return the commit that is checked out where the files are, with a suffix if they differ.

    Without files it is the commit of the working folder. None if there is no commit.
    """
    paths = [os.path.realpath(path) for path in files if path != "-"]
    folder = _folder_of(paths[0]) if paths else None
    if not paths or len(paths) < len(files):
        head = _git(folder, "rev-parse", "HEAD")
        return f"{head}{UNCHECKED}" if head and files else head
    filters = _filters(folder)
    if filters is None:
        status = None
    else:
        status = _git(folder, "status", *_STATUS, *map(_pathspec, paths), filters=filters)
    if status is None:
        head = _git(folder, "rev-parse", "HEAD")
        return f"{head}{UNCHECKED}" if head else None
    return _commit_of_status(status, paths)


def _commit_of_status(status: str, paths: Sequence[str]) -> str | None:
    """Return the commit of a git status, marked dirty if a path differs from the commit."""
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
    """Tell whether an ignored file or folder may be among the files that are read."""
    if not ignored.endswith("/"):
        return ignored.endswith(_SUFFIXES)
    return any(f"/{ignored}" in f"{path}/" for path in paths)


def _is_pattern(path: str) -> bool:
    return has_magic(path) and not os.path.lexists(path)


def _pathspec(path: str) -> str:
    return f":({'glob' if _is_pattern(path) else 'literal'}){path}"


def _folder_of(path: str) -> Path:
    folder = Path(path)
    while _is_pattern(str(folder)):
        folder = folder.parent
    return folder if folder.is_dir() else folder.parent


def _local_user() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _filters(folder: Path | None) -> set[str] | None:
    """Return the names of the filters in git's settings; None if git does not say.

    `git status` runs the clean filter of a file whose time has changed.
    """
    done = _run(folder, ("config", "--name-only", "-z", "--get-regexp", r"^filter\."), ())
    if done is None or done.returncode not in {0, _NO_MATCH}:
        return None
    keys = [key.split(".", 1)[1] for key in done.stdout.split("\0") if "." in key]
    return {key.rpartition(".")[0] for key in keys}


def _git(folder: Path | None, *arguments: str, filters: Iterable[str] = ()) -> str | None:
    done = _run(folder, arguments, filters)
    if done is None or done.returncode != 0:
        return None
    return done.stdout.strip() or None


def _run(
    folder: Path | None, arguments: Sequence[str], filters: Iterable[str]
) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(  # noqa: S603  # the user's own git
            [*_GIT, *arguments],
            cwd=folder,
            env={**os.environ, **_NO_FETCHING, **_settings(filters)},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None


def _settings(filters: Iterable[str]) -> dict[str, str]:
    """Return the variables that set _NOTHING_RUNS and turn off the filters."""
    off = (("clean", ""), ("smudge", ""), ("process", ""), ("required", "false"))
    pairs = [*_NOTHING_RUNS]
    pairs += [(f"filter.{name}.{key}", value) for name in sorted(filters) for key, value in off]
    variables = {"GIT_CONFIG_COUNT": str(len(pairs))}
    for number, (key, value) in enumerate(pairs):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables
