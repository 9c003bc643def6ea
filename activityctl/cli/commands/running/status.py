"""`activityctl status`: show the components of the local daemon, its work and its synced folder."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

import typer

from activityctl.cli.options import output_option
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.overview import print_overview
from activityctl.cli.render.status_text import component_view, print_components, print_sync
from activityctl.cli.session import Session
from activityctl.cli.verbs.choose import verbs_of
from activityctl.daemon.local.health_checks import check_health
from activityctl.daemon.local.machine_checks import disk_view
from activityctl.daemon.local.state import (
    RESTART,
    UNSUPERVISED,
    ComponentState,
    ComponentStatus,
    lock_is_held,
    read_status,
)
from activityctl.daemon.local.sync_status import SyncStatus, read_sync
from activityctl.daemon.real_servers import check_servers, worker_states
from activityctl.domain.values.json_form import API_VERSION, View, format_timestamp
from activityctl.errors import ActivityctlError, RefusedError, UnreachableError
from activityctl.operations.looking.overview_view import overview_view
from activityctl.operations.looking.relayers import low_senders_within

if TYPE_CHECKING:
    from activityctl.wiring import Ports


def status(
    context: typer.Context,
    output: Annotated[str, output_option("text", "wide", "json")] = "text",
) -> None:
    """Show the state, version, address and pid of each component of the local daemon.

    If the settings name other servers, show whether these answer, and their workers.

    Exit 7 if the daemon is not running, or if Postgres elsewhere does not answer. Exit 1 if a
    component does not run or does not answer, the supervisor was killed, the disk is full, or the
    files of the synced folder could not be applied.

    activityctl status -o json
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "wide", "json"))
    settings = session.settings
    if settings.server is not None or not settings.uses_local_daemon:
        show = _show_servers if settings.server is None else _show_api
        show(session, shape)
        return
    home = session.settings.home
    components, sync = read_status(home), read_sync(home)
    runs = any(part.pid for part in components)
    if runs:
        components = asyncio.run(check_health(session.settings, components))
    answers = {part.name: part.state is ComponentState.RUNNING for part in components}
    overview = read_overview(session) if answers.get("postgres") else None
    disk = disk_view(home)
    if shape == "json":
        print_json(session.out, _view(components, sync, overview, disk))
    elif components:
        _print(session, components, sync, overview, disk)
    if not runs:
        raise UnreachableError(
            f"no activityctl daemon is running for {home}", hint="activityctl up -d"
        )
    if not lock_is_held(home):
        raise RefusedError(UNSUPERVISED, hint=RESTART)
    if answers.get("postgres") and not all(answers.values()):
        _require_schema(session)
    is_synced = sync is None or sync.error is None
    if not all(answers.values()) or not is_synced or _is_full(disk):
        raise typer.Exit(1)


def _print(
    session: Session,
    components: Sequence[ComponentStatus],
    sync: SyncStatus | None,
    overview: View | None,
    disk: View | None,
) -> None:
    print_components(session.out, components)
    print_sync(session.out, sync)
    if disk is not None and disk["state"] != "ok":
        session.out.print(f"disk: {disk['found']}; run activityctl doctor", soft_wrap=True)
    if overview is not None:
        print_overview(session.out, overview)


def _show_servers(session: Session, shape: str) -> None:
    """Show the servers that the settings name, and their workers."""
    components = asyncio.run(check_servers(session.settings))
    has_database = components[0].state is ComponentState.RUNNING
    overview = read_overview(session) if has_database else None
    if shape == "json":
        print_json(session.out, _view(components, None, overview))
    else:
        print_components(session.out, components)
        if overview is not None:
            print_overview(session.out, overview)
    if not has_database:
        raise UnreachableError(
            components[0].last_error or "Postgres does not answer", hint="activityctl config show"
        )
    if any(part.state is not ComponentState.RUNNING for part in components):
        _require_schema(session)
        raise typer.Exit(1)


def _show_api(session: Session, shape: str) -> None:
    """Show the HTTP API that the settings name, its workers, and the overview that it gives."""

    async def read(ports: "Ports") -> tuple[View, list[ComponentStatus]]:
        view = dict(await verbs_of(session, ports).status())
        server = ComponentStatus(
            name="server",
            state=ComponentState.RUNNING,
            version=view.pop("version", None),
            address=session.settings.server,
        )
        return view, [server, *worker_states(await ports.workers.alive())]

    view, components = session.with_ports(read)
    disk = view.get("disk")
    if shape == "json":
        print_json(session.out, _view(components, None, view, disk))
    else:
        _print(session, components, None, view, disk)
    if _is_full(disk):
        raise typer.Exit(1)


def _is_full(disk: View | None) -> bool:
    return disk is not None and str(disk["found"]).startswith("full")


def _require_schema(session: Session) -> None:
    """Raise SchemaMismatchError, whose hint mends it, if no worker can use the database."""
    from activityctl import wiring
    from activityctl.adapters.postgres.schema.version import require_schema

    async def check() -> None:
        with suppress(UnreachableError, TimeoutError):
            async with asyncio.timeout(_SECONDS):
                await require_schema(await wiring.database_url(session.settings))

    asyncio.run(check())


def _view(
    components: Sequence[ComponentStatus],
    sync: SyncStatus | None,
    overview: View | None,
    disk: View | None = None,
) -> View:
    return {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "components": [component_view(part) for part in components],
        "sync": None if sync is None else _sync_view(sync),
        "disk": disk,
        "lowRelayers": None,
        **(overview_view(None) if overview is None else overview),
    }


def _sync_view(sync: SyncStatus) -> View:
    return {
        "folder": sync.folder,
        "appliedAt": format_timestamp(sync.applied_at),
        "summary": dict(sync.summary),
        "error": sync.error,
    }


_SECONDS: Final = 3.0


def read_overview(session: Session) -> View | None:
    """Return the view of the overview; None if Postgres does not answer within seconds."""

    async def read(ports: "Ports") -> View:
        async with asyncio.timeout(_SECONDS):
            view = await verbs_of(session, ports).status()
        return {**view, "lowRelayers": await _low_relayers(session, ports)}

    try:
        return session.with_ports(read)
    except (ActivityctlError, TimeoutError):
        return None  # the table of components, read from files, shows which of them has a problem


async def _low_relayers(session: Session, ports: "Ports") -> list[View] | None:
    """Return the relayers that can hardly pay; None if their chains do not answer in time."""
    from activityctl import wiring

    settings = session.settings
    return await low_senders_within(
        _SECONDS,
        ports.relays,
        lambda: wiring.open_chains(settings, wiring.open_secrets(settings)),
    )
