"""`activityctl history`: who changed an object, when, from which commit, and what."""

import re
from typing import Annotated

import typer

from activityctl.cli.completion import kinds
from activityctl.cli.options import Output, catalog_kind
from activityctl.cli.render.output import age, check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.domain.gitops.history import PastChange, rolled_back_to
from activityctl.domain.values.json_form import View, format_timestamp, list_view
from activityctl.operations.gitops.history import history as read_history
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

    async def read(ports: Ports) -> list[PastChange]:
        return await read_history(ports.catalog, wanted, name)

    entries = session.with_ports(read)
    views = [{**_view(one), "rolledBackTo": rolled_back_to(one, entries)} for one in entries]
    if shape == "json":
        print_json(session.out, list_view(views))
        return
    columns = (
        ("CHANGE", lambda view: view["number"]),
        ("AGE", lambda view: age(view["at"])),
        ("COMMAND", _command),
        ("ACTION", lambda view: view["action"]),
        ("ACTOR", lambda view: view["actor"]),
        ("COMMIT", lambda view: _short(view["sourceCommit"] or "-")),
        ("SET", lambda view: view["applyset"]),
        ("FIELDS", _changed_fields),
    )
    print_table(session.out, views, columns, empty="")


def _command(view: View) -> str:
    number = view["rolledBackTo"]
    return f"{view['command']} to {number}" if number else str(view["command"])


def _short(commit: str) -> str:
    found = re.fullmatch(r"([0-9a-f]{12})[0-9a-f]{28,52}(-[a-z]+)?", commit)
    return "".join(filter(None, found.groups())) if found else commit[:12]


def _changed_fields(view: View) -> str | None:
    if view["action"] != "configured":
        return None  # a whole object came or went
    return ", ".join(field["path"] for field in view["fields"])


def _view(entry: PastChange) -> View:
    return {
        "number": entry.number,
        "kind": entry.kind,
        "name": entry.name,
        "action": entry.action,
        "at": format_timestamp(entry.at),
        "command": entry.origin.command,
        "actor": entry.origin.actor,
        "sourceCommit": entry.origin.source_commit,
        "applyset": entry.applyset,
        "fields": list(entry.fields),
        "revision": entry.revision_id,
        "document": entry.document,
    }
