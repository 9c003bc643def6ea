"""`activityctl trigger`: run a subscription now."""

from typing import Annotated

import typer

from activityctl.cli.options import (
    SubscriptionArgument,
    Timeout,
    output_option,
    parse_seconds,
)
from activityctl.cli.render.output import check_format, print_json, print_run_end
from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session
from activityctl.cli.wait_for_run import wait_for_run_in_session
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.errors import InvalidInputError
from activityctl.operations.runs.actions import trigger as request_run
from activityctl.wiring import Ports


def trigger(
    context: typer.Context,
    subscription: SubscriptionArgument,
    trigger: Annotated[
        str | None, typer.Option(help="Run as if this trigger had fired.", metavar="NAME")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="The key of the firing, at most 800 bytes; the same key never runs twice.",
            metavar="KEY",
        ),
    ] = None,
    payload: Annotated[
        str | None,
        typer.Option(help="A JSON object; expressions read it as trigger.payload.", metavar="JSON"),
    ] = None,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Wait for the run to end; exit 8 if it has not ended in time. "
            "Without this option: wait if a worker is alive.",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = "5m",
    output: Annotated[str, output_option("text", "json", "name")] = "text",
) -> None:
    """Run a subscription now; exit 1 if the run fails.

    activityctl trigger disk-report --wait

    activityctl trigger disk-report --key deploy-42 --no-wait
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "name"))

    session.set_interrupt_message("nothing was started")
    payload_object = _payload(payload)

    async def work(ports: Ports) -> tuple[str, Run | None, bool]:
        owner = await ports.catalog.find_subscription(subscription)
        hint = f"activityctl get runs -s {subscription}"
        session.set_interrupt_message("it is not known whether the run is recorded", hint=hint)
        clock = await server_clock(ports)
        firing = await request_run(
            ports.catalog,
            ports.outbox,
            owner,
            clock(),
            trigger_name=trigger,
            key=key,
            payload=payload_object,
        )
        run_id = firing.ref.run_id
        session.set_interrupt_message(
            f"run/{run_id} is recorded; the worker continues with it",
            hint=f"activityctl wait {run_id}",
        )
        has_worker = bool(await ports.workers.alive())
        if wait is False or (wait is None and not has_worker):
            return run_id, None, has_worker
        run = await wait_for_run_in_session(session, ports, run_id, parse_seconds(timeout))
        return run_id, run, has_worker

    run_id, run, has_worker = session.with_ports(work)
    if run is None and not has_worker:
        session.err.print("no worker is running; the run starts when a worker starts")
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

    example = """write '{"key": 1}'"""
    value = parse_json(text, "--payload", example=example)
    if not isinstance(value, dict):
        raise InvalidInputError("--payload is not a JSON object", hint=example)
    return dict(value)
