"""Homes of daemons whose database is ready, copied from one that is made once for a run.

The first start of a daemon makes a cluster of Postgres and carries out all migrations, which takes
2.4 s of CPU more than a later start. Dozens of tests need a daemon of their own, and few of them
are about its first start. These begin with an empty home.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from activityctl.daemon.local import embedded_postgres
from activityctl.daemon.local.detached import start_detached
from activityctl.daemon.local.state import DaemonState, open_home
from activityctl.daemon.local.supervisor import stop_daemon

_COPIED = (
    embedded_postgres.NAME,
    embedded_postgres.PASSWORD_FILE,
    embedded_postgres.OWNER_PASSWORD_FILE,
)
_PROGRAM = """
import asyncio, os, pathlib, sys
from activityctl import wiring
from activityctl.daemon.local.supervisor import Hooks, supervise
hooks = Hooks(migrate=lambda url: asyncio.to_thread(wiring.migrate, url))
asyncio.run(supervise(pathlib.Path(sys.argv[1]), [], hooks, os.environ))
"""
_folders: list[Path] = []


def keep_in(folder: Path) -> None:
    """Name the folder that all workers of the run share."""
    _folders[:] = [folder]


def start_servers(home: Path) -> DaemonState:
    """Start a daemon that has the two servers only."""
    return start_detached(home, [sys.executable, "-c", _PROGRAM, str(home)], os.environ)


def prepare(home: Path) -> Path:
    """Give the home, which may be missing, a migrated database; return it."""
    made = _made_once(_folders[0])
    open_home(home)
    # It keeps the owner of the files: root runs the server as another user.
    subprocess.run(["cp", "-a", *(str(made / name) for name in _COPIED), str(home)], check=True)
    return home


def _made_once(folder: Path) -> Path:
    """Return the home that the others are copies of; the first caller makes it."""
    made = folder / "prepared-home"
    with (folder / "prepared-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            new = folder / "prepared-home.new"
            start_servers(new)
            stop_daemon(new)
            new.rename(made)
    return made
