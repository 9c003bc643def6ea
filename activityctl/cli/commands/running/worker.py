"""`activityctl worker`."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from activityctl import wiring
from activityctl.cli.options import Sync
from activityctl.cli.session import Session
from activityctl.daemon.log import configure_logging
from activityctl.settings import Settings


def worker(
    context: typer.Context,
    migrate: Annotated[
        bool, typer.Option(help="Bring the database's schema to the newest version first.")
    ] = False,
    sync: Sync = None,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C; running tasks are drained first.

    export ACTIVITYCTL_DATABASE_URL=postgresql://... TEMPORAL_ADDRESS=host:7233

    activityctl worker --migrate --sync definitions/
    """
    from activityctl.daemon.worker.worker import run_worker

    session: Session = context.obj
    configure_logging()
    if migrate:
        wiring.migrate(asyncio.run(wiring.database_url(session.settings)))
    kept = None if sync is None else _sync(session.settings, sync)
    asyncio.run(run_worker(session.settings, sync=kept))


def _sync(settings: Settings, folder: Path) -> Callable[[], Coroutine[Any, Any, None]]:
    from activityctl.cli.provenance import origin_of_sync
    from activityctl.daemon.local.sync import FolderSync

    return FolderSync(settings, folder, lambda: origin_of_sync(settings, folder)).run
