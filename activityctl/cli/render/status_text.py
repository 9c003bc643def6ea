"""Show the components of the local daemon as a table, and its synced folder as lines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from activityctl.cli.render.output import print_table
from activityctl.daemon.local.state import ComponentStatus
from activityctl.daemon.local.sync_status import SyncStatus
from activityctl.domain.values.json_form import View
from activityctl.domain.values.untrusted import escape_controls

if TYPE_CHECKING:
    from rich.console import Console


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
    """Print when the synced folder was applied, or why it was refused; nothing without one."""
    if sync is None:
        return
    if sync.error is None and sync.applied_at is None:
        console.print(f"sync of {sync.folder}: not applied yet")
    if sync.applied_at is not None:
        counts = ", ".join(f"{count} {name}" for name, count in sync.summary.items() if count)
        when = sync.applied_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        console.print(escape_controls(f"sync of {sync.folder}: last applied {when}: {counts}"))
    if sync.error is not None:
        lines = escape_controls(sync.error).replace("\n", "\n  ")
        console.print(escape_controls(f"sync of {sync.folder}: refused, nothing was changed:"))
        console.print(f"  {lines}")


def component_view(part: ComponentStatus) -> View:
    """Return a component as JSON."""
    return {
        "name": part.name,
        "state": part.state.value,
        "version": part.version,
        "address": part.address,
        "pid": part.pid,
        "restarts": part.restarts,
        "lastError": part.last_error,
    }
