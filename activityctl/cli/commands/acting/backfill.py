"""`activityctl backfill`: run due times of the past."""

from datetime import datetime
from typing import Annotated, Final

import typer

from activityctl.cli.confirm import require_yes
from activityctl.cli.options import (
    DryRun,
    OldFrom,
    OldTo,
    Since,
    SubscriptionArgument,
    TextOrJson,
    Timeout,
    TriggerOption,
    Until,
    WaitForRuns,
    Yes,
    replace_old_option,
)
from activityctl.cli.render.backfill_text import (
    backfill_progress,
    print_end,
    print_notes,
    print_preview,
)
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.session import Session, now
from activityctl.cli.told_waits import told_wait
from activityctl.cli.verbs.past import past_of
from activityctl.domain.runs.backfill import BackfillProgress
from activityctl.domain.values.time_range import parse_seconds, parse_time_range
from activityctl.errors import UsageError
from activityctl.operations.runs.backfill import (
    BackfillRequest,
    StartedBackfill,
    follow,
    progress_of,
)
from activityctl.operations.runs.backfill_view import result_view
from activityctl.wiring import Ports

_ASK_ABOVE: Final = 100
"""More firings than these need confirmation."""


def backfill(
    context: typer.Context,
    subscription: SubscriptionArgument,
    since: Since = None,
    until: Until = None,
    old_from: OldFrom = None,
    old_to: OldTo = None,
    trigger: TriggerOption = None,
    only_missed: Annotated[
        bool, typer.Option("--only-missed", help="Only times whose run was missed.")
    ] = False,
    max_parallel: Annotated[
        int,
        typer.Option(min=1, max=1_000, help="How many runs may run at the same time.", metavar="N"),
    ] = 1,
    dry_run: DryRun = False,
    yes: Yes = False,
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel",
            help="Cancel the firings of earlier backfills that wait; running runs continue.",
        ),
    ] = False,
    wait: WaitForRuns = True,
    timeout: Timeout = "1h",
    output: TextOrJson = "text",
) -> None:
    """Run the due times of the past that have no run, once each; exit 1 if a run failed.

    The time range needs a start; it ends now unless you give --until. Both ends are included.

    Each run gets its nominal time; they start in that order. Repeat the command to follow the
    runs or to change --max-parallel: no time runs twice. --trigger is needed if the subscription
    has several schedules. Above 100 firings the command asks for confirmation.

    activityctl backfill daily-digest --since 7d --only-missed --max-parallel 4

    activityctl backfill daily-digest --since 2026-11-01 --until 1h --dry-run

    activityctl backfill daily-digest --cancel
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    if cancel:
        _cancel(session, subscription, trigger)
        return
    session.set_interrupt_message("nothing was started")
    since = replace_old_option(session, "--since", since, "--from", old_from)
    until = replace_old_option(session, "--until", until, "--to", old_to)
    first, last = _time_range(session, since, until)
    request = BackfillRequest(trigger, first, last, only_missed, max_parallel)

    preview = session.with_ports(
        lambda ports: past_of(ports).preview_backfill(subscription, request)
    )
    print_notes(session, preview)
    if dry_run:
        print_preview(session, preview, shape)
        return
    count = len(preview.choice.to_run)
    if count > _ASK_ABOVE and not yes:
        require_yes(f"a backfill of {count:,} firings", f"Run {count:,} firings of {subscription}?")

    session.set_interrupt_message(
        "it is not known whether the backfill is recorded",
        hint="run the command again: nothing runs twice",
    )

    async def start_runs(ports: Ports) -> tuple[StartedBackfill, bool]:
        started = await past_of(ports).start_backfill(preview)
        return started, bool(await ports.workers.alive())

    started, has_worker = session.with_ports(start_runs)
    if not has_worker:
        session.err.print("no worker is running; the runs start when a worker starts")
    seconds = parse_seconds(timeout) if wait and has_worker else None
    progress = _follow(session, subscription, started, seconds)
    if shape == "json":
        view = result_view(subscription, preview.backfill, started.added, progress)
        print_json(session.out, view)
    else:
        print_end(session, preview, started.added, progress)
    if progress.failed:
        raise typer.Exit(1)


def _cancel(session: Session, subscription: str, trigger: str | None) -> None:
    async def work(ports: Ports) -> int:
        owner = await ports.catalog.find_subscription(subscription)
        return await ports.backfills.cancel(owner.id, trigger)

    count = session.with_ports(work)
    session.out.print(f"subscription/{subscription} {count} held firings cancelled")
    session.err.print("running runs continue; activityctl cancel RUN stops one")


def _time_range(
    session: Session, since: str | None, until: str | None
) -> tuple[datetime, datetime]:
    """Return the start and the end, which is now at the latest."""
    at = now()
    first, last = parse_time_range(since, until, at)
    if first is None:
        raise UsageError("--since is missing", hint="write for example --since 7d")
    if first > at:
        raise UsageError(f"--since {since} is in the future", hint="write 7d for seven days ago")
    if last is not None and last > at:
        session.err.print("note: --until is in the future; the backfill ends now")
    return first, min(last or at, at)


def _follow(
    session: Session, subscription: str, started: StartedBackfill, seconds: float | None
) -> BackfillProgress:
    """Wait for the end of all runs and return the progress; without seconds do not wait."""

    async def work(ports: Ports) -> BackfillProgress:
        if seconds is None:
            return await progress_of(ports.backfills, started)
        with backfill_progress(session) as show:
            waiting = follow(ports.backfills, started, timeout_seconds=seconds, on_progress=show)
            return await told_wait(session, ports, waiting, "the backfill is recorded")

    session.set_interrupt_message(
        "the backfill is recorded and the worker continues with it; "
        "run the command again to follow it",
        hint=f"activityctl backfill {subscription} --cancel cancels the firings that wait",
    )
    return session.with_ports(work)
