"""Lateness: which runs have not started or ended within the `slo` of their definition."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.manifests.run_limits import Slo
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.log import LogEntry
from activityctl.frozen_dataclass import frozen_dataclass

LATE: Final = "activityctl.run.late"
"""The type of the event that says that a run is late."""
_WITHOUT_START: Final = frozenset({RunStatus.SKIPPED, RunStatus.CANCELLED})
"""A run that ended like this before it started was not meant to start any more."""


class Deadline(StrEnum):
    """What should have happened by then."""

    START = "start"
    END = "end"


@frozen_dataclass
class RunTimes:
    """A run, or a firing that has no run yet, and how far it is."""

    run_id: str
    subscription_id: str
    subscription: str
    definition: str
    trigger: str
    due_at: datetime
    status: RunStatus
    started_at: datetime | None = None
    ended_at: datetime | None = None
    follows_own_event: bool = False
    """Whether an event of activityctl itself started it, such as one of the type LATE."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The labels of its definition and, before them, those of its subscription."""


@frozen_dataclass
class LateRun:
    """A run that missed a deadline."""

    run: RunTimes
    deadline: Deadline
    within: timedelta

    @property
    def by(self) -> datetime:
        """When it should have happened."""
        return self.run.due_at + self.within

    @property
    def message(self) -> str:
        """What the log says."""
        verb = "started" if self.deadline is Deadline.START else "ended"
        limit = f"{self.deadline}Within: {format_duration(self.within)}"
        return f"the run is late: it had not {verb} by {format_timestamp(self.by)} (slo {limit})"


def late_deadlines(run: RunTimes, slo: Slo, now: datetime) -> list[LateRun]:
    """Return the deadlines that the run has missed by now, start first."""
    if run.ended_at is not None and run.started_at is None and run.status in _WITHOUT_START:
        return []
    found = []
    began = run.started_at or (None if run.ended_at is None else run.ended_at)
    has_not_run = run.status is RunStatus.MISSED
    for deadline, within, happened_at in (
        (Deadline.START, slo.start_within, None if has_not_run else began),
        (Deadline.END, slo.end_within, None if has_not_run else run.ended_at),
    ):
        if within is not None and (happened_at or now) > run.due_at + within:
            found.append(LateRun(run, deadline, within))
    return found


def late_event(late: LateRun) -> EventEnvelope | None:
    """Return the event that says it; None for a run that such an event has started.

    So an automation that hears of late runs and is late itself cannot start itself again and
    again. The same lateness always gives the same event, so it is stored once.
    """
    run = late.run
    if run.follows_own_event:
        return None
    return envelope_of(
        {
            "specversion": "1.0",
            "id": f"{run.run_id}/{late.deadline}",
            "source": f"/activityctl/{run.subscription}",
            "type": LATE,
            "subject": run.subscription,
            "time": format_timestamp(late.by),
            "data": {
                "run": run.run_id,
                "subscription": run.subscription,
                "definition": run.definition,
                "labels": dict(run.labels),
                "trigger": run.trigger,
                "deadline": late.deadline.value,
                "within": format_duration(late.within),
                "due": format_timestamp(run.due_at),
                "by": format_timestamp(late.by),
                "describe": f"activityctl describe run {run.run_id}",
            },
        }
    )


def late_entry(late: LateRun, now: datetime) -> LogEntry:
    """Return the entry for the log of the run."""
    metadata = {"deadline": late.deadline.value, "by": format_timestamp(late.by)}
    run = late.run
    return LogEntry(run.subscription_id, run.run_id, late.message, "warning", now, metadata)


@frozen_dataclass
class NotedLateness:
    """A missed deadline as it was noted."""

    run_id: str
    deadline: Deadline
    by: datetime
    noticed_at: datetime


def lateness_view(noted: NotedLateness) -> View:
    """Return the JSON view of a missed deadline."""
    return {
        "deadline": noted.deadline.value,
        "by": format_timestamp(noted.by),
        "noticedAt": format_timestamp(noted.noticed_at),
    }
