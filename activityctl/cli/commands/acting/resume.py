"""`activityctl resume`."""

from typing import Annotated

import typer

from activityctl.cli.completion import subscription_names
from activityctl.cli.subscription_status import set_status
from activityctl.domain.manifests.subscription import SubscriptionStatus


def resume(
    context: typer.Context,
    subscription: Annotated[str, typer.Argument(metavar="SUB", autocompletion=subscription_names)],
    catch_up: Annotated[
        bool,
        typer.Option(
            "--catch-up",
            help="Make up for what was due since it was paused, as each trigger's misfire policy "
            "says; else that is left out.",
        ),
    ] = False,
) -> None:
    """Resume a paused subscription.

    activityctl resume disk-report
    activityctl resume disk-report --catch-up
    """
    done = "resumed, catching up" if catch_up else "resumed"
    set_status(context.obj, subscription, SubscriptionStatus.ACTIVE, done, catch_up=catch_up)
