"""`activityctl describe`: one object and what belongs to it."""

from typing import Annotated

import typer

from activityctl.cli.completion import kinds
from activityctl.cli.options import Output
from activityctl.cli.render.output import check_format, print_json, to_yaml
from activityctl.cli.session import Session
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.operations.looking.get import ObjectViews, kind_of
from activityctl.wiring import Ports


def describe(
    context: typer.Context,
    kind: Annotated[
        str, typer.Argument(help="run, sub, def, task, event, ...", autocompletion=kinds)
    ],
    name: Annotated[str, typer.Argument(help="A name, an id or a prefix of one.")],
    output: Output = "yaml",
) -> None:
    """Show one object and what belongs to it.

    activityctl describe sub disk-report

    activityctl describe run 3f2a -o json

    activityctl describe event order-17
    """
    session: Session = context.obj
    shape = check_format(output, ("yaml", "json", "text"))
    wanted = kind_of(kind)

    async def read(ports: Ports) -> View:
        looker = ObjectViews(ports.catalog, ports.register, ports.run_lists, ports.events)
        return await looker.describe(wanted, name)

    view = {"apiVersion": API_VERSION, "kind": wanted[:-1], **session.with_ports(read)}
    if shape == "json":
        print_json(session.out, view)
    else:
        session.out.file.write(to_yaml(view))
