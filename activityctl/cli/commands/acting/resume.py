"""`activityctl resume`: resume paused subscriptions."""

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


def resume(
    context: typer.Context,
    subscriptions: SubscriptionArguments = [],  # noqa: B006  # typer copies it
    labels: SubscriptionLabels = [],  # noqa: B006  # typer copies it
    status: Statuses = [],  # noqa: B006  # typer copies it
    all_subscriptions: AllSubscriptions = False,
    paused_for: Annotated[
        str | None,
        typer.Option(
            "--paused-for",
            help="All whose reason of the pause has this text.",
            metavar="TEXT",
        ),
    ] = None,
    catch_up: Annotated[
        bool,
        typer.Option(
            "--catch-up",
            help="Also run the times that were due during the pause, as the misfire policy of "
            "each trigger says.",
        ),
    ] = False,
    dry_run: ListOnly = False,
    yes: Yes = False,
    output: Annotated[str, output_option("text", "json", "name")] = "text",
) -> None:
    """Resume paused subscriptions; times that were due during the pause do not run.

    What -l, --paused-for, --status or --all select is listed first and needs confirmation; these
    select paused subscriptions unless --status says otherwise. Exit 1 if one is refused.

    activityctl resume disk-report

    activityctl resume disk-report --catch-up

    activityctl resume --paused-for "the database moves"
    """
    done = "resumed, catching up" if catch_up else "resumed"
    change = StatusChange(
        "resume", SubscriptionStatus.ACTIVE, done, catch_up=catch_up, paused_for=paused_for
    )
    choice = change.choice(subscriptions, parse_labels(labels), status, all_subscriptions)
    change_statuses(context.obj, change, choice, output, dry_run=dry_run, yes=yes)
