"""`activityctl get`: lists of every kind."""

from typing import Annotated

import typer

from activityctl.cli.columns import columns_of
from activityctl.cli.completion import kinds, subscription_names
from activityctl.cli.options import Output, Since, labels_of, moment_of
from activityctl.cli.output import check_format, print_views
from activityctl.cli.session import Session, now
from activityctl.domain.selection import Selection
from activityctl.domain.view import View
from activityctl.operations.look import Looker, kind_of
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
            "--subscription", "-s", help="Only of this one.", autocompletion=subscription_names
        ),
    ] = None,
    run: Annotated[str | None, typer.Option(help="Only tasks or events of this run.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those in this status.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    label: Annotated[list[str] | None, typer.Option("-l", help="key=value")] = None,
    output: Output = "text",
) -> None:
    """List objects of a kind.

    activityctl get runs -s disk-report --status failed --since 1d

    activityctl get tasks --run 3f2a -o json

    activityctl get events --since 1h -s eu-orders
    """
    session: Session = context.obj
    shape = check_format(output)
    wanted = kind_of(kind)

    async def read(ports: Ports) -> list[View]:
        owner = await ports.catalog.find_subscription(subscription) if subscription else None
        selection = Selection(
            subscription_id=owner.id if owner else None,
            run_id=(await ports.run_lists.find_run(run)).id if run else None,
            status=status,
            since=moment_of(since, now()),
            labels=labels_of(label or ()),
            limit=limit,
        )
        looker = Looker(ports.catalog, ports.register, ports.run_lists, ports.events)
        if name is not None:
            return await looker.named(wanted, name, selection)
        return await looker.listed(wanted, selection)

    views = session.with_ports(read)
    if wanted == "runs" and shape in {"text", "wide"}:
        views.sort(key=lambda view: (view["dueAt"], view["createdAt"]), reverse=True)
    print_views(session.out, wanted, views, shape, columns_of(wanted, wide=shape == "wide"))
