"""`activityctl cancel`: cancel runs."""

from dataclasses import replace
from typing import Annotated, Final

import typer

from activityctl.cli.many import (
    AllRuns,
    ListOnly,
    RunArguments,
    RunLabels,
    Statuses,
    confirmed,
    many_progress,
    print_outcomes,
    split_statuses,
)
from activityctl.cli.options import (
    Since,
    SubscriptionOption,
    Timeout,
    WaitForRuns,
    Yes,
    output_option,
)
from activityctl.cli.session import Session, now
from activityctl.cli.verbs.choose import verbs_of
from activityctl.cli.wait_for_many import wait_for_many
from activityctl.cli.wait_for_run import wait_for_run_in_session
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.selection import parse_labels
from activityctl.domain.values.time_range import parse_moment, parse_seconds
from activityctl.operations.looking.choose import choose_runs
from activityctl.operations.runs.many import Outcome
from activityctl.wiring import Ports

_USUAL: Final = (RunStatus.QUEUED, RunStatus.RUNNING)
_OPEN: Final = (*_USUAL, RunStatus.CANCELLING)


def cancel(
    context: typer.Context,
    runs: RunArguments = [],  # noqa: B006  # typer copies it
    subscription: SubscriptionOption = None,
    labels: RunLabels = [],  # noqa: B006  # typer copies it
    status: Statuses = [],  # noqa: B006  # typer copies it
    since: Since = None,
    all_runs: AllRuns = False,
    dry_run: ListOnly = False,
    yes: Yes = False,
    wait: WaitForRuns = True,
    timeout: Timeout = "1m",
    output: Annotated[str, output_option("text", "json", "name")] = "text",
) -> None:
    """Cancel runs, stop their tasks and wait for their end; exit 8 if one has not ended in time.

    What -s, -l, --status, --since or --all select is listed first and needs confirmation; these
    select runs that have not ended, with firings that are accepted and no runs yet. A run that
    ends by itself meanwhile is no error.

    activityctl cancel 3f2a

    activityctl cancel -s disk-report --status queued

    activityctl cancel -l team=payments --since 1h --dry-run
    """
    session: Session = context.obj
    choice = Choice(
        tuple(runs),
        subscription,
        parse_labels(labels),
        split_statuses(status),
        None if since is None else parse_moment(since, now()),
        all_runs,
    )
    asks = not choice.is_by_name

    async def read(ports: Ports) -> list[Run]:
        return await choose_runs(ports.catalog, ports.run_lists, choice, _OPEN, _USUAL)

    chosen = session.with_ports(read)
    options = {"dry_run": dry_run, "yes": yes, "asks": asks}
    views = [run_view(run) for run in chosen]
    if not confirmed(session, "runs", views, "cancel", shape=output, **options):
        return
    if len(chosen) == 1 and not asks and output == "text":
        _cancel_one(session, chosen[0], wait=wait, seconds=parse_seconds(timeout))
        return
    outcomes = session.with_ports(lambda ports: _cancel_each(session, ports, chosen))
    requested = [run.id for run, each in zip(chosen, outcomes, strict=True) if not each.is_refused]
    waited = wait_for_many(
        session,
        requested if wait else [],
        wait,
        parse_seconds(timeout),
        recorded="the cancellation of the runs was requested",
        hint="activityctl get runs --status cancelling",
        without_worker="the runs end when a worker starts",
    )
    ends: dict[str, str] = {run.id: run.status.value for run in waited.ended}
    outcomes = [replace(each, outcome=ends.get(each.id, each.outcome)) for each in outcomes]
    print_outcomes(session, "runs", outcomes, output, each=not asks)
    waited.require_all()
    if not asks and any(each.is_refused for each in outcomes):
        raise typer.Exit(1)


def _cancel_one(session: Session, run: Run, *, wait: bool, seconds: float) -> None:
    async def work(ports: Ports) -> Run:
        found = await verbs_of(session, ports).cancel(run.id)
        if not wait:
            return found
        session.set_interrupt_message(
            f"cancellation of run/{found.id} was requested", hint=f"activityctl wait {found.id}"
        )
        return await wait_for_run_in_session(session, ports, found.id, seconds)

    ended = session.with_ports(work)
    is_known = wait or ended.has_ended
    session.out.print(f"run/{ended.id} {ended.status.value if is_known else 'cancel requested'}")


async def _cancel_each(session: Session, ports: Ports, chosen: list[Run]) -> list[Outcome]:
    with many_progress(session, "runs", "cancelled", "activityctl get runs") as show:
        return await verbs_of(session, ports).cancel_each([run.id for run in chosen], show)
