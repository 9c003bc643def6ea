"""`activityctl worker`."""

import asyncio
from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.session import Session
from activityctl.daemon.log import configure_logging


def worker(
    context: typer.Context,
    migrate: Annotated[
        bool, typer.Option(help="Bring the database's schema to the newest version first.")
    ] = False,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C; running tasks are drained first.

    export ACTIVITYCTL_DATABASE_URL=postgresql://... TEMPORAL_ADDRESS=host:7233

    activityctl worker --migrate
    """
    from activityctl.daemon.worker import run_worker

    session: Session = context.obj
    configure_logging()
    if migrate:
        wiring.migrate(session.settings.required_database_url())
    asyncio.run(run_worker(session.settings))
