"""`activityctl backfill`: run past nominal times after all."""

from datetime import datetime
from typing import Annotated, Final

import typer

from activityctl.cli.completion import subscription_names
from activityctl.cli.confirm import require_yes
from activityctl.cli.options import Timeout, parse_seconds, parse_time
from activityctl.cli.render.backfill_text import (
    following,
    print_end,
    print_notes,
    print_preview,
    result_view,
)
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.session import Session, now
from activityctl.domain.runs.backfill import BackfillProgress
from activityctl.errors import UsageError
from activityctl.operations.runs.backfill import (
    BackfillPreview,
    BackfillRequest,
    StartedBackfill,
    follow,
    preview_backfill,
    progress_of,
    start_backfill,
)
from activityctl.wiring import Ports

_ASKED_ABOVE: Final = 100


def backfill(
    context: typer.Context,
    subscription: Annotated[str, typer.Argument(metavar="SUB", autocompletion=subscription_names)],
    start: Annotated[
        str | None, typer.Option("--from", help="The first time: RFC 3339, -7d.", metavar="WHEN")
    ] = None,
    end: Annotated[
        str, typer.Option("--to", help="The last time, included: RFC 3339, -1h.", metavar="WHEN")
    ] = "now",
    trigger: Annotated[
        str | None, typer.Option(help="Which trigger; needed when several follow the clock.")
    ] = None,
    only_missed: Annotated[
        bool, typer.Option("--only-missed", help="Only times that have a missed run.")
    ] = False,
    max_parallel: Annotated[
        int, typer.Option(min=1, max=1_000, help="Runs at work at once.", metavar="N")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and what would not and why.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, above 100 firings.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Let nothing run that still waits; runs go on.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the runs to end.")] = True,
    timeout: Timeout = "1h",
    output: Annotated[
        str, typer.Option("--output", "-o", help="text or json.", metavar="FORMAT")
    ] = "text",
) -> None:
    """Run the times in the past that have no run, once each; exit 1 when a run failed.

    Times run in their order with their nominal time. Repeat it to follow, or to raise
    --max-parallel: nothing runs twice.

    activityctl backfill daily-digest --from -7d --only-missed --max-parallel 4

    activityctl backfill daily-digest --from 2026-11-01T00:00:00Z --to -1h --dry-run

    activityctl backfill daily-digest --cancel
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    if cancel:
        _cancel(session, subscription, trigger)
        return
    session.set_interrupt_message("nothing was started")
    first, last = _stretch(session, start, end)
    order = BackfillRequest(trigger, first, last, only_missed, max_parallel)

    async def look(ports: Ports) -> BackfillPreview:
        owner = await ports.catalog.find_subscription(subscription)
        return await preview_backfill(ports.catalog, ports.register, ports.backfills, owner, order)

    found = session.with_ports(look)
    print_notes(session, found)
    if dry_run:
        print_preview(session, subscription, found, shape)
        return
    count = len(found.choice.to_run)
    if count > _ASKED_ABOVE and not yes:
        require_yes(f"a backfill of {count:,} firings", f"Run {count:,} firings of {subscription}?")

    session.set_interrupt_message(
        "it is not known whether the backfill is recorded",
        hint="run the command again: nothing runs twice",
    )

    async def ask(ports: Ports) -> tuple[StartedBackfill, bool]:
        recorded = await start_backfill(ports.backfills, found)
        return recorded, bool(await ports.workers.alive())

    recorded, alive = session.with_ports(ask)
    if not alive:
        session.err.print("no worker is alive; the firings will start when one is")
    seconds = parse_seconds(timeout) if wait and alive else None
    progress = _followed(session, subscription, recorded, seconds)
    if shape == "json":
        print_json(session.out, result_view(subscription, found, recorded.added, progress))
    else:
        print_end(session, subscription, found, recorded.added, progress)
    if progress.failed:
        raise typer.Exit(1)


def _cancel(session: Session, subscription: str, trigger: str | None) -> None:
    async def work(ports: Ports) -> int:
        owner = await ports.catalog.find_subscription(subscription)
        return await ports.backfills.cancel(owner.id, trigger)

    count = session.with_ports(work)
    session.out.print(f"subscription/{subscription} {count} held firings cancelled")
    session.err.print("runs at work go on; activityctl cancel RUN ends one")


def _stretch(session: Session, start: str | None, end: str) -> tuple[datetime, datetime]:
    if start is None:
        raise UsageError("--from is missing", hint="write --from -7d, or a time (RFC 3339)")
    at = now()
    first, last = parse_time(start, at), parse_time(end, at)
    if first > at:
        raise UsageError(f"--from {start} lies in the future", hint="write -7d for a week ago")
    if last < first:
        raise UsageError(f"--to {end} is before --from {start}")
    if last > at:
        session.err.print("note: --to lies in the future; the backfill ends now")
    return first, min(last, at)


def _followed(
    session: Session, subscription: str, recorded: StartedBackfill, seconds: float | None
) -> BackfillProgress:
    """Return how far it has come; with seconds, when all of it has ended."""

    async def work(ports: Ports) -> BackfillProgress:
        if seconds is None:
            return await progress_of(ports.backfills, recorded)
        with following(session) as show:
            return await follow(
                ports.backfills, recorded, timeout_seconds=seconds, on_progress=show
            )

    session.set_interrupt_message(
        "the backfill is recorded and the worker goes on with it; "
        "run the command again to follow it",
        hint=f"activityctl backfill {subscription} --cancel stops what has not begun",
    )
    return session.with_ports(work)
