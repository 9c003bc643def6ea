"""`activityctl pause`."""

from typing import Annotated

import typer

from activityctl.cli.completion import subscription_names
from activityctl.cli.session import Session, now
from activityctl.domain.subscription import SubscriptionStatus
from activityctl.operations.act import change_status
from activityctl.wiring import Ports


def pause(
    context: typer.Context,
    subscription: Annotated[str, typer.Argument(metavar="SUB", autocompletion=subscription_names)],
    reason: Annotated[str | None, typer.Option(help="Why; kept and shown.")] = None,
) -> None:
    """Pause a subscription's schedules; runs by hand still work.

    activityctl pause disk-report --reason "the disk is being replaced"
    """
    session: Session = context.obj

    async def work(ports: Ports) -> bool:
        owner = await ports.catalog.find_subscription(subscription)
        return await change_status(
            ports.catalog, owner, SubscriptionStatus.PAUSED, now(), reason=reason
        )

    changed = session.with_ports(work)
    session.out.print(f"subscription/{subscription} {'paused' if changed else 'unchanged'}")
