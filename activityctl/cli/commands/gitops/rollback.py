"""`activityctl rollback`: give an object an earlier content again."""

from typing import Annotated

import typer

from activityctl.cli.completion import kinds
from activityctl.cli.options import Timeout, Wait, catalog_kind
from activityctl.cli.pending_schedules import report_pending, seconds_to_wait
from activityctl.cli.render.apply_text import print_changes
from activityctl.cli.render.progress import on_interrupt_say_recorded, on_interrupt_say_unknown
from activityctl.cli.session import Session, now
from activityctl.operations.gitops.apply import Applied, wait_for_schedules
from activityctl.operations.gitops.history import roll_back
from activityctl.wiring import Ports


def rollback(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="def, sub or cal", autocompletion=kinds)],
    name: Annotated[str, typer.Argument(help="Its name.")],
    to: Annotated[
        int | None, typer.Option(help="The number of a change in `history`; else the one before.")
    ] = None,
    timeout: Timeout = "30s",
    wait: Wait = None,
) -> None:
    """Give an object an earlier content again, as a new change; a deleted one comes back.

    activityctl rollback def host-report --to 2
    """
    session: Session = context.obj
    wanted = catalog_kind(kind)

    seconds = seconds_to_wait(timeout, wait=wait)

    async def work(ports: Ports) -> Applied:
        on_interrupt_say_unknown(session)
        plan = await roll_back(ports.catalog, wanted, name, to, now, session.origin)
        on_interrupt_say_recorded(session)
        return await wait_for_schedules(
            plan,
            ports.register,
            ports.workers,
            timeout_seconds=seconds,
            wait_without_worker=wait is True,
        )

    applied = session.with_ports(work)
    print_changes(session, applied.plan)
    if (applyset := applied.plan.applyset) is not None:
        session.err.print(
            f"it is in the set {applyset} again: an apply of that set with --prune deletes it "
            "unless its files have it"
        )
    report_pending(session, applied, wait=wait)
