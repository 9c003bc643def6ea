"""`activityctl trigger`: run a subscription now."""

from typing import Annotated

import typer

from activityctl.cli.completion import subscription_names
from activityctl.cli.options import Output, Timeout, parse_seconds
from activityctl.cli.render.output import check_format, print_json, print_run_end
from activityctl.cli.session import Session, now
from activityctl.cli.wait_for_run import wait_for_run_in_session
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.errors import InvalidInputError
from activityctl.operations.runs.actions import trigger as ask_for_run
from activityctl.wiring import Ports


def trigger(
    context: typer.Context,
    subscription: Annotated[str, typer.Argument(metavar="SUB", autocompletion=subscription_names)],
    trigger: Annotated[str | None, typer.Option(help="As if this trigger had fired.")] = None,
    key: Annotated[
        str | None, typer.Option(help="A firing key; the same key never runs twice.")
    ] = None,
    payload: Annotated[
        str | None, typer.Option(help="JSON object; expressions see trigger.payload.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the run to end.")] = True,
    timeout: Timeout = "5m",
    output: Output = "text",
) -> None:
    """Run a subscription now; exit 1 when the run fails.

    activityctl trigger disk-report --wait

    activityctl trigger disk-report --key deploy-42 --no-wait
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "name"))

    session.set_interrupt_message("nothing was started")

    async def work(ports: Ports) -> tuple[str, Run | None, bool]:
        owner = await ports.catalog.find_subscription(subscription)
        hint = f"activityctl get runs -s {subscription}"
        session.set_interrupt_message("it is not known whether the run is recorded", hint=hint)
        firing = await ask_for_run(
            ports.catalog,
            ports.outbox,
            owner,
            now(),
            trigger_name=trigger,
            key=key,
            payload=_payload(payload),
        )
        run_id = firing.ref.run_id
        session.set_interrupt_message(
            f"run/{run_id} is recorded; the worker goes on with it",
            hint=f"activityctl wait {run_id}",
        )
        alive = bool(await ports.workers.alive())
        if not wait or not alive:
            return run_id, None, alive
        run = await wait_for_run_in_session(session, ports, run_id, parse_seconds(timeout))
        return run_id, run, alive

    run_id, run, alive = session.with_ports(work)
    if not alive:
        session.err.print("no worker is alive; the run will start when one does")
    if shape == "json":
        print_json(session.out, run_view(run) if run else {"id": run_id, "status": "queued"})
    elif shape == "name" or run is None:
        session.out.print(f"run/{run_id}")
    else:
        print_run_end(session.out, run_view(run))
    if run is not None and run.status not in {RunStatus.SUCCEEDED, RunStatus.SKIPPED}:
        raise typer.Exit(1)


def _payload(text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    from activityctl.wiring import parse_json

    value = parse_json(text)
    if not isinstance(value, dict):
        raise InvalidInputError("--payload is not a JSON object", hint="""write '{"key": 1}'""")
    return value
