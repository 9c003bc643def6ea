"""`activityctl pause`: pause subscriptions."""

from typing import Annotated

import typer

from activityctl.cli.many import (
    AllSubscriptions,
    ListOnly,
    Statuses,
    SubscriptionArguments,
    SubscriptionLabels,
)
from activityctl.cli.options import Yes, output_option
from activityctl.cli.subscription_status import StatusChange, change_statuses
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.values.selection import parse_labels


def pause(
    context: typer.Context,
    subscriptions: SubscriptionArguments = [],  # noqa: B006  # typer copies it
    labels: SubscriptionLabels = [],  # noqa: B006  # typer copies it
    status: Statuses = [],  # noqa: B006  # typer copies it
    all_subscriptions: AllSubscriptions = False,
    reason: Annotated[
        str | None,
        typer.Option(
            help="Why; stored, shown by `get`, and selected by `resume --paused-for`.",
            metavar="TEXT",
        ),
    ] = None,
    dry_run: ListOnly = False,
    yes: Yes = False,
    output: Annotated[str, output_option("text", "json", "name")] = "text",
) -> None:
    """Pause subscriptions: neither schedules nor events start runs; you can still run them by hand.

    What -l, --status or --all select is listed first and needs confirmation; these select active
    subscriptions unless --status says otherwise. Exit 1 if one is refused.

    activityctl pause disk-report --reason "the disk is being replaced"

    activityctl pause -l team=payments --reason "the database moves"

    activityctl pause --all --yes
    """
    change = StatusChange("pause", SubscriptionStatus.PAUSED, "paused", reason=reason)
    choice = change.choice(subscriptions, parse_labels(labels), status, all_subscriptions)
    change_statuses(context.obj, change, choice, output, dry_run=dry_run, yes=yes)
