"""`activityctl up`: the local daemon, in the foreground or detached."""

import asyncio
import os
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.applying import apply_files
from activityctl.cli.first_runs import show_first_runs
from activityctl.cli.options import Recursive, Sync
from activityctl.cli.pending_schedules import say_pending
from activityctl.cli.render.apply_text import print_changes
from activityctl.cli.render.status_text import print_components, print_sync
from activityctl.cli.session import Session, now
from activityctl.daemon.local.state import DaemonState, lock_is_held, read_status
from activityctl.daemon.local.supervisor import (
    Addresses,
    ChildSpec,
    Hooks,
    start_detached,
    supervise,
)
from activityctl.daemon.local.sync_status import forget_sync, read_sync
from activityctl.daemon.log import configure_logging
from activityctl.errors import ActivityctlError, InvalidInputError, RefusedError
from activityctl.operations.gitops.load import load_manifests
from activityctl.settings import Secret, load_settings
from activityctl.version import VERSION

_FIRST_SYNC_SECONDS: Final = 20.0


def up(
    context: typer.Context,
    files: Annotated[
        list[str], typer.Option("--filename", "-f", help="Apply these then.", metavar="PATH")
    ] = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once everything runs.")
    ] = False,
    sync: Sync = None,
) -> None:
    """Start Postgres, Temporal, a worker and the API of this user, then apply manifests.

    activityctl up -d -f definitions/

    activityctl up -d --sync definitions/    (applied again whenever it changes)

    activityctl up            (in the foreground, until Ctrl-C)
    """
    session: Session = context.obj
    home = session.settings.home
    if not session.settings.uses_local_daemon:
        raise RefusedError(
            "the settings name a database; `up` is for a daemon with one of its own",
            hint="unset ACTIVITYCTL_DATABASE_URL or the profile, or start `activityctl worker`",
        )
    if files:  # what cannot be applied is said before anything is started
        load_manifests(wiring.manifest_source(), files, wiring.known_kinds(), recursive=recursive)
    folder = None if sync is None else _folder(sync)
    if lock_is_held(home):
        session.err.print(f"activityctl already runs for {home}")
        _check_synced(home, folder)
        _after_start(session, files, recursive=recursive)
    elif detach:
        with session.err.status("starting Postgres, Temporal, worker and API"):
            start_detached(home, _foreground_command(home, folder), _environment())
        _after_start(session, files, recursive=recursive)
    else:
        forget_sync(home)
        _foreground(session, home, files, folder, recursive=recursive)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise InvalidInputError(f"--sync {path}: no such folder", hint="name a folder of manifests")
    return path.absolute()


def _check_synced(home: Path, folder: Path | None) -> None:
    """Raise RefusedError when the daemon that runs does not keep that folder applied."""
    present = read_sync(home)
    if folder is not None and (present is None or present.folder != str(folder)):
        raise RefusedError(
            f"the daemon that runs does not keep {folder} applied",
            hint=f"activityctl down && activityctl up -d --sync {folder}",
        )


def _after_start(session: Session, files: list[str], *, recursive: bool) -> None:
    """Show what runs, apply the files and show the first run that they lead to."""
    session = Session(session.flags, session.color)
    print_components(session.out, read_status(session.settings.home))
    _show_sync(session)
    if files:
        applied = apply_files(session, files, recursive=recursive, timeout=30.0)
        print_changes(session, applied.plan)
        say_pending(session, applied)
        show_first_runs(session, applied.plan)


def _show_sync(session: Session) -> None:
    """Show what became of the folder that is kept applied, when there is one."""
    home = session.settings.home
    deadline = time.monotonic() + _FIRST_SYNC_SECONDS
    while (sync := read_sync(home)) and not sync.is_known and time.monotonic() < deadline:
        time.sleep(0.1)
    print_sync(session.out, sync)


def _foreground(
    session: Session, home: Path, files: list[str], folder: Path | None, *, recursive: bool
) -> None:
    async def on_ready(_: DaemonState) -> None:
        try:
            await asyncio.to_thread(_after_start, session, files, recursive=recursive)
        except ActivityctlError as error:
            session.err.print(f"error: {error}")
        session.err.print(
            "running; Ctrl-C stops everything, in another terminal: activityctl get runs"
        )

    configure_logging()
    hooks = Hooks(migrate=lambda url: asyncio.to_thread(wiring.migrate, url), on_ready=on_ready)
    session.err.print(f"starting Postgres, Temporal, worker and API for {home}")
    asyncio.run(supervise(home, _children(folder), hooks, _environment()))
    session.err.print("stopped")


def _foreground_command(home: Path, folder: Path | None) -> list[str]:
    command = [sys.executable, "-m", "activityctl", "--home", str(home), "up"]
    return [*command, *_sync_option(folder)]


def _sync_option(folder: Path | None) -> tuple[str, ...]:
    return () if folder is None else ("--sync", str(folder))


def _environment() -> dict[str, str]:
    """Return the user's variables; a profile must not lead the daemon to another database."""
    return {**os.environ, "ACTIVITYCTL_CONFIG": os.devnull}


def _children(folder: Path | None) -> list[ChildSpec]:
    python = (sys.executable, "-m", "activityctl")
    began = now()

    async def worker_is_alive(addresses: Addresses) -> bool:
        return await _beats(addresses["database_url"], began)

    return [
        ChildSpec(
            "worker",
            (*python, "worker", *_sync_option(folder)),
            ready=worker_is_alive,
            version=VERSION,
        ),
        ChildSpec("api", (*python, "serve", "--port", "{port}"), listens=True, version=VERSION),
    ]


async def _beats(database_url: str, began: datetime) -> bool:
    """Tell whether a worker beats that was started since then."""
    settings = replace(load_settings(environment={}), database_url=Secret(database_url))
    async with wiring.open_ports(settings) as ports:
        alive = await ports.workers.alive()
    return any(worker.started_at >= began for worker in alive)
