"""`activityctl status`: the local daemon's components, its schedules, the folder kept applied."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from activityctl.cli.options import Output
from activityctl.cli.render.output import check_format, print_json, print_table, visible
from activityctl.cli.render.overview import (
    auto_paused_view,
    events_view,
    firings_view,
    print_overview,
    read_overview,
    schedules_view,
)
from activityctl.cli.session import Session
from activityctl.daemon.local.state import ComponentState, ComponentStatus, read_status
from activityctl.daemon.local.sync_status import SyncStatus, read_sync
from activityctl.daemon.local.vitals import check_vitals
from activityctl.domain.values.json_form import API_VERSION, View, stamp
from activityctl.errors import UnreachableError

if TYPE_CHECKING:
    from rich.console import Console

    from activityctl.operations.looking.overview import Overview


def status(context: typer.Context, output: Output = "text") -> None:
    """Show each component: state, version, address, pid.

    Exit 7 when nothing runs, 1 when a component does not run or does not answer, or when the
    folder that is kept applied was refused.

    activityctl status -o json
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "wide", "json"))
    home = session.settings.home
    components, sync = read_status(home), read_sync(home)
    runs = any(part.pid for part in components)
    if runs:
        components = asyncio.run(check_vitals(session.settings, components))
    answers = {part.name: part.state is ComponentState.RUNNING for part in components}
    overview = read_overview(session) if answers.get("postgres") else None
    if shape == "json":
        print_json(session.out, _view(components, sync, overview))
    elif components:
        print_components(session.out, components)
        print_sync(session.out, sync)
        if overview is not None:
            print_overview(session.out, overview)
    if not runs:
        raise UnreachableError(f"no activityctl daemon runs for {home}", hint="activityctl up -d")
    if not all(answers.values()) or (sync is not None and sync.error is not None):
        raise typer.Exit(1)


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


def print_sync(console: "Console", sync: SyncStatus | None) -> None:
    """Print where the folder that is kept applied stands; nothing when there is none."""
    if sync is None:
        return
    if sync.error is None and sync.applied_at is None:
        console.print(f"sync of {sync.folder}: not looked at yet")
    if sync.applied_at is not None:
        counts = ", ".join(f"{count} {name}" for name, count in sync.summary.items() if count)
        when = sync.applied_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        console.print(visible(f"sync of {sync.folder}: last applied {when}: {counts}"))
    if sync.error is not None:
        lines = visible(sync.error).replace("\n", "\n  ")
        console.print(visible(f"sync of {sync.folder}: refused, nothing was changed:"))
        console.print(f"  {lines}")


def _view(
    components: Sequence[ComponentStatus], sync: SyncStatus | None, overview: "Overview | None"
) -> View:
    return {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "components": [component_view(part) for part in components],
        "sync": None if sync is None else _sync_view(sync),
        "schedules": None if overview is None else schedules_view(overview),
        "firings": None if overview is None else firings_view(overview),
        "events": None if overview is None else events_view(overview),
        "autoPaused": None if overview is None else auto_paused_view(overview),
    }


def _sync_view(sync: SyncStatus) -> View:
    return {
        "folder": sync.folder,
        "appliedAt": stamp(sync.applied_at),
        "summary": dict(sync.summary),
        "error": sync.error,
    }


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
