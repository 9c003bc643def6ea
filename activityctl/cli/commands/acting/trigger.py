"""`activityctl trigger`: run subscriptions now."""

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from activityctl.cli.many import (
    AllSubscriptions,
    ListOnly,
    Statuses,
    SubscriptionArguments,
    SubscriptionLabels,
    confirmed,
    many_progress,
    print_outcomes,
    split_statuses,
)
from activityctl.cli.options import Timeout, Yes, output_option
from activityctl.cli.render.output import print_json, print_run_end
from activityctl.cli.session import Session
from activityctl.cli.verbs.choose import verbs_of
from activityctl.cli.verbs.verbs import Verbs
from activityctl.cli.wait_for_many import wait_for_many
from activityctl.cli.wait_for_run import wait_for_run_in_session
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.json_form import View
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import parse_labels
from activityctl.domain.values.time_range import parse_seconds
from activityctl.errors import InvalidInputError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.choose import choose_subscriptions
from activityctl.operations.looking.kinds import name_of
from activityctl.operations.runs.many import REFUSED, Outcome, act_on_each
from activityctl.wiring import Ports

_ALLOWED: Final = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED)
_USUAL: Final = (SubscriptionStatus.ACTIVE,)
_GOOD: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.SKIPPED})


@frozen_dataclass
class _Request:
    """What is asked of each subscription, and how long to wait."""

    trigger: str | None
    key: str | None
    payload: Mapping[str, JsonValue]
    wait: bool | None
    seconds: float

    async def store(self, verbs: Verbs, owner: Subscription) -> ids.RunId:
        """Store the firing; once this returns, it cannot be lost."""
        return await verbs.trigger(owner, self.trigger, self.key, self.payload)


def trigger(
    context: typer.Context,
    subscriptions: SubscriptionArguments = [],  # noqa: B006  # typer copies it
    labels: SubscriptionLabels = [],  # noqa: B006  # typer copies it
    status: Statuses = [],  # noqa: B006  # typer copies it
    all_subscriptions: AllSubscriptions = False,
    trigger: Annotated[
        str | None, typer.Option(help="Run as if this trigger had fired.", metavar="NAME")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="The key of the firing, at most 800 bytes; the same key never runs a subscription "
            "twice.",
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
    dry_run: ListOnly = False,
    yes: Yes = False,
    output: Annotated[str, output_option("text", "json", "name")] = "text",
) -> None:
    """Run subscriptions now; exit 1 if a run fails.

    What -l, --status or --all select is listed first and needs confirmation; these select active
    subscriptions unless --status says otherwise.

    activityctl trigger disk-report --wait

    activityctl trigger disk-report --key deploy-42 --no-wait

    activityctl trigger -l team=payments --key after-the-move --yes
    """
    session: Session = context.obj
    session.set_interrupt_message("nothing was started")
    request = _Request(trigger, key, _payload(payload), wait, parse_seconds(timeout))
    choice = Choice(
        tuple(subscriptions),
        labels=parse_labels(labels),
        statuses=split_statuses(status),
        has_all=all_subscriptions,
    )
    asks = not choice.is_by_name

    async def read(ports: Ports) -> tuple[list[Subscription], list[View]]:
        found = await choose_subscriptions(ports.catalog, choice, _ALLOWED, _USUAL)
        shows = asks or dry_run
        return found, await verbs_of(session, ports).subscription_views(found) if shows else []

    if len(subscriptions) == 1 and not asks and not dry_run:
        choice.check("subscription")
        _trigger_one(session, subscriptions[0], request, output)
        return
    chosen, views = session.with_ports(read)
    options = {"dry_run": dry_run, "yes": yes, "asks": asks}
    if (asks or dry_run) and not confirmed(
        session, "subscriptions", views, "trigger", shape=output, **options
    ):
        return
    outcomes = session.with_ports(lambda ports: _trigger_each(session, ports, chosen, request))
    waited = wait_for_many(
        session,
        [ids.RunId(each.run) for each in outcomes if each.run],
        wait,
        request.seconds,
        recorded="the runs are recorded",
        hint="activityctl get runs",
    )
    print_outcomes(session, "subscriptions", outcomes, output, ended=waited.ended, each=not asks)
    waited.require_all()
    if any(run.status not in _GOOD for run in waited.ended) or any(
        each.is_refused for each in outcomes
    ):
        raise typer.Exit(1)


def _trigger_one(session: Session, reference: str, request: _Request, shape: str) -> None:
    async def work(ports: Ports) -> tuple[str, Run | None, bool]:
        owner = await ports.catalog.find_subscription(name_of(reference, "subscriptions"))
        hint = f"activityctl get runs -s {owner.name}"
        session.set_interrupt_message("it is not known whether the run is recorded", hint=hint)
        run_id = await request.store(verbs_of(session, ports), owner)
        session.set_interrupt_message(
            f"run/{run_id} is recorded; the worker continues with it",
            hint=f"activityctl wait {run_id}",
        )
        has_worker = bool(await ports.workers.alive())
        if request.wait is False or (request.wait is None and not has_worker):
            return run_id, None, has_worker
        run = await wait_for_run_in_session(session, ports, run_id, request.seconds)
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
    if run is not None and run.status not in _GOOD:
        raise typer.Exit(1)


async def _trigger_each(
    session: Session, ports: Ports, chosen: list[Subscription], request: _Request
) -> list[Outcome]:
    async def store(owner: Subscription) -> Outcome:
        run_id = await request.store(verbs_of(session, ports), owner)
        return Outcome(owner.id, owner.name, "triggered", run=run_id)

    with many_progress(session, "subscriptions", "triggered", "activityctl get runs") as show:
        return await act_on_each(
            chosen,
            store,
            lambda owner, error: Outcome(owner.id, owner.name, REFUSED, error),
            on_progress=show,
        )


def _payload(text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    from activityctl.wiring import parse_json

    example = """write '{"key": 1}'"""
    value = parse_json(text, "--payload", example=example)
    if not isinstance(value, dict):
        raise InvalidInputError("--payload is not a JSON object", hint=example)
    return dict(value)
