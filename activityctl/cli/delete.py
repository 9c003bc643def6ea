"""`activityctl delete`: a subscription or a definition; runs and logs stay."""

from typing import Annotated

import typer

from activityctl.cli.completion import kinds
from activityctl.cli.session import Session, now
from activityctl.domain.subscription import SubscriptionStatus
from activityctl.errors import UsageError
from activityctl.operations.act import change_status
from activityctl.operations.look import kind_of
from activityctl.wiring import Ports


def delete(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="subscription or definition", autocompletion=kinds)],
    name: Annotated[str, typer.Argument(help="Its name, or a subscription's id.")],
) -> None:
    """Delete a subscription with its schedules, or a definition that none uses.

    activityctl delete sub disk-report
    """
    session: Session = context.obj
    wanted = kind_of(kind)

    async def work(ports: Ports) -> bool:
        if wanted == "definitions":
            await ports.catalog.delete_definition(name, now())
            return True
        if wanted != "subscriptions":
            raise UsageError(f"{wanted} cannot be deleted", hint="delete a subscription")
        owner = await ports.catalog.find_subscription(name)
        return await change_status(ports.catalog, owner, SubscriptionStatus.DELETED, now())

    changed = session.with_ports(work)
    session.out.print(f"{wanted[:-1]}/{name} {'deleted' if changed else 'was deleted already'}")
