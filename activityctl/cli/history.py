"""`activityctl history`: who changed an object, when, from which commit, and what."""

from typing import Annotated

import typer

from activityctl.cli.completion import kinds
from activityctl.cli.options import Output, catalog_kind
from activityctl.cli.output import age, check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.domain.history import HistoryEntry
from activityctl.domain.view import View, list_view, stamp
from activityctl.operations.history import history as read_history
from activityctl.wiring import Ports


def history(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="def, sub or cal", autocompletion=kinds)],
    name: Annotated[str, typer.Argument(help="Its name.")],
    output: Output = "text",
) -> None:
    """Show every change of an object, the newest first.

    activityctl history def host-report
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    wanted = catalog_kind(kind)

    async def read(ports: Ports) -> list[HistoryEntry]:
        return await read_history(ports.catalog, wanted, name)

    views = [_view(entry) for entry in session.with_ports(read)]
    if shape == "json":
        print_json(session.out, list_view(views))
        return
    columns = (
        ("CHANGE", lambda view: view["number"]),
        ("AGE", lambda view: age(view["at"])),
        ("COMMAND", lambda view: view["command"]),
        ("ACTION", lambda view: view["action"]),
        ("ACTOR", lambda view: view["actor"]),
        ("COMMIT", lambda view: (view["sourceCommit"] or "-")[:12]),
        ("SET", lambda view: view["applyset"]),
        ("FIELDS", _changed_fields),
    )
    print_table(session.out, views, columns, empty="")


def _changed_fields(view: View) -> str | None:
    if view["action"] != "configured":
        return None  # a whole object came or went
    return ", ".join(field["path"] for field in view["fields"])


def _view(entry: HistoryEntry) -> View:
    return {
        "number": entry.number,
        "kind": entry.kind,
        "name": entry.name,
        "action": entry.action,
        "at": stamp(entry.at),
        "command": entry.origin.command,
        "actor": entry.origin.actor,
        "sourceCommit": entry.origin.source_commit,
        "applyset": entry.applyset,
        "fields": list(entry.fields),
        "revision": entry.revision_id,
        "document": entry.document,
    }
