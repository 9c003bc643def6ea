"""Show a backfill: what it would run, its progress and its end."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from activityctl.cli.render.output import Column, Format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.domain.runs.backfill import BackfillProgress, progress_view
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.json_form import View
from activityctl.domain.values.moment import format_moment
from activityctl.domain.values.plurals import count_noun
from activityctl.operations.runs.backfill_view import ShownBackfill, preview_view

_MOST_ROWS: Final = 1_000
_COLUMNS: Final[tuple[Column, ...]] = (
    ("DUE", lambda view: view["dueAt"]),
    ("LOCAL TIME", lambda view: view["localTime"]),
    ("RUNS", lambda view: view["runs"]),
    ("NOTE", lambda view: view["note"]),
)


def print_preview(session: Session, found: ShownBackfill, shape: Format) -> None:
    """Print the times that would run and those that are left out."""
    if shape == "json":
        print_json(session.out, preview_view(found.subscription, found.backfill, found.choice))
        return
    rows = [(nominal, None) for nominal in found.choice.to_run] + [*found.choice.left_out]
    rows.sort(key=lambda row: row[0])
    zone = ZoneInfo(found.zone)
    views = [_row(nominal, reason, zone) for nominal, reason in rows[:_MOST_ROWS]]
    print_table(session.out, views, _COLUMNS, empty="No firings are due in that time range.")
    if len(rows) > _MOST_ROWS:
        session.err.print(f"{len(rows) - _MOST_ROWS:,} more; -o json lists all")
    firings = count_noun(len(found.choice.to_run), "firing")
    session.err.print(f"{firings} would run, {len(found.choice.left_out):,} left out")


def print_notes(session: Session, found: ShownBackfill) -> None:
    """Print a note if times to run are before the subscription existed."""
    if early := found.before_it_existed:
        firings = count_noun(len(found.choice.to_run), "firing")
        session.err.print(
            f"note: {early:,} of {firings} {'is' if early == 1 else 'are'} due before the "
            f"subscription existed ({format_moment(found.existed_from)})"
        )


def print_end(
    session: Session, found: ShownBackfill, added: int, progress: BackfillProgress
) -> None:
    """Print how many firings of the time range have which status, and why others are left out."""
    subscription = found.subscription
    label = f"backfill {subscription}/{found.backfill.trigger}"
    counts = [f"{count:,} {name}" for name, count in _counts(progress) if count]
    session.out.print(
        f"{label}: {', '.join([count_noun(progress.total, 'firing'), f'{added:,} new', *counts])}"
    )
    reasons = Counter(reason for _, reason in found.choice.left_out)
    for reason, count in reasons.most_common(5):
        session.err.print(f"note: {count:,} left out: {reason}")
    if progress.failed:
        session.err.print(f"hint: activityctl get runs -s {subscription} --status failed")


@contextmanager
def backfill_progress(session: Session) -> Iterator[Callable[[BackfillProgress], None]]:
    """Yield a function that takes the progress; on a terminal it draws a bar."""
    if not session.draws_progress:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("backfill"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TextColumn("{task.description}"), console=session.err, transient=True)
    task = bar.add_task("")

    def show(progress: BackfillProgress) -> None:
        counts = ", ".join(f"{count} {name}" for name, count in _counts(progress) if count)
        bar.update(task, completed=progress.ended, total=progress.total, description=counts)

    bar.start()
    try:
        yield show
    finally:
        bar.stop()


def _row(nominal: datetime, reason: str | None, zone: ZoneInfo) -> View:
    local = nominal.astimezone(zone).isoformat(timespec="seconds")
    runs = "yes" if reason is None else "no"
    return {"dueAt": format_moment(nominal), "localTime": local, "runs": runs, "note": reason}


def _counts(progress: BackfillProgress) -> list[tuple[str, int]]:
    view = progress_view(progress)
    ended = ("succeeded", "failed", "timed_out", "cancelled", "skipped")
    open_runs = (RunStatus.RUNNING, RunStatus.CANCELLING, RunStatus.QUEUED)
    open_states = (*(status.value for status in open_runs), "starting", "held")
    return [(name.replace("_", " "), view[name]) for name in (*ended, *open_states)]
