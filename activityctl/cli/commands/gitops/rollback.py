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
from activityctl.cli.render.progress import on_interrupt_say_recorded, on_interrupt_say_unknown
from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session
from activityctl.cli.told_waits import told_wait
from activityctl.operations.gitops.apply import Applied, wait_for_schedules
from activityctl.operations.gitops.history import roll_back
from activityctl.wiring import Ports


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

    async def work(ports: Ports) -> Applied:
        clock = await server_clock(ports)
        on_interrupt_say_unknown(session)
        plan = await roll_back(ports.catalog, wanted, found, to, clock, session.origin)
        on_interrupt_say_recorded(session)
        waiting = wait_for_schedules(
            plan,
            ports.register,
            ports.workers,
            timeout_seconds=seconds,
            wait_without_worker=wait is True,
        )
        return await told_wait(session, ports, waiting, "the change is recorded")

    applied = session.with_ports(work)
    print_changes(session, applied.plan)
    if (applyset := applied.plan.applyset) is not None:
        session.err.print(
            f"it is in the apply set {applyset} again: an apply of that set with --prune deletes "
            "it unless the files contain it"
        )
    report_pending(session, applied, wait=wait)
