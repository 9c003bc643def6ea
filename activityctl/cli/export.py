"""`activityctl export`: what lives, as YAML that applies unchanged."""

from typing import Annotated

import typer

from activityctl.cli.options import labels_of
from activityctl.cli.output import check_format, print_json, to_yaml
from activityctl.cli.session import Session
from activityctl.domain.document import Document
from activityctl.domain.selection import Selection
from activityctl.domain.view import list_view
from activityctl.errors import NotFoundError
from activityctl.operations.history import export as read_documents
from activityctl.wiring import Ports


def export(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only objects of this name.")] = None,
    label: Annotated[list[str] | None, typer.Option("-l", help="key=value")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="yaml or json.")] = "yaml",
) -> None:
    """Print all live objects as clean YAML that applies unchanged.

    activityctl export > all.yaml && activityctl diff -f all.yaml
    """
    session: Session = context.obj
    shape = check_format(output, ("yaml", "json"))
    selection = Selection(name=name, labels=labels_of(label or ()))

    async def read(ports: Ports) -> list[Document]:
        return await read_documents(ports.catalog, selection)

    found = session.with_ports(read)
    if name is not None and not found:
        raise NotFoundError(
            "object", name, hint="activityctl get definitions, subscriptions or calendars"
        )
    if shape == "json":
        print_json(session.out, list_view(found))
    else:
        session.out.file.write("---\n".join(to_yaml(document) for document in found))
