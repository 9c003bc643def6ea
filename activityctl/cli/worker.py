"""`activityctl worker`."""

import asyncio

import typer

from activityctl.cli.session import Session
from activityctl.daemon.log import configure_logging


def worker(context: typer.Context) -> None:
    """Run a worker until SIGTERM or Ctrl-C; running tasks are drained first.

    ACTIVITYCTL_DATABASE_URL=postgresql://... TEMPORAL_ADDRESS=host:7233 activityctl worker
    """
    from activityctl.daemon.worker import run_worker

    session: Session = context.obj
    configure_logging()
    asyncio.run(run_worker(session.settings))
