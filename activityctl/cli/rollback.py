"""`activityctl rollback`: give an object an earlier content again."""

from typing import Annotated

import typer

from activityctl.cli.apply import print_changes
from activityctl.cli.completion import kinds
from activityctl.cli.options import Timeout, catalog_kind, seconds_of
from activityctl.cli.session import Session, now
from activityctl.domain.plan import Plan
from activityctl.operations.apply import settle
from activityctl.operations.history import roll_back
from activityctl.wiring import Ports


def rollback(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="def, sub or cal", autocompletion=kinds)],
    name: Annotated[str, typer.Argument(help="Its name.")],
    to: Annotated[
        int | None, typer.Option(help="The number of a change in `history`; else the one before.")
    ] = None,
    timeout: Timeout = "30s",
) -> None:
    """Give an object an earlier content again, as a new change; a deleted one comes back.

    activityctl rollback def host-report --to 2
    """
    session: Session = context.obj
    wanted = catalog_kind(kind)

    async def work(ports: Ports) -> Plan:
        plan = await roll_back(ports.catalog, wanted, name, to, now, session.origin)
        await settle(plan, ports.register, ports.workers, timeout_seconds=seconds_of(timeout))
        return plan

    print_changes(session, session.with_ports(work))
