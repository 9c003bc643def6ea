"""AtWork: what is going on at one moment, for `top`; nothing in it is counted beyond MOST."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.runs.json_form import breaker_view, worker_view
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.tasks.breaker import Breaker
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass

MOST: Final = 10_000
"""A count that is larger is given as MOST."""
LISTED: Final = 200
"""The most runs that are told one by one."""
FEW: Final = 20
"""The most breakers and schedules that are told one by one."""
RECENT: Final = timedelta(hours=1)
"""Runs that failed within this time are listed beside the open ones."""


@frozen_dataclass
class ListedRun:
    """An open run, or one that failed recently."""

    id: str
    subscription: str
    definition: str
    trigger: str
    status: RunStatus
    reason: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    is_stuck: bool = False
    task: str | None = None
    """One of its open tasks; None if it has none."""
    task_status: str | None = None


@frozen_dataclass
class BehindSchedule:
    """A schedule whose next time has passed without a decision."""

    subscription: str
    trigger: str
    due_at: datetime


@frozen_dataclass
class AtWork:
    """What is going on at one moment."""

    at: datetime
    workers: tuple[WorkerBeat, ...] = ()
    open_runs: Mapping[str, int] = field(default_factory=dict)
    """By status."""
    stuck_runs: int = 0
    firings: Mapping[str, int] = field(default_factory=dict)
    """Firings that have not started, by state: `due`, `later`, or `held` by a backfill."""
    due_since: datetime | None = None
    failing_firings: int = 0
    """Firings whose start failed and is tried again."""
    unrouted_events: int = 0
    unrouted_since: datetime | None = None
    held_tasks: int = 0
    """Tasks and lookups that a breaker or a limit holds up."""
    failed_hour: int = 0
    failed_day: int = 0
    late_hour: int = 0
    breakers: tuple[Breaker, ...] = ()
    """Those that are not closed, by name."""
    behind: tuple[BehindSchedule, ...] = ()
    """Those that are furthest behind come first."""
    runs: Sequence[ListedRun] = ()
    """Open runs, the oldest first, then those that failed recently, the newest first."""


def at_work_view(found: AtWork) -> View:
    """Return the JSON view."""
    return {
        "at": format_timestamp(found.at),
        "workers": [worker_view(worker) for worker in found.workers],
        "openRuns": {
            **{
                status.value: found.open_runs.get(status, 0)
                for status in (RunStatus.RUNNING, RunStatus.CANCELLING, RunStatus.QUEUED)
            },
            "stuck": found.stuck_runs,
        },
        "firings": {
            **{state: found.firings.get(state, 0) for state in ("due", "later", "held")},
            "failing": found.failing_firings,
            "dueSince": format_timestamp(found.due_since),
            "lagSeconds": _lag(found.at, found.due_since),
        },
        "events": {
            "unrouted": found.unrouted_events,
            "lagSeconds": _lag(found.at, found.unrouted_since),
        },
        "heldTasks": found.held_tasks,
        "failures": {"lastHour": found.failed_hour, "lastDay": found.failed_day},
        "lateLastHour": found.late_hour,
        "breakers": [breaker_view(breaker) for breaker in found.breakers],
        "schedulesBehind": [
            {
                "subscription": schedule.subscription,
                "trigger": schedule.trigger,
                "dueAt": format_timestamp(schedule.due_at),
            }
            for schedule in found.behind
        ],
        "runs": [_run_view(run) for run in found.runs],
    }


def _run_view(run: ListedRun) -> View:
    return {
        "id": run.id,
        "subscription": run.subscription,
        "definition": run.definition,
        "trigger": run.trigger,
        "status": run.status.value,
        "isStuck": run.is_stuck,
        "reason": run.reason,
        "task": run.task,
        "taskStatus": run.task_status,
        "createdAt": format_timestamp(run.created_at),
        "startedAt": format_timestamp(run.started_at),
        "endedAt": format_timestamp(run.ended_at),
    }


def _lag(now: datetime, since: datetime | None) -> float:
    return 0.0 if since is None else round(max((now - since).total_seconds(), 0.0), 3)
