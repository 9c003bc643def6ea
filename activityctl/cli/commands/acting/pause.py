"""`activityctl pause`."""

from typing import Annotated

import typer

from activityctl.cli.completion import subscription_names
from activityctl.cli.subscription_status import set_status
from activityctl.domain.manifests.subscription import SubscriptionStatus


def pause(
    context: typer.Context,
    subscription: Annotated[str, typer.Argument(metavar="SUB", autocompletion=subscription_names)],
    reason: Annotated[str | None, typer.Option(help="Why; kept and shown.")] = None,
) -> None:
    """Pause a subscription's schedules; runs by hand still work.

    activityctl pause disk-report --reason "the disk is being replaced"
    """
    set_status(context.obj, subscription, SubscriptionStatus.PAUSED, "paused", reason=reason)
