"""`activityctl delete`: a subscription or a definition; runs and logs stay."""

from typing import Annotated

import typer

from activityctl.cli.apply import print_changes
from activityctl.cli.completion import kinds
from activityctl.cli.options import catalog_kind
from activityctl.cli.session import Session, now
from activityctl.domain.plan import Plan
from activityctl.operations.history import delete as delete_object
from activityctl.wiring import Ports


def delete(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="subscription or definition", autocompletion=kinds)],
    name: Annotated[str, typer.Argument(help="Its name, or a subscription's id.")],
) -> None:
    """Delete a subscription with its schedules, or a definition that none uses.

    Runs and logs stay, and `rollback` brings it back.

    activityctl delete sub disk-report
    """
    session: Session = context.obj
    wanted = catalog_kind(kind)

    async def work(ports: Ports) -> Plan:
        found = name
        if wanted == "Subscription":
            found = (await ports.catalog.find_subscription(name)).name
        return await delete_object(ports.catalog, wanted, found, now, session.origin)

    print_changes(session, session.with_ports(work))
