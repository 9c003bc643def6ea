"""SubscriptionFacts: what a person who is called first asks about a subscription, as figures."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.runs.lateness import Deadline, NotedLateness
from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.run import FAILURES, RunStatus
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass

NEWEST: Final = 10_000
"""Figures are of at most so many of the newest runs, so that they take no longer for a million."""
STRIP: Final = 60
"""How many of the newest runs are told one by one."""
FEW: Final = 5
"""How many dead letters and late runs are told one by one."""
GUARDED: Final = 5
"""The breakers and limits are those that the tasks of so many of the newest runs had to pass."""
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
PERIODS: Final[Mapping[str, timedelta]] = {"lastDay": DAY, "lastWeek": WEEK}
JUDGED: Final = frozenset({RunStatus.SUCCEEDED, *FAILURES})
"""Runs that did their work or failed to; what was skipped, missed or cancelled is no failure."""


@frozen_dataclass
class RunFigures:
    """The runs that were created within a period."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """By status; a status that is absent counts as 0."""
    is_cut: bool = False
    """Whether there were more than NEWEST, so that only the newest are counted."""
    p50: timedelta | None = None
    """Of the runs that succeeded, failed or timed out: half took no longer. None without any."""
    p95: timedelta | None = None
    longest: timedelta | None = None

    @property
    def success_rate(self) -> float | None:
        """The part of the judged runs that succeeded, from 0 to 1; None without any."""
        judged = sum(self.counts.get(status, 0) for status in JUDGED)
        return self.counts.get(RunStatus.SUCCEEDED, 0) / judged if judged else None


@frozen_dataclass
class FailedRun:
    """The newest run that failed or timed out."""

    id: str
    status: RunStatus
    reason: str | None
    ended_at: datetime | None


@frozen_dataclass
class OpenLetter:
    """A dead letter that nobody has acted on."""

    id: str
    run_id: str
    reason: str
    created_at: datetime


@frozen_dataclass
class HeldGroup:
    """Tasks and lookups that the same breaker or limit holds up."""

    breaker: str | None
    """None if they wait for the limit."""
    limit: str | None
    count: int
    since: datetime
    """Since when the first of them waits."""
    next_at: datetime
    """When the first of them asks again."""


@frozen_dataclass
class SubscriptionFacts:
    """The facts of one moment."""

    periods: Mapping[str, RunFigures] = field(default_factory=dict)
    """By the keys of PERIODS."""
    latest: tuple[LatestRun, ...] = ()
    """The newest runs, at most STRIP, newest first."""
    open_runs: Mapping[str, int] = field(default_factory=dict)
    """By status."""
    stuck_runs: int = 0
    queued_since: datetime | None = None
    """When the oldest queued run was created; None if none is queued."""
    firings: Mapping[str, int] = field(default_factory=dict)
    """Firings that have not started, by state: `due`, `later`, or `held` by a backfill."""
    due_since: datetime | None = None
    """From when the oldest due firing could have started; None if none is due."""
    firing_error: str | None = None
    """Why the start of a firing failed, which is tried again; None if none failed."""
    held: tuple[HeldGroup, ...] = ()
    breakers: tuple[str, ...] = ()
    """The names of the breakers that the newest runs had to pass, sorted."""
    last_failure: FailedRun | None = None
    letters: tuple[OpenLetter, ...] = ()
    """The newest open dead letters, at most FEW, newest first."""
    late: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The missed deadlines by the keys of PERIODS, then by deadline."""
    latest_late: tuple[NotedLateness, ...] = ()
    """The newest missed deadlines, at most FEW, newest first."""
    paused_by: str | None = None
    """Who paused it by hand; None if nobody did, or if its log does not go back so far."""


def period_of(found: RunFigures) -> View:
    """Return the JSON view of the figures of a period; times are in seconds."""
    return {
        "runs": {status.value: found.counts.get(status, 0) for status in RunStatus},
        "successRate": None if found.success_rate is None else round(found.success_rate, 6),
        "p50Seconds": _seconds(found.p50),
        "p95Seconds": _seconds(found.p95),
        "longestSeconds": _seconds(found.longest),
        "isCut": found.is_cut,
    }


def facts_view(facts: SubscriptionFacts) -> View:
    """Return the JSON view of the facts, apart from those of breakers, limits and the slo."""
    failure = facts.last_failure
    return {
        "figures": {name: period_of(facts.periods.get(name, RunFigures())) for name in PERIODS},
        "lastRuns": [strip_run_view(run) for run in facts.latest],
        "openRuns": {
            **{
                status.value: facts.open_runs.get(status, 0)
                for status in (RunStatus.RUNNING, RunStatus.CANCELLING, RunStatus.QUEUED)
            },
            "stuck": facts.stuck_runs,
            "queuedSince": format_timestamp(facts.queued_since),
        },
        "waitingFirings": {
            **{state: facts.firings.get(state, 0) for state in ("due", "later", "held")},
            "dueSince": format_timestamp(facts.due_since),
            "lastError": facts.firing_error,
        },
        "held": [_held_view(group) for group in facts.held],
        "lastFailure": None if failure is None else failure_view(failure),
        "deadLetters": [
            {
                "id": letter.id,
                "run": letter.run_id,
                "reason": letter.reason,
                "createdAt": format_timestamp(letter.created_at),
            }
            for letter in facts.letters
        ],
        "pausedBy": facts.paused_by,
    }


def late_view(facts: SubscriptionFacts) -> View:
    """Return the JSON view of the missed deadlines."""
    counts = {
        name: {each.value: facts.late.get(name, {}).get(each, 0) for each in Deadline}
        for name in PERIODS
    }
    latest = [
        {
            "run": noted.run_id,
            "deadline": noted.deadline.value,
            "by": format_timestamp(noted.by),
            "noticedAt": format_timestamp(noted.noticed_at),
        }
        for noted in facts.latest_late
    ]
    return {**counts, "latest": latest}


def failure_view(failure: FailedRun) -> View:
    """Return the JSON view of the newest failed run."""
    return {
        "run": failure.id,
        "status": failure.status.value,
        "reason": failure.reason,
        "endedAt": format_timestamp(failure.ended_at),
    }


def strip_run_view(run: LatestRun) -> View:
    """Return the JSON view of one of the newest runs."""
    return {
        "id": run.id,
        "status": run.status.value,
        "isStuck": run.is_stuck,
        "trigger": run.trigger,
        "createdAt": format_timestamp(run.created_at),
        "startedAt": format_timestamp(run.started_at),
        "endedAt": format_timestamp(run.ended_at),
    }


def _held_view(group: HeldGroup) -> View:
    return {
        "breaker": group.breaker,
        "limit": group.limit,
        "count": group.count,
        "since": format_timestamp(group.since),
        "nextAt": format_timestamp(group.next_at),
    }


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 3)
