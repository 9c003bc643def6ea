"""`activityctl doctor`: check every dependency and suggest the next step for each that fails."""

from typing import TYPE_CHECKING, Final

import typer

from activityctl.cli.options import TextOrJson
from activityctl.cli.render.output import check_format, print_json, print_table
from activityctl.cli.session import Session, now
from activityctl.daemon.local.doctor import run_checks
from activityctl.domain.values.json_form import API_VERSION
from activityctl.domain.values.untrusted import escape_controls

if TYPE_CHECKING:
    from temporalio.client import Client

    from activityctl.daemon.worker.recovery_loop import FullRecovery
    from activityctl.wiring import Ports

_ORDER: Final = ("ok", "skipped", "warning", "failed")


def doctor(context: typer.Context, output: TextOrJson = "text") -> None:
    """Check this machine, the servers, what waits and what grows; exit 1 if a check fails.

    The hint of a check names the command that mends it or shows more. Warnings do not count as
    failures.

    activityctl doctor

    activityctl doctor -o json
    """
    import asyncio

    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    checks = asyncio.run(run_checks(session.settings, _compare))
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
        # The eye is at the end, where the hints follow.
        views.sort(key=lambda view: _ORDER.index(view["state"]))
        print_table(session.out, views, columns, empty="")
        for hint in dict.fromkeys(check.hint for check in checks if check.hint):
            names = ", ".join(check.name for check in checks if check.hint == hint)
            session.err.print(f"hint: {names}: {escape_controls(hint)}")
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(1)


async def _compare(ports: "Ports", client: "Client") -> "FullRecovery":
    from activityctl.daemon.worker.recovery_loop import recover_all
    from activityctl.operations.runs.recover import OLDER_THAN

    return await recover_all(ports, client, now, older_than=OLDER_THAN, is_dry_run=True)
