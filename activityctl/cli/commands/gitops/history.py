"""`activityctl history`: show who changed an object, when, from which commit, and what."""

import re

import typer

from activityctl.cli.options import CatalogKind, ObjectName, TextOrJson, catalog_object
from activityctl.cli.render.output import age, check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.cli.verbs.gitops import gitops_of
from activityctl.domain.gitops.plan import NAME_PATH, RENAMED_AWAY, STATE_CHANGED
from activityctl.domain.values.json_form import View, list_view


def history(
    context: typer.Context,
    kind: CatalogKind,
    name: ObjectName = None,
    output: TextOrJson = "text",
) -> None:
    """Show every change of an object, the newest first, also of a deleted one.

    activityctl history def host-report
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    wanted, found = catalog_object(kind, name)
    views = session.with_ports(lambda ports: gitops_of(session, ports).history(wanted, found))
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
    """Return the first 12 characters of a commit, with its suffix if it has one."""
    match = re.fullmatch(r"([0-9a-f]{12})[0-9a-f]{28,52}(-[a-z]+)?", commit)
    return "".join(filter(None, match.groups())) if match else commit[:12]


def _changed_fields(view: View) -> str | None:
    if view["action"] not in {"configured", RENAMED_AWAY, STATE_CHANGED}:
        return None  # the whole object was created or deleted
    return ", ".join(_changed_field(view, field) for field in view["fields"])


def _changed_field(view: View, field: View) -> str:
    if field["path"] != NAME_PATH:
        return str(field["path"])
    if view["action"] == RENAMED_AWAY:
        return f"renamed to {field['new']}"
    return f"renamed from {field['old']}"
