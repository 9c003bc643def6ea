"""`activityctl migrate`: the schema of the database, and its roles."""

import asyncio
from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.session import Session
from activityctl.errors import UsageError


def migrate(
    context: typer.Context,
    roles: Annotated[
        bool,
        typer.Option(
            "--roles", help="Create the group roles for read, plan, emit, apply and worker."
        ),
    ] = False,
    prefix: Annotated[
        str | None,
        typer.Option(help="First part of the roles' names; default activityctl.", metavar="NAME"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; print the SQL of the roles.")
    ] = False,
) -> None:
    """Bring the database's schema to the newest version. A second call changes nothing.

    With --roles the group roles are created too, and get the rights that they need. Later
    migrations keep the rights of these roles up to date. The login needs CREATEROLE, and it must
    own the schema.

    activityctl migrate

    activityctl migrate --roles --prefix orders

    activityctl migrate --roles --dry-run
    """
    session: Session = context.obj
    if prefix is not None and not roles:
        raise UsageError("--prefix names the roles of --roles", hint="add --roles")
    session.name_target()
    wanted = (prefix or "activityctl") if roles else None
    url = asyncio.run(wiring.database_url(session.settings))
    if dry_run:
        missing, script = wiring.migration_script(url, roles_prefix=wanted)
        for title in missing:
            session.err.print(f"would migrate: {title}")
        session.out.print(script, end="")
        return
    wiring.migrate(url, roles_prefix=wanted)
    session.err.print("the schema has the newest version")
    if wanted is not None:
        session.err.print(
            f"the roles {wanted}_read, _plan, _emit, _apply and _worker have their rights"
        )
