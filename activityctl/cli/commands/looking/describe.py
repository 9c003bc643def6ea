"""`activityctl describe`: show one object and the objects that belong to it."""

from typing import Annotated

import typer

from activityctl.cli.options import ListedKind, output_option, required_name
from activityctl.cli.render.output import check_format, print_json, to_yaml
from activityctl.cli.session import Session
from activityctl.cli.verbs.choose import verbs_of
from activityctl.cli.verbs.redo import redo_of
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.errors import UsageError
from activityctl.operations.looking.kinds import Kind, kind_and_name, singular
from activityctl.wiring import Ports

_FORMATS = ("text", "yaml", "json", "html", "svg")
_PAGES = frozenset({"runs", "subscriptions", "definitions", "deadletters"})
"""The kinds that are told as a page; others are shown as YAML."""


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
    last: Annotated[
        bool, typer.Option("--last", help="Of a subscription: show its newest run.")
    ] = False,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Of a run: show when each task was at work.")
    ] = False,
    output: Annotated[
        str,
        output_option(*_FORMATS[:3], note="; html for a page, svg for a run", noted=_FORMATS[3:]),
    ] = "text",
) -> None:
    """Show one object: a run, subscription, definition or dead letter as a page, others as YAML.

    activityctl describe run 3f2a

    activityctl describe sub disk-report

    activityctl describe sub disk-report --last --timeline

    activityctl describe def disk-report

    activityctl describe deadletter 3f2a

    activityctl describe run 3f2a -o html > run.html
    """
    session: Session = context.obj
    shape = check_format(output, _FORMATS)
    wanted, given = kind_and_name(kind, name)
    if last and wanted != "subscriptions":
        raise UsageError(
            "--last is for a subscription", hint="activityctl describe sub NAME --last"
        )
    shown: Kind = "runs" if last else wanted
    if shown != "runs" and (timeline or shape == "svg"):
        what = "--timeline" if timeline else f"-o {shape}"
        raise UsageError(f"{what} is for a run", hint=f"activityctl describe run ID {what}")
    if shown not in _PAGES and shape == "html":
        raise UsageError(
            "-o html is for a run, a subscription, a definition or a dead letter",
            hint="use -o yaml or -o json",
        )
    if timeline and shape != "text":
        raise UsageError("--timeline cannot be combined with -o", hint="-o svg draws a timeline")
    reference = required_name(given)

    async def read(ports: Ports) -> View:
        if shown == "deadletters" and shape in {"text", "html"}:
            return await redo_of(ports).letter(reference)
        return await verbs_of(session, ports).describe(wanted, reference, last=last)

    view = {"apiVersion": API_VERSION, "kind": singular(shown), **session.with_ports(read)}
    if shape == "json":
        print_json(session.out, view)
    elif shape == "yaml" or shown not in _PAGES:
        session.out.file.write(to_yaml(view))
    else:
        from activityctl.cli.describing import show_page

        show_page(session, view, shape, timeline=timeline)
