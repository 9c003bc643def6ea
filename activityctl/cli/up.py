"""`activityctl up`: the local daemon, in the foreground or detached."""

import asyncio
import os
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.apply import apply_files, print_changes, say_pending
from activityctl.cli.first_runs import show_first_runs
from activityctl.cli.options import Recursive
from activityctl.cli.session import Session, now
from activityctl.cli.status import print_components
from activityctl.daemon.daemon_state import DaemonState, lock_is_held, read_status
from activityctl.daemon.log import configure_logging
from activityctl.daemon.supervisor import Addresses, ChildSpec, Hooks, start_detached, supervise
from activityctl.domain.worker import COUNTS_AS_ALIVE
from activityctl.errors import ActivityctlError, RefusedError
from activityctl.operations.load import load_manifests
from activityctl.settings import Secret, load_settings
from activityctl.version import VERSION


def up(
    context: typer.Context,
    files: Annotated[
        list[str], typer.Option("--filename", "-f", help="Apply these then.", metavar="PATH")
    ] = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once everything runs.")
    ] = False,
) -> None:
    """Start Postgres, Temporal, a worker and the API of this user, then apply manifests.

    activityctl up -d -f definitions/

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
    if lock_is_held(home):
        session.err.print(f"activityctl already runs for {home}")
        _after_start(session, files, recursive=recursive)
    elif detach:
        with session.err.status("starting Postgres, Temporal, worker and API"):
            start_detached(home, _foreground_command(home), _environment())
        _after_start(session, files, recursive=recursive)
    else:
        _foreground(session, home, files, recursive=recursive)


def _after_start(session: Session, files: list[str], *, recursive: bool) -> None:
    """Show what runs, apply the files and show the first run that they lead to."""
    session = Session(session.flags, session.color)
    print_components(session.out, read_status(session.settings.home))
    if files:
        applied = apply_files(session, files, recursive=recursive, timeout=30.0)
        print_changes(session, applied.plan)
        say_pending(session, applied, waited=True)
        show_first_runs(session, applied.plan)


def _foreground(session: Session, home: Path, files: list[str], *, recursive: bool) -> None:
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
    asyncio.run(supervise(home, _children(), hooks, _environment()))
    session.err.print("stopped")


def _foreground_command(home: Path) -> list[str]:
    return [sys.executable, "-m", "activityctl", "--home", str(home), "up"]


def _environment() -> dict[str, str]:
    """Return the user's variables; a profile must not lead the daemon to another database."""
    return {**os.environ, "ACTIVITYCTL_CONFIG": os.devnull}


def _children() -> list[ChildSpec]:
    python = (sys.executable, "-m", "activityctl")
    began = now()

    async def worker_is_alive(addresses: Addresses) -> bool:
        return await _beats(addresses["database_url"], began)

    return [
        ChildSpec("worker", (*python, "worker"), ready=worker_is_alive, version=VERSION),
        ChildSpec("api", (*python, "serve", "--port", "{port}"), listens=True, version=VERSION),
    ]


async def _beats(database_url: str, began: datetime) -> bool:
    """Tell whether a worker beats that was started since then."""
    settings = replace(load_settings(environment={}), database_url=Secret(database_url))
    async with wiring.open_ports(settings) as ports:
        alive = await ports.workers.alive(now() - COUNTS_AS_ALIVE)
    return any(worker.started_at >= began for worker in alive)
