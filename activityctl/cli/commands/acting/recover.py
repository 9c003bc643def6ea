"""`activityctl recover`: carry on what Temporal has lost."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from activityctl.cli.options import TextOrJson
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.recovery_text import recovery_lines
from activityctl.cli.session import Session, now
from activityctl.domain.values.json_form import API_VERSION

if TYPE_CHECKING:
    from activityctl.daemon.worker.recovery_loop import FullRecovery
    from activityctl.wiring import Ports

_OLDER_THAN: Final = timedelta(seconds=5)
_CONNECTIONS: Final = 4


def recover(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what Temporal has lost; change nothing.")
    ] = False,
    output: TextOrJson = "text",
) -> None:
    """Carry on the runs, firings and alarms that Temporal does not know; exit 1 if one fails.

    A worker does this by itself, at its start and every 15 seconds. Use the command when no worker
    runs yet, for example after the data of Temporal were lost or for a new cluster.

    activityctl recover --dry-run

    activityctl recover
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))

    async def work(ports: "Ports") -> "FullRecovery":
        from activityctl import wiring
        from activityctl.daemon.worker.recovery_loop import recover_all

        client = await wiring.connect_temporal(session.settings)
        return await recover_all(ports, client, now, older_than=_OLDER_THAN, is_dry_run=dry_run)

    found = session.with_ports(work, connections=_CONNECTIONS)
    if shape == "json":
        print_json(session.out, _view(found, is_dry_run=dry_run))
    else:
        for line in recovery_lines(found, is_dry_run=dry_run):
            session.out.print(line)
    if found.lost.refused:
        raise typer.Exit(1)


def _view(found: "FullRecovery", *, is_dry_run: bool) -> dict[str, Any]:
    def runs(firings: Any) -> list[dict[str, str]]:
        return [
            {
                "run": firing.run_id,
                "subscriptionId": firing.subscription_id,
                "trigger": firing.trigger,
                "dueAt": firing.due_at,
                "workflow": firing.workflow_id,
            }
            for firing in firings
        ]

    return {
        "apiVersion": API_VERSION,
        "kind": "Recovery",
        "dryRun": is_dry_run,
        "runs": runs(found.lost.runs),
        "firings": runs(found.lost.firings),
        "schedules": [
            {"subscriptionId": owner, "trigger": trigger} for owner, trigger in found.schedules
        ],
        "alarms": [alarm.id for alarm in found.alarms],
        "refused": [
            {"run": firing.run_id, "reason": reason} for firing, reason in found.lost.refused
        ],
    }
