"""`activityctl down`: stop the local daemon."""

import typer

from activityctl.cli.session import Session
from activityctl.daemon.local.supervisor import stop_daemon


def down(context: typer.Context) -> None:
    """Stop the local daemon and everything it started; running tasks end first, data is kept.

    activityctl down
    """
    session: Session = context.obj
    with session.status("stopping"):
        stopped = stop_daemon(session.settings.home)
    if not stopped:
        session.err.print(f"no daemon is running for {session.settings.home}")
    for part in stopped:
        session.out.print(f"{part.name} stopped")
