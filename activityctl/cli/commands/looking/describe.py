"""`activityctl describe`: show one object and the objects that belong to it."""

from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.options import ListedKind, output_option, required_name
from activityctl.cli.render.output import check_format, print_json, to_yaml
from activityctl.cli.session import Session
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.kinds import kind_and_name, singular
from activityctl.wiring import Ports


def describe(
    context: typer.Context,
    kind: ListedKind,
    name: Annotated[
        str | None,
        typer.Argument(
            help="The object's name, its id or the first characters of the id; of a schedule "
            "SUBSCRIPTION/TRIGGER. Not needed after KIND/NAME."
        ),
    ] = None,
    output: Annotated[str, output_option("yaml", "json", "text")] = "yaml",
) -> None:
    """Show one object and the objects that belong to it, such as the tasks of a run.

    activityctl describe sub disk-report

    activityctl describe run/3f2a -o json

    activityctl describe event order-17
    """
    session: Session = context.obj
    shape = check_format(output, ("yaml", "json", "text"))
    wanted, given = kind_and_name(kind, name)
    reference = required_name(given)

    async def read(ports: Ports) -> View:
        views = ObjectViews(
            ports.catalog, ports.register, ports.run_lists, ports.events, ports.workers
        )
        return await views.describe(wanted, reference)

    view = {"apiVersion": API_VERSION, "kind": singular(wanted), **session.with_ports(read)}
    if "secrets" in view:
        known = {secret.name for secret in wiring.open_secrets(session.settings).known()}
        view["secrets"] = [
            {"name": secret, "isFoundHere": secret in known} for secret in view["secrets"]
        ]
    if shape == "json":
        print_json(session.out, view)
    else:
        session.out.file.write(to_yaml(view))
