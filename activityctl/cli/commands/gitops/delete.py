"""`activityctl delete`: delete a subscription, a definition, a calendar or an event source."""

from collections.abc import Iterator
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
from activityctl.cli.session import Session
from activityctl.cli.verbs.gitops import WaitOptions, gitops_of
from activityctl.domain.gitops.applyset import shorten_list
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.operations.gitops.json_form import deletion_view


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

    preview = session.with_ports(
        lambda ports: gitops_of(session, ports).preview_deletion(wanted, reference)
    )
    if shape == "text" or not yes:
        for line in _lines(preview.view):
            session.err.print(line)
    if not yes:
        require_yes("deleting", "Delete it?")
    options = WaitOptions(seconds, wait_without_worker=wait is True)
    applied = session.with_ports(
        lambda ports: gitops_of(session, ports).delete(
            wanted, preview, options, only_as_shown=not yes
        )
    )
    if shape == "json":
        print_json(session.out, deletion_view(preview.view, applied))
    else:
        print_changes(session, applied.plan)
    report_pending(session, applied, wait=wait, is_shown=shape == "json")


def _lines(view: View) -> Iterator[str]:
    (change,) = view["changes"]
    yield f"{change['kind'].lower()}/{change['name']} will be deleted"
    if view["applyset"]:
        yield (
            f"  ! it belongs to the apply set {view['applyset']}: the next apply of the set "
            "creates it again while its files have it"
        )
    if schedules := view["schedules"]["deleted"]:
        names = [f"{row['subscription']}/{row['trigger']}" for row in schedules]
        yield f"  - {count_noun(len(names), 'schedule')}: {shorten_list(names)}"
    if open_runs := view["openRuns"]:
        runs = [f"{run['id']} {run['status']}" for run in open_runs]
        verb = "continues unchanged" if len(runs) == 1 else "continue unchanged"
        yield f"  ! {count_noun(len(runs), 'open run')} {verb}: {shorten_list(runs)}"
    if queued := view.get("cancelledRuns"):
        verb = "is" if len(queued) == 1 else "are"
        runs = [run["id"] for run in queued]
        yield f"  - {count_noun(len(runs), 'queued run')} {verb} cancelled: {shorten_list(runs)}"
    if count := view["waitingFirings"]:
        end = "ends" if count == 1 else "end"
        yield f"  - {count_noun(count, 'waiting firing')} {end} without a run"
    if count := view["gatheredEvents"]:
        verb = "is" if count == 1 else "are"
        yield f"  - {count_noun(count, 'gathered event')} {verb} dropped"
