"""`activityctl worker`: run a worker against the configured servers."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from activityctl import wiring
from activityctl.cli.few_collections import no_collections
from activityctl.cli.options import LogFormat, Sync, log_format_of
from activityctl.cli.session import Session
from activityctl.daemon.log import configure_logging
from activityctl.settings import Settings, known_secrets


def worker(
    context: typer.Context,
    migrate: Annotated[
        bool, typer.Option(help="First update the schema of the database to this version.")
    ] = False,
    sync: Sync = None,
    log_format: LogFormat = None,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C; running tasks end first.

    The servers come from a profile, or from the variables ACTIVITYCTL_DATABASE_URL
    (postgresql://USER@HOST/DATABASE) and TEMPORAL_ADDRESS (HOST:PORT).

    activityctl worker --migrate --sync definitions/

    activityctl --profile prod worker
    """
    with ExitStack() as starting:
        starting.enter_context(no_collections())
        _run(context.obj, starting.close, sync, log_format, migrate=migrate)


def _run(
    session: Session,
    on_ready: Callable[[], None],
    sync: Path | None,
    log_format: LogFormat,
    *,
    migrate: bool,
) -> None:
    from activityctl.daemon.protection import forget_variables, protect_memory, secret_variables
    from activityctl.daemon.signals import ending_on_sigterm
    from activityctl.daemon.worker.worker import run_worker

    configure_logging(known_secrets(session.flags), log_format_of(session, log_format))
    protect_memory()
    forget_variables(secret_variables(session.settings))
    if migrate:
        with ending_on_sigterm("worker"):
            wiring.migrate(asyncio.run(wiring.database_url(session.settings)))
    folder_sync = None if sync is None else _folder_sync(session.settings, sync)
    asyncio.run(run_worker(session.settings, sync=folder_sync, on_ready=on_ready))


def _folder_sync(settings: Settings, folder: Path) -> Callable[[], Coroutine[Any, Any, None]]:
    from activityctl.cli.provenance import origin_of_sync
    from activityctl.daemon.local.sync import FolderSync

    return FolderSync(settings, folder, lambda: origin_of_sync(settings, folder)).run
