"""`activityctl verify`: check that recorded workflow histories fit the installed code."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.options import Since, TextOrJson
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.verification_text import print_verification
from activityctl.cli.session import Session, now
from activityctl.domain.runs.verification import VerifiedHistory, verification_view
from activityctl.domain.values.time_range import parse_moment
from activityctl.errors import UsageError
from activityctl.operations.runs.verify import history_files
from activityctl.operations.runs.verify import verify as verify_histories


def verify(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]",
            help="Files with histories, or folders of them. Without: those of the server.",
        ),
    ] = None,
    all_runs: Annotated[
        bool, typer.Option("--all", help="Also the histories of runs that have ended.")
    ] = False,
    since: Since = None,
    limit: Annotated[
        int, typer.Option(min=1, help="The most histories, the newest first.", metavar="COUNT")
    ] = 500,
    save: Annotated[
        Path | None,
        typer.Option(help="Save the histories of the server in this folder.", metavar="FOLDER"),
    ] = None,
    output: TextOrJson = "text",
) -> None:
    """Replay recorded workflow histories with the installed code; exit 1 if one does not fit.

    A run whose history does not fit would be stuck after an upgrade. Nothing is executed, and
    nothing on the server changes. Histories hold ids and states, and no payloads; keep some in a
    repository for its CI.

    activityctl verify

    activityctl verify --all --since 7d --save histories

    activityctl verify histories/ -o json
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    if paths and (all_runs or since is not None or save is not None):
        raise UsageError(
            "--all, --since and --save are about histories of the server", hint="leave out the path"
        )
    start = time.monotonic()
    verified = asyncio.run(_verified(session, paths or [], all_runs, since, limit, save))
    view = verification_view(verified, time.monotonic() - start)
    if shape == "json":
        print_json(session.out, view)
    else:
        print_verification(session.out, view, is_of_server=not paths, only_open=not all_runs)
    if view["parted"]:
        raise typer.Exit(1)


async def _verified(
    session: Session,
    paths: list[Path],
    all_runs: bool,  # an option of the command
    since: str | None,
    limit: int,
    save: Path | None,
) -> list[VerifiedHistory]:
    histories = wiring.build_histories(session.settings) if not paths else None
    with session.status("replaying histories") as update:

        def on_progress(done: int, parted: int) -> None:
            update(f"{done:,} histories replayed, {parted:,} do not fit")

        if histories is None:
            files = history_files(paths)[:limit]
            source = wiring.build_histories(session.settings).verify_files(files)
        else:
            moment = None if since is None else parse_moment(since, now())
            source = histories.verify_server(
                only_open=not all_runs, since=moment, limit=limit, save_to=save
            )
        return await verify_histories(source, on_progress)
