"""`activityctl get`: list the objects of one kind."""

from typing import Annotated

import typer

from activityctl.cli.listing import Listing, watch_list
from activityctl.cli.many import split_statuses
from activityctl.cli.options import (
    EventSources,
    EventTypes,
    Labels,
    ListedKind,
    RunOption,
    Since,
    SubscriptionOption,
    Until,
    output_option,
)
from activityctl.cli.render.output import FORMATS
from activityctl.cli.render.view_path import CUSTOM
from activityctl.cli.session import Session, now
from activityctl.cli.verbs.choose import verbs_of
from activityctl.cli.verbs.verbs import ListRequest
from activityctl.domain.values.selection import Selection, parse_labels
from activityctl.domain.values.time_range import parse_time_range
from activityctl.operations.looking.filters import default_limit
from activityctl.operations.looking.get import Page
from activityctl.operations.looking.kinds import kind_and_name
from activityctl.wiring import Ports


def get(
    context: typer.Context,
    kind: ListedKind,
    name: Annotated[
        str | None,
        typer.Argument(
            help="Only this object: its name, its id or the first characters of the id; of a "
            "schedule SUBSCRIPTION/TRIGGER. Not needed after KIND/NAME."
        ),
    ] = None,
    subscription: SubscriptionOption = None,
    run: RunOption = None,
    status: Annotated[
        list[str],
        typer.Option(help="Only objects with this status, such as failed.", metavar="STATUS"),
    ] = [],  # noqa: B006  # typer copies it
    since: Since = None,
    until: Until = None,
    types: EventTypes = [],  # noqa: B006  # typer copies it
    sources: EventSources = [],  # noqa: B006  # typer copies it
    assignee: Annotated[
        str | None,
        typer.Option(help="Only manual tasks for this person or team.", metavar="NAME"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1_000_000,
            help="The largest number of objects; 0 for all. Without it: all definitions, "
            "subscriptions, calendars, sources and schedules, and 100 objects of other kinds.",
            metavar="COUNT",
        ),
    ] = None,
    labels: Labels = [],  # noqa: B006  # typer copies it
    sort_by: Annotated[
        str | None,
        typer.Option(
            "--sort-by",
            help="Sort what is listed by a field of its JSON form, such as startedAt, "
            "lastRun.createdAt or took; -took sorts downwards.",
            metavar="FIELD",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Also print what is new or changes, until Ctrl-C."),
    ] = False,
    output: Annotated[
        str,
        output_option(
            *FORMATS, note="; or custom-columns=HEADING:FIELD,HEADING:FIELD", prefix=CUSTOM
        ),
    ] = "text",
) -> None:
    """List the objects of one kind.

    --since selects runs and dead letters by their creation, tasks by the creation of their run,
    and events by their arrival. --until is only for events. -l selects runs, tasks and dead
    letters by the labels of their subscription.

    activityctl get runs -s disk-report --status failed --status timed_out --since 1d

    activityctl get tasks --run 3f2a -o json

    activityctl get tasks --status waiting --assignee fraud-team

    activityctl get events --since 1h -s eu-orders

    activityctl get runs -l team=payments --sort-by -took

    activityctl get runs --watch -o custom-columns=RUN:.id,STATUS:.status,TEAM:.subscription
    """
    session: Session = context.obj
    wanted, reference = kind_and_name(kind, name)
    listing = Listing(wanted, output, sort_by, tuple(status), of_one_run=run is not None)
    if watch:
        listing.check_watched()

    most = default_limit(wanted) if limit is None else limit or None
    first, last = parse_time_range(since, until, now())

    selection = Selection(
        statuses=split_statuses(status),
        since=first,
        until=last,
        types=tuple(types),
        sources=tuple(sources),
        assignee=assignee,
        labels=parse_labels(labels),
        limit=most,
    )
    request = ListRequest(wanted, reference, selection, subscription, run)

    async def list_once(ports: Ports) -> Page:
        return await verbs_of(session, ports).page(request)

    async def follow(ports: Ports) -> None:
        verbs = verbs_of(session, ports)
        await watch_list(session, listing, lambda: verbs.page(request))

    if watch:
        session.with_ports(follow)
        return
    page = session.with_ports(list_once)
    listing.print(session, page)
