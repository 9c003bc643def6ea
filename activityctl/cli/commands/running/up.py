"""`activityctl up`: start the local daemon, in the foreground or detached."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.applying import apply_files
from activityctl.cli.first_runs import show_first_run
from activityctl.cli.options import Files, LogFormat, Recursive, Sync, log_format_of
from activityctl.cli.pending_schedules import print_pending
from activityctl.cli.render.apply_text import print_changes
from activityctl.cli.render.start_steps import showing_steps
from activityctl.cli.render.status_text import print_components, print_sync
from activityctl.cli.session import Session
from activityctl.daemon.local import embedded_temporal
from activityctl.daemon.local.child_spec import Addresses, ChildSpec
from activityctl.daemon.local.detached import start_detached
from activityctl.daemon.local.state import (
    DaemonState,
    lock_is_held,
    open_home,
    read_state,
    read_status,
)
from activityctl.daemon.local.supervisor import Hooks, supervise
from activityctl.daemon.local.sync_status import forget_sync, read_sync
from activityctl.daemon.log import configure_logging
from activityctl.daemon.protection import protect_memory
from activityctl.domain.chain.keys import KeyKind
from activityctl.errors import ActivityctlError, InvalidInputError, RefusedError
from activityctl.operations.gitops.load import load_manifests
from activityctl.settings import Secret, Settings, known_secrets, load_settings
from activityctl.version import VERSION

_LOG_FORMAT: Final = "ACTIVITYCTL_LOG_FORMAT"
_FIRST_SYNC_SECONDS: Final = 20.0
_WORKER_ASKS: Final = 10
_WORKER_ASK_SECONDS: Final = 0.05


def up(
    context: typer.Context,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Run in the background; return when it runs.")
    ] = False,
    sync: Sync = None,
    ui: Annotated[
        bool, typer.Option("--ui", help="Also run Temporal's web page, for as long as you need it.")
    ] = False,
    log_format: LogFormat = None,
) -> None:
    """Start the local daemon of this user: Postgres, Temporal, a worker and the API.

    With -f, then apply these manifests. With --sync, apply a folder again whenever it changes.
    Without -d, run in the foreground until Ctrl-C.

    activityctl up -d -f definitions/

    activityctl up -d --sync definitions/

    activityctl up -d --ui
    """
    session: Session = context.obj
    home, logged_as = session.settings.home, log_format_of(session, log_format)
    if not session.settings.uses_local_daemon:
        raise RefusedError(
            "the settings name a database, but `up` starts a database of its own",
            hint="unset ACTIVITYCTL_DATABASE_URL or the profile, or start `activityctl worker`",
        )
    if files:  # report invalid manifests before anything is started
        session.err.print(f"checking {', '.join(files)}")
        with wiring.evaluating():
            load_manifests(
                wiring.manifest_source(), files, wiring.known_kinds(), recursive=recursive
            )
    folder = None if sync is None else _folder(sync)
    open_home(home)
    if lock_is_held(home):
        session.err.print(f"a daemon already runs for {home}")
        _check_synced(home, folder)
        _check_page(home, ui=ui)
        _after_start(session, files, recursive=recursive)
    elif detach:
        session.set_interrupt_message("the start was stopped; nothing of it is left running")
        session.err.print(f"starting the daemon of {home}")
        began = time.monotonic()
        with showing_steps(session) as show:
            command = _foreground_command(home, folder, ui=ui)
            start_detached(home, command, _environment(logged_as), on_steps=show)
        session.err.print(f"ready in {time.monotonic() - began:.1f} s")
        session.set_interrupt_message("the daemon keeps running", hint="activityctl down")
        _after_start(session, files, recursive=recursive)
    else:
        forget_sync(home)
        after_start = partial(_after_start, session, files, recursive=recursive)
        _foreground(session, _environment(logged_as), folder, after_start, ui=ui)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise InvalidInputError(
            f"--sync {path}: no such folder", hint="name a folder with manifests"
        )
    return path.absolute()


def _check_synced(home: Path, folder: Path | None) -> None:
    """Raise RefusedError if the running daemon does not sync this folder."""
    present = read_sync(home)
    if folder is not None and (present is None or present.folder != str(folder)):
        raise RefusedError(
            f"the running daemon does not sync {folder}",
            hint=f"activityctl down && activityctl up -d --sync {folder}",
        )


def _check_page(home: Path, *, ui: bool) -> None:
    """Raise RefusedError if Temporal's web page is wanted and the running daemon has none."""
    if ui and embedded_temporal.UI_PORT not in read_state(home).addresses:
        raise RefusedError(
            "the running daemon does not run Temporal's web page",
            hint="activityctl down && activityctl up -d --ui",
        )


def _after_start(session: Session, files: list[str], *, recursive: bool) -> None:
    """Print the components, apply the files and show their first run."""
    session = Session(session.flags, session.color)
    print_components(session.out, read_status(session.settings.home))
    if page := read_state(session.settings.home).addresses.get(embedded_temporal.UI_PORT):
        session.out.print(f"Temporal's web page: {page}")
    _show_sync(session)
    if files:
        applied = apply_files(session, files, recursive=recursive, timeout=30.0)
        print_changes(session, applied.plan)
        print_pending(session, applied)
        show_first_run(session, applied.plan)


def _show_sync(session: Session) -> None:
    """Wait until the synced folder, if there is one, was applied or refused; print which."""
    home = session.settings.home
    deadline = time.monotonic() + _FIRST_SYNC_SECONDS
    while (sync := read_sync(home)) and not sync.is_known and time.monotonic() < deadline:
        time.sleep(0.1)
    print_sync(session.out, sync)


def _foreground(
    session: Session,
    environment: Mapping[str, str],
    folder: Path | None,
    after_start: Callable[[], None],
    *,
    ui: bool,
) -> None:
    async def on_ready(_: DaemonState) -> None:
        shown.close()
        session.err.print(f"ready in {time.monotonic() - began:.1f} s")
        try:
            await asyncio.to_thread(after_start)
        except ActivityctlError as error:
            session.err.print(f"error: {error}")
        session.err.print(
            "running; Ctrl-C stops everything. Try in another terminal: activityctl get runs"
        )

    home = session.settings.home
    configure_logging(known_secrets(session.flags), environment[_LOG_FORMAT])
    session.err.print(f"starting the daemon of {home}")
    protect_memory()
    began = time.monotonic()
    with ExitStack() as shown:
        show = shown.enter_context(showing_steps(session))
        hooks = Hooks(
            migrate=lambda url: asyncio.to_thread(wiring.migrate, url),
            on_ready=on_ready,
            on_steps=show,
        )
        children = _children(session.settings, folder)
        asyncio.run(supervise(home, children, hooks, environment, shows_ui=ui))
    session.err.print("stopped")


def _foreground_command(home: Path, folder: Path | None, *, ui: bool) -> list[str]:
    command = [sys.executable, "-m", "activityctl", "--home", str(home), "up"]
    return [*command, *_sync_option(folder), *(["--ui"] if ui else [])]


_WITHOUT_TLS: Final = {"ACTIVITYCTL_API_CERTIFICATE": "", "ACTIVITYCTL_API_PRIVATE_KEY": ""}
"""The API of the local daemon speaks HTTP, whatever the environment sets for `serve`."""


def _sync_option(folder: Path | None) -> tuple[str, ...]:
    return () if folder is None else ("--sync", str(folder))


def _environment(log_format: str) -> dict[str, str]:
    """Return the user's variables, without profiles: the daemon must use its own database."""
    return {**os.environ, "ACTIVITYCTL_CONFIG": os.devnull, _LOG_FORMAT: log_format}


def _children(settings: Settings, folder: Path | None) -> list[ChildSpec]:
    python = (sys.executable, "-m", "activityctl")

    async def worker_is_alive(addresses: Addresses, pid: int) -> bool:
        return await _has_worker(addresses["database_url"], pid)

    async def signer_listens(_: Addresses, __: int) -> bool:
        await wiring.open_signer(settings).addresses((), KeyKind.RELAYER)
        return True

    return [
        ChildSpec(
            "worker",
            (*python, "worker", *_sync_option(folder)),
            ready=worker_is_alive,
            version=VERSION,
        ),
        ChildSpec(
            "api",
            (*python, "serve", "--port", "{port}"),
            listens=True,
            version=VERSION,
            environment=_WITHOUT_TLS,
        ),
        ChildSpec(
            "signer",
            (*python, "signer"),
            ready=signer_listens,
            version=VERSION,
            is_needed=lambda: wiring.needs_signer(settings),
        ),
    ]


async def _has_worker(database_url: str, pid: int) -> bool:
    """Tell whether the worker with this pid is alive.

    Asks for half a second on one connection: a connection for each question costs more CPU.
    """
    settings = replace(load_settings(environment={}), database_url=Secret(database_url))
    async with wiring.open_ports(settings) as ports:
        for _ in range(_WORKER_ASKS):
            if any(worker.pid == pid for worker in await ports.workers.alive()):
                return True
            await asyncio.sleep(_WORKER_ASK_SECONDS)
    return False
