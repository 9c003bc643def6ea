"""Show schedules, waiting work and subscriptions that paused themselves, for `status`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.chain_text import print_chains
from activityctl.domain.runs.metrics_snapshot import (
    FIRING_STATES,
    RUN_STATUSES,
    SCHEDULE_STATUSES,
    WAITS_TOO_LONG,
    complete,
)
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.json_form import View, format_timestamp
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


def schedules_view(found: Overview) -> View:
    """Return the schedules by status, how many are overdue, and the restarts."""
    figures = found.figures
    return {
        **complete(figures.schedules, SCHEDULE_STATUSES),
        "overdue": figures.overdue_schedules,
        "restarts": figures.restarts,
        "lastRestartAt": format_timestamp(figures.restarted_at),
    }


def runs_view(found: Overview) -> View:
    """Return the runs by status: all open ones, and those of the last day that have ended."""
    return complete(found.figures.runs, RUN_STATUSES)


def firings_view(found: Overview) -> View:
    """Return how many firings wait to start, and since when the oldest is due."""
    figures = found.figures
    return {
        **complete(figures.firings, FIRING_STATES),
        "oldestDueAt": format_timestamp(figures.oldest_due_at),
        "lagSeconds": figures.due_lag.total_seconds(),
        "failing": _failing_view(found),
    }


def _failing_view(found: Overview) -> View | None:
    failing = found.failing
    if failing is None:
        return None
    since = format_timestamp(failing.since)
    return {"count": failing.count, "since": since, "lastError": failing.last_error}


def stuck_view(found: Overview) -> View | None:
    """Return the runs that are stuck."""
    if (stuck := found.stuck) is None:
        return None
    since = format_timestamp(stuck.since)
    return {"count": stuck.count, "since": since, "lastReason": stuck.last_reason}


def troubles_view(found: Overview) -> list[View]:
    """Return the loops of workers that fail."""
    return [
        {
            "worker": failed.worker,
            "loop": failed.trouble.loop,
            "since": format_timestamp(failed.trouble.since),
            "failures": failed.trouble.failures,
            "lastError": failed.trouble.error,
        }
        for failed in found.troubles
    ]


def events_view(found: Overview) -> View:
    """Return how many events wait to be routed, for how long, and the errors of triggers."""
    figures = found.figures
    return {
        "unrouted": figures.unrouted_events,
        "oldestUnroutedAt": format_timestamp(figures.oldest_unrouted_at),
        "lagSeconds": figures.event_lag.total_seconds(),
        "filterErrors": figures.filter_errors,
        "unreadableTriggers": [
            {
                "subscription": unread.subscription,
                "trigger": unread.trigger,
                "reason": unread.reason,
            }
            for unread in found.unreadable
        ],
    }


def letters_view(found: Overview) -> View:
    """Return how many dead letters are open, in all and by subscription."""
    letters = found.figures.dead_letters
    return {"open": sum(letters.values()), "bySubscription": dict(sorted(letters.items()))}


def auto_paused_view(found: Overview) -> list[View]:
    """Return the subscriptions that paused themselves."""
    return [
        {
            "name": subscription.name,
            "pauseReason": subscription.pause_reason,
            "pausedAt": format_timestamp(subscription.paused_at),
            "pausedByRun": subscription.paused_by_run,
        }
        for subscription in found.auto_paused
    ]
