"""`activityctl pause`: pause a subscription."""

from typing import Annotated

import typer

from activityctl.cli.options import SubscriptionArgument
from activityctl.cli.subscription_status import set_status
from activityctl.domain.manifests.subscription import SubscriptionStatus


def pause(
    context: typer.Context,
    subscription: SubscriptionArgument,
    reason: Annotated[
        str | None,
        typer.Option(help="Why it is paused; stored, and shown by `get`.", metavar="TEXT"),
    ] = None,
) -> None:
    """Pause a subscription: neither schedules nor events start runs; you can still run it by hand.

    activityctl pause disk-report --reason "the disk is being replaced"
    """
    set_status(context.obj, subscription, SubscriptionStatus.PAUSED, "paused", reason=reason)
