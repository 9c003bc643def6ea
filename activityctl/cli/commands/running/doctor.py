"""`activityctl doctor`: check every dependency and suggest the next step for each that fails."""

import typer

from activityctl.cli.options import TextOrJson
from activityctl.cli.render.output import check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.daemon.local.doctor import run_checks
from activityctl.domain.values.json_form import API_VERSION
from activityctl.domain.values.untrusted import escape_controls


def doctor(context: typer.Context, output: TextOrJson = "text") -> None:
    """Check Python, the servers, the database schema and the worker; exit 1 if a check fails.

    activityctl doctor
    """
    import asyncio

    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    checks = asyncio.run(run_checks(session.settings))
    views = [
        {"name": check.name, "state": check.state, "found": check.found, "hint": check.hint}
        for check in checks
    ]
    if shape == "json":
        print_json(session.out, {"apiVersion": API_VERSION, "kind": "Doctor", "checks": views})
    else:
        columns = (
            ("CHECK", lambda view: view["name"]),
            ("STATE", lambda view: view["state"]),
            ("FOUND", lambda view: view["found"]),
        )
        print_table(session.out, views, columns, empty="")
        for hint in dict.fromkeys(check.hint for check in checks if check.hint):
            names = ", ".join(check.name for check in checks if check.hint == hint)
            session.err.print(f"hint: {names}: {escape_controls(hint)}")
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(1)
