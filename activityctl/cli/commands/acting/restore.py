"""`activityctl restore`: replace the database by a backup."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.confirm import require_yes
from activityctl.cli.options import TextOrJson, Yes
from activityctl.cli.render.backup_text import (
    Restored,
    backup_view,
    replaced_text,
    restore_view,
    restored_lines,
    summary_lines,
)
from activityctl.cli.render.output import print_json
from activityctl.cli.session import Session
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import RefusedError, SchemaMismatchError, WorkerStartedError
from activityctl.ports import Restore

if TYPE_CHECKING:
    from activityctl.adapters.postgres.backups.archive import BackupFile
    from activityctl.adapters.postgres.backups.load import Target
    from activityctl.wiring import Ports

_FENCE: Final = timedelta(minutes=1)
"""If this command is killed, workers start again after so long."""
_STOPPED_WITHIN: Final = 90.0
_SETTLED_WITHIN: Final = 90.0
_ASK_AGAIN: Final = 1.0


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The backup.", metavar="FILE")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what the database has.")
    ] = False,
    stop_workers: Annotated[
        bool,
        typer.Option("--stop-workers", help="Have workers end, and wait for it."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the file, show what is replaced; change nothing."),
    ] = False,
    yes: Yes = False,
    output: TextOrJson = "text",
) -> None:
    """Replace everything in the database by a backup, in one transaction.

    The backup of an older version is migrated. Then a worker that starts brings Temporal together
    with it: it ends what is under way there, and begins the backup's open runs again. Tasks that
    have ended in the backup stay ended. What has happened since the backup is gone.

    activityctl restore monday.backup --dry-run

    activityctl restore monday.backup --replace --stop-workers
    """
    session: Session = context.obj
    session.set_interrupt_message("nothing was changed")
    session.name_target()
    backup = wiring.open_backup(file)
    url = asyncio.run(wiring.database_url(session.settings))
    target = wiring.look_at_target(url, backup)
    workers = _living_workers(session, target)
    if dry_run:
        _show(session, backup, target, workers, output)
        return
    if target.has_data and not replace:
        raise RefusedError(
            f"the database is not empty, and all would be replaced: {replaced_text(target.rows)}",
            hint="add --replace, or restore into another database",
        )
    if workers and not stop_workers:
        raise RefusedError(
            f"{_named(workers)}; what it works on would be mixed with the backup",
            hint="stop the workers, or add --stop-workers; "
            "those of a daemon or a service manager start again by themselves",
        )
    if target.has_data and not yes:
        session.err.print(f"this replaces {replaced_text(target.rows)}")
        require_yes("to replace them", f"Replace them by {file}?")
    with session.status("checking the file") as tell:
        restored = _restore(
            session, url, backup, target, tell, has_workers=bool(workers), may_stop=stop_workers
        )
    if output == "json":
        print_json(session.out, restore_view(restored, file))
        return
    for line in restored_lines(restored, file):
        session.out.print(line)


def _restore(
    session: Session,
    url: str,
    backup: "BackupFile",
    target: "Target",
    tell: Callable[[str], None],
    *,
    has_workers: bool,
    may_stop: bool,
) -> Restored:
    for _ in backup.parts():
        continue  # damage is an error
    prefixes = dict.fromkeys([*target.role_prefixes, *backup.manifest.role_prefixes])
    with _fenced(session, target) as is_lifted:
        missing = None
        while missing is None:
            if has_workers:
                tell("waiting for the workers to end")
                _wait_until_stopped(session)
            session.set_interrupt_message(
                "the restore was stopped; if it was not complete, nothing was changed",
                hint="run the command again",
            )
            try:
                missing = wiring.load_backup(url, backup, list(prefixes), tell)
            except WorkerStartedError:  # it had passed the fence just before
                if not may_stop:
                    raise
                has_workers = True
        is_lifted()
    settled = None
    if has_workers or session.settings.uses_local_daemon:
        tell("waiting for a worker to bring Temporal together with the database")
        session.set_interrupt_message("the database is restored; a worker does the rest")
        settled = session.with_ports(_wait_until_settled)
    revision = wiring.look_at_target(url, backup).revision or ""
    return Restored(backup.manifest, revision, missing, settled)


def _living_workers(session: Session, target: "Target") -> list[WorkerBeat]:
    async def work(ports: "Ports") -> list[WorkerBeat]:
        return await ports.workers.alive()

    return session.with_ports(work) if "workers" in target.rows else []


@contextmanager
def _fenced(session: Session, target: "Target") -> Iterator[Callable[[], None]]:
    """Keep workers away during the block; yield what says that the fence is gone by itself."""
    has_fence = "restores" in target.rows
    if has_fence:
        session.with_ports(lambda ports: ports.restores.fence(_FENCE))
    is_gone: list[bool] = []
    try:
        yield lambda: is_gone.append(True)
    finally:
        if has_fence and not is_gone:
            session.with_ports(lambda ports: ports.restores.lift_fence())


def _wait_until_stopped(session: Session) -> None:
    async def work(ports: "Ports") -> list[WorkerBeat]:
        deadline = time.monotonic() + _STOPPED_WITHIN
        while (alive := await ports.workers.alive()) and time.monotonic() < deadline:
            await ports.restores.fence(_FENCE)
            await asyncio.sleep(_ASK_AGAIN)
        return alive

    try:
        left = session.with_ports(work)
    except SchemaMismatchError as error:
        raise RefusedError(
            "workers of an older version cannot be told to end", hint="stop the workers"
        ) from error
    if left:
        raise RefusedError(
            f"{_named(left)}; it did not end within {_STOPPED_WITHIN:.0f} s",
            hint="stop it, and run the command again",
        )


async def _wait_until_settled(ports: "Ports") -> Restore | None:
    deadline = time.monotonic() + _SETTLED_WITHIN
    while time.monotonic() < deadline:
        latest = await ports.restores.latest()
        if latest is not None and latest.settled_at is not None:
            return latest
        await asyncio.sleep(_ASK_AGAIN)
    return None


def _named(workers: list[WorkerBeat]) -> str:
    first = f"{workers[0].host} pid {workers[0].pid}"
    if len(workers) == 1:
        return f"a worker is alive ({first})"
    return f"{count_noun(len(workers), 'worker is', 'workers are')} alive, the first is {first}"


def _show(
    session: Session,
    backup: "BackupFile",
    target: "Target",
    workers: list[WorkerBeat],
    output: str,
) -> None:
    with session.status("checking the file"):
        for _ in backup.parts():
            continue
    if output == "json":
        view = backup_view(backup.manifest, backup.path, is_verified=False)
        print_json(
            session.out,
            {**view, "dryRun": True, "replaces": target.rows, "workersAlive": len(workers)},
        )
        return
    for line in summary_lines(backup.manifest, backup.path, is_verified=False):
        session.out.print(line)
    found = replaced_text(target.rows) if target.has_data else "nothing: the database is empty"
    session.out.print(f"would replace: {found}")
    if workers:
        session.out.print(f"{_named(workers)}: it has to end first")
