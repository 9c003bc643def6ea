"""`activityctl status`: the local daemon's components."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from activityctl.cli.options import Output
from activityctl.cli.output import check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.daemon.daemon_state import ComponentStatus, read_status
from activityctl.domain.view import API_VERSION, View
from activityctl.errors import UnreachableError

if TYPE_CHECKING:
    from rich.console import Console


def status(context: typer.Context, output: Output = "text") -> None:
    """Show each component: state, version, address, pid; exit 7 when nothing runs.

    activityctl status -o json
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "wide", "json"))
    home = session.settings.home
    components = read_status(home)
    if shape == "json":
        items = [component_view(part) for part in components]
        print_json(session.out, {"apiVersion": API_VERSION, "kind": "Status", "components": items})
    elif components:
        print_components(session.out, components)
    if not any(part.pid for part in components):
        raise UnreachableError(f"no activityctl daemon runs for {home}", hint="activityctl up")


def print_components(console: "Console", components: Sequence[ComponentStatus]) -> None:
    """Print the components as a table."""
    columns = [
        ("NAME", lambda view: view["name"]),
        ("STATE", lambda view: view["state"]),
        ("VERSION", lambda view: view["version"] or None),
        ("ADDRESS", lambda view: view["address"]),
        ("PID", lambda view: view["pid"]),
        ("RESTARTS", lambda view: view["restarts"]),
    ]
    if any(part.last_error for part in components):
        columns.append(("LAST ERROR", lambda view: view["lastError"]))
    views = [component_view(part) for part in components]
    print_table(console, views, columns, empty="No components.")


def component_view(part: ComponentStatus) -> View:
    """Return a component as DESIGN section 5 has it."""
    return {
        "name": part.name,
        "state": part.state.value,
        "version": part.version,
        "address": part.address,
        "pid": part.pid,
        "restarts": part.restarts,
        "lastError": part.last_error,
    }
