"""`activityctl export`: print live objects as YAML that can be applied unchanged."""

from typing import Annotated

import typer

from activityctl.cli.completion import kinds
from activityctl.cli.options import Labels, catalog_kind, is_catalog_kind, output_option
from activityctl.cli.render.output import check_format, print_json, to_yaml
from activityctl.cli.session import Session
from activityctl.cli.verbs.gitops import gitops_of
from activityctl.domain.gitops.plan import Kind
from activityctl.domain.values.json_form import list_view
from activityctl.domain.values.selection import Selection, parse_labels
from activityctl.errors import NotFoundError
from activityctl.operations.looking.kinds import kind_and_name


def export(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Only this kind: definition, subscription, calendar or source (def, sub, cal, "
            "src). Any other word is taken as NAME.",
            autocompletion=kinds,
        ),
    ] = None,
    name: Annotated[str | None, typer.Argument(help="Only the object of this name.")] = None,
    labels: Labels = [],  # noqa: B006  # typer copies it
    output: Annotated[str, output_option("yaml", "json")] = "yaml",
) -> None:
    """Print live objects as YAML that can be applied unchanged.

    Literal credentials are masked; apply refuses them.

    activityctl export > all.yaml && activityctl diff -f all.yaml

    activityctl export sub disk-report
    """
    session: Session = context.obj
    shape = check_format(output, ("yaml", "json"))
    only_kind, only_name = _kind_and_name(kind, name)
    selection = Selection(name=only_name, labels=parse_labels(labels))
    documents = session.with_ports(
        lambda ports: gitops_of(session, ports).export(selection, only_kind)
    )
    if only_name is not None and not documents:
        raise NotFoundError(
            only_kind.lower() if only_kind else "object",
            only_name,
            hint="activityctl get definitions, subscriptions, calendars or sources",
        )
    if shape == "json":
        print_json(session.out, list_view(documents))
    else:
        session.out.file.write("---\n".join(to_yaml(document) for document in documents))


def _kind_and_name(kind: str | None, name: str | None) -> tuple[Kind | None, str | None]:
    """Return the kind and the name that the arguments mean; one alone may be either."""
    if kind is None or (name is None and "/" not in kind and not is_catalog_kind(kind)):
        return None, kind
    found, only_name = kind_and_name(kind, name)
    return catalog_kind(found), only_name
