"""`activityctl purge`: remove a secret from everything that is stored."""

import getpass
import sys
from typing import Annotated, Any

import typer

from activityctl.cli.confirm import require_yes
from activityctl.cli.options import TextOrJson, Yes
from activityctl.cli.render.output import check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.domain.values.json_form import API_VERSION
from activityctl.errors import UsageError
from activityctl.operations.runs.purge import Purged, checked_forms, find, replace
from activityctl.ports import Occurrence
from activityctl.wiring import Ports

_NOT_REACHED = (
    "not reached: backups and replicas of the database, its data files until VACUUM has run, "
    "log files of daemons, saved plans, git. Temporal has no params, events or outputs."
)


def purge(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show where the text is; change nothing.")
    ] = False,
    yes: Yes = False,
    output: TextOrJson = "text",
) -> None:
    """Replace a secret by *** in everything that is stored: events, runs, logs, revisions, history.

    The secret is read from standard input; on a terminal the command asks for it. Names, keys and
    ids are not changed; the command lists those that contain it. It also says what it cannot reach.

    activityctl purge --dry-run

    activityctl purge --yes
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    session.set_interrupt_message("nothing was changed")
    if not (dry_run or yes or sys.stdin.isatty()):
        raise UsageError(
            "standard input is the secret, so it cannot confirm", hint="add --dry-run or --yes"
        )
    text = _read_secret()
    checked_forms(text)

    async def look(ports: Ports) -> Purged:
        return await find(ports.purge, text)

    async def work(ports: Ports) -> Purged:
        return await replace(ports.purge, text)

    purged = session.with_ports(look)
    if not dry_run and purged.found:
        if not yes:
            _print_places(session, purged.found, is_done=False)
            require_yes("purging", "Replace it by ***?")
        session.set_interrupt_message(
            "it is not known whether the text was replaced", hint="run the command again"
        )
        purged = session.with_ports(work)
    if shape == "json":
        print_json(session.out, _view(purged, is_done=not dry_run))
        return
    _print_places(session, purged.found, is_done=not dry_run)
    session.err.print(_NOT_REACHED)
    if dry_run or not purged.found:
        return
    if not all(place.is_key for place in purged.left):
        session.err.print("it was written again meanwhile: run the command again")
    session.err.print(
        "now apply manifests without it, and restart the workers: they keep revisions in memory"
    )


def _read_secret() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Secret: ")
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


def _print_places(session: Session, places: tuple[Occurrence, ...], *, is_done: bool) -> None:
    columns = (
        ("TABLE", lambda view: view["table"]),
        ("COLUMN", lambda view: view["column"]),
        ("ROWS", lambda view: view["rows"]),
        ("RESULT", lambda view: _result(is_key=view["isKey"], is_done=is_done)),
    )
    views = [_place_view(place) for place in places]
    print_table(session.out, views, columns, empty="the text is not in the database")


def _result(*, is_key: bool, is_done: bool) -> str:
    if is_key:
        return "stays: a name, key or id"
    return "replaced" if is_done else "would be replaced"


def _place_view(place: Occurrence) -> dict[str, Any]:
    return {
        "table": place.table,
        "column": place.column,
        "rows": place.rows,
        "isKey": place.is_key,
    }


def _view(purged: Purged, *, is_done: bool) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "PurgeResult",
        "dryRun": not is_done,
        "found": [_place_view(place) for place in purged.found],
        "left": [_place_view(place) for place in purged.left],
    }
