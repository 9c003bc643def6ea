"""`activityctl get`: lists of every kind."""

from typing import Annotated

import typer

from activityctl.cli.completion import kinds, subscription_names
from activityctl.cli.options import Output, Since, parse_labels, parse_since
from activityctl.cli.render.columns import columns_of
from activityctl.cli.render.output import check_format, print_views
from activityctl.cli.session import Session, now
from activityctl.domain.values.selection import Selection
from activityctl.operations.looking.get import ObjectViews, Page, default_limit, kind_of
from activityctl.wiring import Ports


def get(
    context: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(help="definitions, runs, tasks, ... (def, run, task)", autocompletion=kinds),
    ],
    name: Annotated[str | None, typer.Argument(help="A name, an id or a prefix of one.")] = None,
    subscription: Annotated[
        str | None,
        typer.Option(
            "--subscription",
            "-s",
            help="Only of this one.",
            autocompletion=subscription_names,
            metavar="SUB",
        ),
    ] = None,
    run: Annotated[str | None, typer.Option(help="Only tasks or events of this run.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those in this status.")] = None,
    since: Since = None,
    until: Annotated[
        str | None, typer.Option(help="Only events that came before.", metavar="WHEN")
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only events of this type; order.* takes several."),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option("--source", help="Only events of this source; * for any characters."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1_000_000,
            help="At most so many; 0 for all. Without it all definitions, subscriptions, "
            "calendars and schedules, and 100 of other kinds.",
            metavar="COUNT",
        ),
    ] = None,
    label: Annotated[list[str] | None, typer.Option("-l", help="key=value")] = None,
    output: Output = "text",
) -> None:
    """List objects of a kind.

    activityctl get runs -s disk-report --status failed --since 1d

    activityctl get tasks --run 3f2a -o json

    activityctl get events --since 1h -s eu-orders

    activityctl get events --type "order.*" --source "/shops/*" --since 2h --until 1h -o json
    """
    session: Session = context.obj
    shape = check_format(output)
    wanted = kind_of(kind)

    most = default_limit(wanted) if limit is None else limit or None

    async def read(ports: Ports) -> Page:
        owner = await ports.catalog.find_subscription(subscription) if subscription else None
        selection = Selection(
            subscription_id=owner.id if owner else None,
            run_id=(await ports.run_lists.find_run(run)).id if run else None,
            status=status,
            since=parse_since(since, now()),
            until=parse_since(until, now()),
            types=tuple(types or ()),
            sources=tuple(sources or ()),
            labels=parse_labels(label or ()),
            limit=most,
        )
        looker = ObjectViews(ports.catalog, ports.register, ports.run_lists, ports.events)
        return await looker.page(wanted, name, selection)

    page = session.with_ports(read)
    views = page.views
    if wanted == "runs" and shape in {"text", "wide"}:
        views.sort(key=lambda view: (view["dueAt"], view["createdAt"]), reverse=True)
    columns = columns_of(wanted, wide=shape == "wide")
    print_views(session.out, wanted, views, shape, columns, has_more=page.has_more)
    if page.has_more and shape not in {"json", "yaml"}:
        session.err.print(f"{len(views)} shown, there are more; --limit 0 for all")
