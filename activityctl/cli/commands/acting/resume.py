"""`activityctl resume`: resume a paused subscription."""

from typing import Annotated

import typer

from activityctl.cli.options import SubscriptionArgument
from activityctl.cli.subscription_status import set_status
from activityctl.domain.manifests.subscription import SubscriptionStatus


def resume(
    context: typer.Context,
    subscription: SubscriptionArgument,
    catch_up: Annotated[
        bool,
        typer.Option(
            "--catch-up",
            help="Also run the times that were due during the pause, as the misfire policy of "
            "each trigger says.",
        ),
    ] = False,
) -> None:
    """Resume a paused subscription; times that were due during the pause do not run.

    activityctl resume disk-report

    activityctl resume disk-report --catch-up
    """
    done = "resumed, catching up" if catch_up else "resumed"
    set_status(context.obj, subscription, SubscriptionStatus.ACTIVE, done, catch_up=catch_up)
