"""`activityctl doctor`: every dependency, and the next step for each that fails."""

import typer

from activityctl.cli.options import Output
from activityctl.cli.render.output import check_format, escape_controls, print_json, print_table
from activityctl.cli.session import Session
from activityctl.daemon.local.doctor import run_checks
from activityctl.domain.values.json_form import API_VERSION


def doctor(context: typer.Context, output: Output = "text") -> None:
    """Check Python, servers, schema and worker; exit 1 when one fails.

    activityctl doctor
    """
    import asyncio

    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    checks = asyncio.run(run_checks(session.settings))
    views = [
        {"name": one.name, "state": one.state, "found": one.found, "hint": one.hint}
        for one in checks
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
        for one in checks:
            if one.hint:
                session.err.print(f"hint: {one.name}: {escape_controls(one.hint)}")
    if any(one.state == "failed" for one in checks):
        raise typer.Exit(1)
