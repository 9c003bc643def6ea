"""Print schedules, waiting work and subscriptions that paused themselves, for `status`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.chain_text import print_chains
from activityctl.domain.runs.metrics_snapshot import WAITS_TOO_LONG
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls
from activityctl.operations.looking.overview import Overview

if TYPE_CHECKING:
    from rich.console import Console


_SECOND: Final = timedelta(seconds=1)
_MOST_UNREADABLE: Final = 10
_MOST_NAMED: Final = 3


def print_overview(console: "Console", found: Overview) -> None:
    """Print the schedules by status, the work that waits, triggers that cannot be read, pauses."""
    figures = found.figures
    schedules = {name: count for name, count in figures.schedules.items() if count}
    if figures.overdue_schedules:
        schedules["overdue"] = figures.overdue_schedules
    if schedules:
        counts = ", ".join(f"{count} {name}" for name, count in schedules.items())
        why = "; activityctl get schedules says why" if schedules.get("error") else ""
        console.print(f"schedules: {counts}{why}")
    if figures.restarts:
        console.print(
            f"schedules that had stopped and were restarted: {figures.restarts}, "
            f"last at {format_timestamp(figures.restarted_at)}"
        )
    if figures.due_lag > WAITS_TOO_LONG:
        lag = _whole_seconds(figures.due_lag)
        due = figures.firings.get("due", 0)
        console.print(
            f"firings due and not started: {due}, the oldest for {lag}; run activityctl doctor"
        )
    _print_failures(console, found)
    _print_runs(console, figures.runs)
    _print_letters(console, figures.dead_letters)
    if figures.unrouted_events:
        lag = _whole_seconds(figures.event_lag)
        console.print(f"events not yet routed: {figures.unrouted_events}, the oldest for {lag}")
    print_chains(console, found.chains)
    for unread in found.unreadable[:_MOST_UNREADABLE]:
        label = f"{unread.subscription}/{unread.trigger}"
        console.print(
            escape_controls(
                f"trigger {label} cannot be read, so no event starts it: {unread.reason}"
            ).replace("\n", "\\n")
        )
    if (rest := len(found.unreadable) - _MOST_UNREADABLE) > 0:
        console.print(f"{rest:,} more triggers cannot be read; run activityctl get subscriptions")
    for subscription in found.auto_paused:
        since = format_timestamp(subscription.paused_at)
        reason = escape_controls(subscription.pause_reason or "").replace("\n", "\\n")
        console.print(f"paused after failures: {subscription.name} since {since}: {reason}")


def _print_runs(console: "Console", counts: Mapping[str, int]) -> None:
    for status in (RunStatus.FAILED, RunStatus.TIMED_OUT):
        if count := counts.get(status, 0):
            runs, how = count_noun(count, "run", "runs"), status.replace("_", " ")
            command = f"activityctl get runs --status {status} --since 1d"
            console.print(f"{runs} {how} within a day; run {command}", soft_wrap=True)
    if count := counts.get(RunStatus.CANCELLING, 0):
        runs = count_noun(count, "run", "runs")
        console.print(f"{runs} cancelling; run activityctl get runs --status cancelling")


def _print_letters(console: "Console", open_letters: Mapping[str, int]) -> None:
    if not open_letters:
        return
    most = sorted(open_letters.items(), key=lambda item: (-item[1], item[0]))
    names = ", ".join(f"{name} {count:,}" for name, count in most[:_MOST_NAMED])
    more = f" and {len(most) - _MOST_NAMED} more" if len(most) > _MOST_NAMED else ""
    letters = count_noun(sum(open_letters.values()), "open dead letter", "open dead letters")
    console.print(f"{letters}: {names}{more}; run activityctl dlq list")


def _print_failures(console: "Console", found: Overview) -> None:
    if (failing := found.failing) is not None:
        since = format_timestamp(failing.since)
        error = escape_controls(failing.last_error).replace("\n", "\\n")
        firings = count_noun(failing.count, "firing", "firings")
        console.print(
            f"{firings} could not be started and will be tried again, since {since}: {error}"
        )
    if (stuck := found.stuck) is not None:
        reason = escape_controls(stuck.last_reason).replace("\n", "\\n")
        verb = "is" if stuck.count == 1 else "are"
        console.print(
            f"{count_noun(stuck.count, 'run', 'runs')} {verb} stuck since "
            f"{format_timestamp(stuck.since)}, because this version cannot go on with the "
            f"workflow: {reason}; run a worker of the version that began it"
        )
    for failed in found.troubles:
        trouble = failed.trouble
        error = escape_controls(trouble.error).replace("\n", "\\n")
        console.print(
            f"worker {failed.worker}: loop {trouble.loop} fails since "
            f"{format_timestamp(trouble.since)}, {trouble.failures} times: {error}"
        )


def _whole_seconds(lag: timedelta) -> str:
    return format_duration(lag // _SECOND * _SECOND)
