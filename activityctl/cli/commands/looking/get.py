"""`activityctl get`: list the objects of one kind."""

from typing import Annotated

import typer

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
    parse_labels,
    parse_time_range,
)
from activityctl.cli.render.columns import columns_of, how_to_complete, waiting_columns
from activityctl.cli.render.output import FORMATS, check_format, print_views
from activityctl.cli.render.task_tree import as_tree
from activityctl.cli.session import Session, now
from activityctl.domain.values.selection import Selection
from activityctl.operations.looking.get import ObjectViews, Page, default_limit
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
            "subscriptions, calendars and schedules, and 100 objects of other kinds.",
            metavar="COUNT",
        ),
    ] = None,
    labels: Labels = [],  # noqa: B006  # typer copies it
    output: Annotated[str, output_option(*FORMATS)] = "text",
) -> None:
    """List the objects of one kind.

    --since selects runs and dead letters by their creation, tasks by the creation of their run,
    and events by their arrival. --until is only for events.

    activityctl get runs -s disk-report --status failed --status timed_out --since 1d

    activityctl get tasks --run 3f2a -o json

    activityctl get tasks --status waiting --assignee fraud-team

    activityctl get events --since 1h -s eu-orders

    activityctl get events --type "order.*" --source "/shops/*" --since 2h --until 1h -o json
    """
    session: Session = context.obj
    shape = check_format(output)
    wanted, reference = kind_and_name(kind, name)

    most = default_limit(wanted) if limit is None else limit or None
    first, last = parse_time_range(since, until, now())

    async def read(ports: Ports) -> Page:
        owner = await ports.catalog.find_subscription(subscription) if subscription else None
        selection = Selection(
            subscription_id=owner.id if owner else None,
            run_id=(await ports.run_lists.find_run(run)).id if run else None,
            statuses=tuple(part for text in status for part in text.split(",")),
            since=first,
            until=last,
            types=tuple(types),
            sources=tuple(sources),
            assignee=assignee,
            labels=parse_labels(labels),
            limit=most,
        )
        views = ObjectViews(
            ports.catalog, ports.register, ports.run_lists, ports.events, ports.workers
        )
        return await views.page(wanted, reference, selection)

    page = session.with_ports(read)
    views = page.views
    if wanted == "runs" and shape in {"text", "wide"}:
        views.sort(key=lambda view: (view["dueAt"], view["createdAt"]), reverse=True)
    of_one_run = wanted == "tasks" and run is not None
    if of_one_run and shape in {"text", "wide"}:
        views = as_tree(views)
    columns = columns_of(wanted, wide=shape == "wide")
    if wanted == "tasks" and status == ["waiting"]:
        columns = waiting_columns(wide=shape == "wide")
    if of_one_run:
        columns = [column for column in columns if column[0] != "RUN"]
    print_views(session.out, wanted, views, shape, columns, has_more=page.has_more)
    if shape in {"text", "wide"} and (hint := how_to_complete(wanted, views)):
        session.err.print(hint)
    if page.has_more and shape not in {"json", "yaml"}:
        session.err.print(f"{len(views)} shown, and there are more; --limit 0 lists all")
