"""What is announced of a task that waits for a person: a reminder, or that it is overdue.

An announcement is an event, so that an automation can send it wherever people look.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.values.duration import parse_duration
from activityctl.domain.values.json_form import format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass

REMINDER: Final = "activityctl.task.reminder"
"""The type of the event that says that a task still waits."""
OVERDUE: Final = "activityctl.task.overdue"
"""The type of the event that says that nobody completed a task in time."""


@frozen_dataclass
class Announcement:
    """A moment at which something may have to be announced of a task."""

    task: TaskInstance
    subscription: str
    at: datetime
    is_answered: bool
    """Whether somebody has completed the task, also if that is not settled yet."""

    @property
    def is_overdue(self) -> bool:
        """Whether it is the moment at which the task has to be completed."""
        return self.task.waits_until is not None and self.at >= self.task.waits_until


def first_announcement(task: TaskInstance) -> datetime | None:
    """Return when something is to be announced first of a task whose wait begins."""
    return _next(task, task.started_at or task.created_at)


def following_announcement(announcement: Announcement) -> datetime | None:
    """Return when something is to be announced next; None if that was the last time."""
    task = announcement.task
    if announcement.is_answered or announcement.is_overdue or task.has_ended:
        return None
    return _next(task, announcement.at)


def event_of(announcement: Announcement) -> EventEnvelope | None:
    """Return the event to emit; None if the task was completed or its run has ended before.

    The same announcement always gives the same id, so it is stored once.
    """
    task = announcement.task
    has_ended_before = task.ended_at is not None and task.ended_at < announcement.at
    if announcement.is_answered or has_ended_before:
        return None
    body = task.input if isinstance(task.input, Mapping) else {}
    data = {
        "task": task.id,
        "name": task.name,
        "index": task.index,
        "run": task.run_id,
        "subscription": announcement.subscription,
        "assignee": body.get("assignee"),
        "instructions": body.get("instructions", ""),
        "since": format_timestamp(task.started_at),
        "due": format_timestamp(task.waits_until),
        "complete": f"activityctl complete {task.id}",
    }
    at = format_timestamp(announcement.at)
    return envelope_of(
        {
            "specversion": "1.0",
            "id": f"{task.id}/{at}",
            "source": f"/activityctl/{announcement.subscription}",
            "type": OVERDUE if announcement.is_overdue else REMINDER,
            "time": at,
            "data": data,
        }
    )


def _next(task: TaskInstance, after: datetime) -> datetime | None:
    body = task.input if isinstance(task.input, Mapping) else {}
    reminder = body.get("reminder")
    pause: timedelta | None = parse_duration(reminder) if isinstance(reminder, str) else None
    times = [] if pause is None else [after + pause]
    if task.waits_until is not None:
        times.append(task.waits_until)
    return min(times, default=None)
