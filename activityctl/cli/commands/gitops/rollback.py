"""`activityctl rollback`: restore an earlier version of an object."""

from typing import Annotated

import typer

from activityctl.cli.options import (
    CatalogKind,
    ObjectName,
    Timeout,
    WaitForSchedules,
    catalog_object,
)
from activityctl.cli.pending_schedules import report_pending, seconds_to_wait
from activityctl.cli.render.apply_text import print_changes
from activityctl.cli.session import Session
from activityctl.cli.verbs.gitops import WaitOptions, gitops_of


def rollback(
    context: typer.Context,
    kind: CatalogKind,
    name: ObjectName = None,
    to: Annotated[
        int | None,
        typer.Option(
            help="The number of a change in `history`; without it, the change before the last.",
            metavar="NUMBER",
        ),
    ] = None,
    timeout: Timeout = "30s",
    wait: WaitForSchedules = None,
) -> None:
    """Restore an earlier version of an object, as a new change; also of a deleted object.

    activityctl rollback def host-report --to 2
    """
    session: Session = context.obj
    wanted, found = catalog_object(kind, name)

    seconds = seconds_to_wait(timeout, wait=wait)

    options = WaitOptions(seconds, wait_without_worker=wait is True)
    applied = session.with_ports(
        lambda ports: gitops_of(session, ports).roll_back(wanted, found, to, options)
    )
    print_changes(session, applied.plan)
    if (applyset := applied.plan.applyset) is not None:
        session.err.print(
            f"it is in the apply set {applyset} again: an apply of that set with --prune deletes "
            "it unless the files contain it"
        )
    report_pending(session, applied, wait=wait)
