"""`activityctl export`: what lives, as YAML that applies unchanged."""

from typing import Annotated

import typer

from activityctl.cli.completion import kinds
from activityctl.cli.options import catalog_kind, is_catalog_kind, parse_labels
from activityctl.cli.render.output import check_format, print_json, to_yaml
from activityctl.cli.session import Session
from activityctl.domain.gitops.plan import Kind
from activityctl.domain.manifests.document import Document
from activityctl.domain.values.json_form import list_view
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotFoundError
from activityctl.operations.gitops.history import export as read_documents
from activityctl.wiring import Ports


def export(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            help="def, sub or cal: only this kind. Another word is the NAME.", autocompletion=kinds
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(help="Only the object of this name.")] = None,
    label: Annotated[list[str] | None, typer.Option("-l", help="key=value")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="yaml or json.")] = "yaml",
) -> None:
    """Print all live objects, or some, as clean YAML that applies unchanged.

    activityctl export > all.yaml && activityctl diff -f all.yaml

    activityctl export sub disk-report
    """
    session: Session = context.obj
    shape = check_format(output, ("yaml", "json"))
    only, called = _asked(kind, name)
    selection = Selection(name=called, labels=parse_labels(label or ()))

    async def read(ports: Ports) -> list[Document]:
        return await read_documents(ports.catalog, selection, only)

    found = session.with_ports(read)
    if called is not None and not found:
        raise NotFoundError(
            only.lower() if only else "object",
            called,
            hint="activityctl get definitions, subscriptions or calendars",
        )
    if shape == "json":
        print_json(session.out, list_view(found))
    else:
        session.out.file.write("---\n".join(to_yaml(document) for document in found))


def _asked(kind: str | None, name: str | None) -> tuple[Kind | None, str | None]:
    """Return the kind and the name that the words mean; one alone may be either."""
    if kind is None or (name is None and not is_catalog_kind(kind)):
        return None, kind
    return catalog_kind(kind), name
