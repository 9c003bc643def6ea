"""`activityctl delete`: delete a subscription, a definition, a calendar or an event source."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import typer

from activityctl.cli.confirm import require_yes
from activityctl.cli.options import (
    CatalogKind,
    TextOrJson,
    Timeout,
    WaitForSchedules,
    Yes,
    catalog_object,
)
from activityctl.cli.pending_schedules import report_pending, seconds_to_wait
from activityctl.cli.render.apply_text import print_changes
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.progress import (
    on_interrupt_say_recorded,
    on_interrupt_say_unknown,
    schedule_progress,
)
from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session
from activityctl.cli.told_waits import told_wait
from activityctl.domain.gitops.applyset import shorten_list
from activityctl.domain.values.plurals import count_noun
from activityctl.operations.gitops.apply import Applied, wait_for_schedules
from activityctl.operations.gitops.history import Deletion, preview_deletion
from activityctl.operations.gitops.history import delete as delete_object
from activityctl.operations.gitops.json_form import deletion_preview_view, deletion_view
from activityctl.wiring import Ports


def delete(
    context: typer.Context,
    kind: CatalogKind,
    name: Annotated[
        str | None,
        typer.Argument(
            help="The object's name; of a subscription also the id or its first characters. Not "
            "needed after KIND/NAME."
        ),
    ] = None,
    yes: Yes = False,
    timeout: Timeout = "30s",
    wait: WaitForSchedules = None,
    output: TextOrJson = "text",
) -> None:
    """Delete a subscription with its schedules, an event source, or what is not used.

    The command lists what it will delete and asks for confirmation. Runs and logs are kept.
    `rollback` restores the object.

    activityctl delete sub disk-report
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    seconds = seconds_to_wait(timeout, wait=wait)
    wanted, reference = catalog_object(kind, name)
    session.set_interrupt_message("nothing was changed")

    async def look(ports: Ports) -> Deletion:
        return await preview_deletion(
            ports.catalog, ports.register, ports.run_lists, wanted, reference
        )

    async def work(ports: Ports) -> Applied:
        plan = await delete_object(
            ports.catalog,
            wanted,
            preview.name,
            await server_clock(ports),
            session.origin,
            made_against=None if yes else preview.fingerprint,
            on_write=partial(on_interrupt_say_unknown, session),
        )
        on_interrupt_say_recorded(session)
        with schedule_progress(session) as on_pending:
            waiting = wait_for_schedules(
                plan,
                ports.register,
                ports.workers,
                timeout_seconds=seconds,
                on_pending=on_pending,
                wait_without_worker=wait is True,
            )
            return await told_wait(session, ports, waiting, "the change is recorded")

    preview = session.with_ports(look)
    if shape == "text" or not yes:
        for line in _lines(preview):
            session.err.print(line)
    if not yes:
        require_yes("deleting", "Delete it?")
    applied = session.with_ports(work)
    if shape == "json":
        print_json(session.out, deletion_view(deletion_preview_view(preview), applied))
    else:
        print_changes(session, applied.plan)
    report_pending(session, applied, wait=wait, is_shown=shape == "json")


def _lines(deletion: Deletion) -> Iterator[str]:
    yield f"{deletion.kind.lower()}/{deletion.name} will be deleted"
    if deletion.applyset:
        yield (
            f"  ! it belongs to the apply set {deletion.applyset}: the next apply of the set "
            "creates it again while its files have it"
        )
    if deletion.schedules:
        names = [f"{row.subscription}/{row.wanted.trigger}" for row in deletion.schedules]
        yield f"  - {count_noun(len(names), 'schedule')}: {shorten_list(names)}"
    if deletion.open_runs:
        runs = [f"{run.id} {run.status}" for run in deletion.open_runs]
        verb = "continues unchanged" if len(runs) == 1 else "continue unchanged"
        yield f"  ! {count_noun(len(runs), 'open run')} {verb}: {shorten_list(runs)}"
    if count := deletion.waiting_firings:
        end = "ends" if count == 1 else "end"
        yield f"  - {count_noun(count, 'waiting firing')} {end} without a run"
    if count := deletion.gathered_events:
        verb = "is" if count == 1 else "are"
        yield f"  - {count_noun(count, 'gathered event')} {verb} dropped"
