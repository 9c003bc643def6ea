"""The checks of `doctor` that ask no server: folders, disk, and what is installed."""

import os
import shutil
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from activityctl.daemon.local import embedded_postgres, embedded_temporal, judgements
from activityctl.daemon.local.check import Check
from activityctl.daemon.local.own_files import require_own_folder
from activityctl.domain.values.json_form import View
from activityctl.errors import ActivityctlError


def machine_checks(home: Path, *, has_servers: bool) -> list[Check]:
    """Return the checks of this machine; `has_servers` says whether the local daemon has them."""
    checks = [_home(home), disk_check(home, has_servers=has_servers), _code(), _ai()]
    return [*checks, _embedded_postgres(), _embedded_temporal()] if has_servers else checks


def _home(home: Path) -> Check:
    python = f"Python {sys.version.split()[0]}"
    folder = home if home.exists() else _existing_parent(home)
    if home.exists():
        try:
            require_own_folder(home.resolve())
        except ActivityctlError as error:
            return Check("home", "failed", str(error), error.hint)
    if os.access(folder, os.W_OK):
        return Check("home", "ok", f"{home} ({python})")
    return Check("home", "failed", f"{folder} cannot be written", "set ACTIVITYCTL_HOME")


def disk_check(home: Path, *, has_servers: bool, with_sizes: bool = True) -> Check:
    """Judge the free space for the home, with the sizes of what is there unless not wanted."""
    files = _sizes(home, has_servers=has_servers) if with_sizes else {}
    free = shutil.disk_usage(_existing_parent(home)).free
    logs = shutil.disk_usage(_existing_parent(home / "logs")).free
    return judgements.disk(free, logs, files, home, has_servers=has_servers)


def disk_view(home: Path) -> View:
    """Return the judgement of the free space in the form of JSON, for `status`."""
    disk = disk_check(home, has_servers=True, with_sizes=False)
    return {"state": disk.state, "found": disk.found}


def _sizes(home: Path, *, has_servers: bool) -> dict[str, int]:
    return {
        "Postgres": _size(home / embedded_postgres.NAME) if has_servers else 0,
        "Temporal": sum(_size(path) for path in home.glob(f"{embedded_temporal.DATABASE_FILE}*")),
        "logs": _size(home / "logs"),
    }


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 for what cannot be read."""
    if not path.is_dir():
        return path.stat().st_size if path.is_file() else 0
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):  # it may be removed meanwhile
                total += (Path(folder) / name).stat().st_size
    return total


def _existing_parent(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _code() -> Check:
    """Say whether tasks of the kind `code` can run here; most installations need none."""
    libraries = {"Python": "pydantic_monty", "JavaScript": "py_mini_racer"}
    here = [name for name, module in libraries.items() if find_spec(module) is not None]
    found = " and ".join(here) or "not installed; code tasks need activityctl[code]"
    return Check("code", "ok", found)


def _ai() -> Check:
    """Say whether tasks of the kind `ai` can run here; most installations need none."""
    here = [name for name in ("openai", "anthropic") if find_spec(name) is not None]
    found = " and ".join(here) or "not installed; ai tasks need activityctl[ai]"
    return Check("ai", "ok", found)


def _embedded_postgres() -> Check:
    try:
        return Check("embedded postgres", "ok", str(embedded_postgres.find_binaries()))
    except ActivityctlError as error:
        return Check("embedded postgres", "failed", str(error), error.hint)


def _embedded_temporal() -> Check:
    try:
        return Check("embedded temporal", "ok", str(embedded_temporal.find_binary()))
    except ActivityctlError as error:
        return Check("embedded temporal", "failed", str(error), error.hint)
