"""`activityctl backup`: write the database to one file."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.options import TextOrJson
from activityctl.cli.render.backup_text import backup_view, summary_lines
from activityctl.cli.render.output import print_json
from activityctl.cli.session import Session
from activityctl.daemon.local.embedded_postgres import superuser_url_of


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE")],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Restore it into a new database and compare every table; drop it then."
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the file if it exists.")
    ] = False,
    output: TextOrJson = "text",
) -> None:
    """Write a backup of the database to one file, while everything runs.

    It has all of one moment: objects, runs, logs, events, states, and a manifest with versions,
    counts and checksums. Only its owner can read the file. The login must own the tables; --verify
    needs the right to create a database as well.

    activityctl backup monday.backup --verify
    """
    session: Session = context.obj
    session.set_interrupt_message("no backup was written")
    session.name_target()
    url = asyncio.run(wiring.database_url(session.settings))
    with session.status("backing up") as tell:
        manifest = wiring.take_backup(url, file, replaces=replace, tell=tell)
        session.set_interrupt_message(f"{file} was written, but is not verified")
        if verify:
            scratch = url
            if session.settings.uses_local_daemon:
                scratch = superuser_url_of(session.settings.home, url)
            wiring.verify_backup(scratch, wiring.open_backup(file), tell)
    if output == "json":
        print_json(session.out, backup_view(manifest, file, is_verified=verify))
        return
    for line in summary_lines(manifest, file, is_verified=verify):
        session.out.print(line)
