"""The JSON view of the overview, for `status`."""

from activityctl.domain.runs.metrics_snapshot import (
    FIRING_STATES,
    RUN_STATUSES,
    SCHEDULE_STATUSES,
    complete,
)
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.operations.looking.chains import chain_view
from activityctl.operations.looking.overview import Overview


def overview_view(found: Overview | None) -> View:
    """Return the view; without an overview every part is null."""
    return {
        "schedules": None if found is None else schedules_view(found),
        "runs": None if found is None else runs_view(found),
        "firings": None if found is None else firings_view(found),
        "events": None if found is None else events_view(found),
        "deadLetters": None if found is None else letters_view(found),
        "stuckRuns": None if found is None else stuck_view(found),
        "workerLoops": None if found is None else troubles_view(found),
        "chains": None if found is None else [chain_view(chain) for chain in found.chains],
        "autoPaused": None if found is None else auto_paused_view(found),
    }


def schedules_view(found: Overview) -> View:
    """Return the schedules by status, how many are overdue, and the restarts."""
    figures = found.figures
    return {
        **complete(figures.schedules, SCHEDULE_STATUSES),
        "overdue": figures.overdue_schedules,
        "alarms": figures.alarms,
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
