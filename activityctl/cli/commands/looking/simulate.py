"""`activityctl simulate`: show what a trigger of an executor would do, without doing it."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Annotated, Any

import typer

from activityctl import wiring
from activityctl.cli.options import SubscriptionArgument, TextOrJson
from activityctl.cli.references import run_reference
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.simulation_text import print_found_logs, print_simulated
from activityctl.cli.session import Session, now
from activityctl.domain.chain.conformance import Check
from activityctl.domain.chain.simulation import Simulated, trigger_check
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.manifests.task_tree import templates_by_path
from activityctl.domain.values.json_form import list_view
from activityctl.domain.values.time_range import parse_seconds
from activityctl.errors import InvalidInputError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.logs_in_range import FoundLog, chain_triggers, logs_in_range
from activityctl.operations.looking.simulated_trigger import (
    SimulatedCase,
    subscription_to_simulate,
    trigger_now,
    trigger_of_event,
    trigger_of_run,
    webhook_task,
)
from activityctl.wiring import Ports


@frozen_dataclass
class _Request:
    """What is to be simulated."""

    task: str | None
    trigger: str | None
    run: str | None
    event: Mapping[str, Any] | None
    response: bytes | None
    ask_seconds: float | None
    is_offline: bool


def simulate(
    context: typer.Context,
    subscription: SubscriptionArgument,
    trigger: Annotated[
        str | None, typer.Option(help="As if this trigger had fired.", metavar="NAME")
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            help="What has caused this run, as if it came now.",
            metavar="RUN",
            callback=run_reference,
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(help="A file with one event in JSON; - for standard input.", metavar="FILE"),
    ] = None,
    from_block: Annotated[
        int | None,
        typer.Option(
            min=0, help="List the logs since this block that would fire.", metavar="NUMBER"
        ),
    ] = None,
    to_block: Annotated[
        int | None,
        typer.Option(min=0, help="The last block of that range.", metavar="NUMBER"),
    ] = None,
    response: Annotated[
        str | None,
        typer.Option(
            help="A file with what the executor answers; - for standard input.", metavar="FILE"
        ),
    ] = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask the executor for real, with a new request id.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no node of a chain.")] = False,
    task: Annotated[
        str | None,
        typer.Option(help="The webhook task, if there are several.", metavar="NAME"),
    ] = None,
    timeout: Annotated[
        str, typer.Option(help="The longest time for the executor.", metavar="DURATION")
    ] = "30s",
    output: TextOrJson = "text",
) -> None:
    """Show what a webhook task would do; exit 1 if its call would be refused.

    Shows the request with its signature, judges the answer, the policy and the executor's
    signature, and tries the transaction by eth_call. Nothing is stored, signed for a chain or
    sent to one. The definition is that of now, also for a run of the past.

    activityctl simulate rebalancer-base

    activityctl simulate rebalancer-base --run 01jz3k --response answer.json

    activityctl simulate rebalancer-base --ask -o json

    activityctl simulate rebalancer-base --from-block 21000000 --to-block 21000500
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    _check_choice(run, event, from_block, to_block)
    if ask and response is not None:
        raise UsageError("--ask and --response exclude each other")
    if run is not None and trigger is not None:
        raise UsageError("--run and --trigger exclude each other: a run has its trigger")
    if from_block is not None and to_block is not None:
        if offline or ask or response is not None:
            raise UsageError("a range of blocks is read from the chain, and no executor is asked")
        _list_logs(session, subscription, trigger, (from_block, to_block), shape)
        return
    request = _Request(
        task,
        trigger,
        run,
        None if event is None else _event(event),
        None if response is None else wiring.read_event_data(response),
        parse_seconds(timeout) if ask else None,
        offline,
    )
    simulated = session.with_ports(lambda ports: _simulate(session, ports, subscription, request))
    if shape == "json":
        print_json(session.out, simulated.as_json())
    else:
        print_simulated(session.out, simulated)
        session.err.print("nothing was stored, and nothing was sent to a chain")
    if not simulated.would_send:
        raise typer.Exit(1)


def _check_choice(
    run: str | None, event: str | None, from_block: int | None, to_block: int | None
) -> None:
    if (from_block is None) != (to_block is None):
        raise UsageError("a range of blocks needs --from-block and --to-block")
    if sum(each is not None for each in (run, event, from_block)) > 1:
        raise UsageError("--run, --event and --from-block exclude each other")


async def _simulate(session: Session, ports: Ports, reference: str, request: _Request) -> Simulated:
    owner, spec = await subscription_to_simulate(ports.catalog, reference)
    task = webhook_task(spec, request.task)
    first: Check | None = None
    if request.run is not None:
        caused = await trigger_of_run(ports.run_lists, ports.runs, request.run, owner, task)
    elif request.event is not None:
        caused, reason = trigger_of_event(owner, spec, request.trigger, request.event, now())
        first = trigger_check(caused.name, reason)
    else:
        caused = trigger_now(owner, spec, request.trigger, now())
    async with AsyncExitStack() as stack:
        chains = None
        if not request.is_offline:
            secrets = wiring.open_secrets(session.settings)
            opened = wiring.open_chains(session.settings, secrets)
            chains = await stack.enter_async_context(opened)
        found = await wiring.simulate(
            session.settings,
            ports,
            SimulatedCase(owner, task, templates_by_path(spec)[task].body, caused),
            chains,
            response=request.response,
            ask_seconds=request.ask_seconds,
        )
    return found if first is None else found.after(first)


def _list_logs(
    session: Session, reference: str, trigger: str | None, blocks: tuple[int, int], shape: str
) -> None:
    async def work(ports: Ports) -> list[FoundLog]:
        owner, spec = await subscription_to_simulate(ports.catalog, reference)
        return await _logs(session, owner, spec, trigger, blocks)

    found = session.with_ports(work)
    if shape == "json":
        print_json(session.out, list_view(each.view for each in found))
    else:
        print_found_logs(session.out, found, *blocks)


async def _logs(
    session: Session,
    owner: Subscription,
    spec: DefinitionSpec,
    trigger: str | None,
    blocks: tuple[int, int],
) -> list[FoundLog]:
    triggers = chain_triggers(owner, spec, trigger)
    secrets = wiring.open_secrets(session.settings)
    async with wiring.open_chains(session.settings, secrets) as chains:
        return await logs_in_range(chains, triggers, *blocks)


def _event(path: str) -> Mapping[str, Any]:
    value = wiring.parse_event_data(wiring.read_event_data(path), path)
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"{path} is not one event", hint="write one JSON object")
    return value
