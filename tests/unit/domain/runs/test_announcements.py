"""When people are reminded of a task, and that nobody completed it in time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.runs.announcements import (
    OVERDUE,
    REMINDER,
    Announcement,
    event_of,
    first_announcement,
    following_announcement,
)
from activityctl.domain.runs.run import TaskInstance, TaskStatus
from activityctl.domain.values import ids

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def task_of(due_hours: float | None = None, **body: Any) -> TaskInstance:
    return TaskInstance(
        id=ids.task_id("run", "review", 0),
        run_id=ids.RunId("run"),
        name="review",
        index=0,
        phase="main",
        kind="manual",
        status=TaskStatus.WAITING,
        created_at=NOW,
        started_at=NOW,
        input={"assignee": "anna", **body},
        waits_until=None if due_hours is None else NOW + due_hours * HOUR,
    )


def announced(task: TaskInstance) -> list[tuple[float, str]]:
    """Return the hours and types of everything that is announced of a task nobody completes."""
    found, at = [], first_announcement(task)
    while at is not None and len(found) < 5:
        announcement = Announcement(task, "sub", at, is_answered=False)
        event = event_of(announcement)
        assert event is not None
        found.append(((at - NOW) / HOUR, event.type))
        at = following_announcement(announcement)
    return found


def test_reminders_go_on_until_the_task_is_due():
    assert announced(task_of(5, reminder="2h")) == [(2, REMINDER), (4, REMINDER), (5, OVERDUE)]
    assert announced(task_of(2, reminder="2h")) == [(2, OVERDUE)]
    assert announced(task_of(1)) == [(1, OVERDUE)]
    assert announced(task_of(reminder="1h"))[-1] == (5, REMINDER)
    assert announced(task_of()) == []


def test_an_announcement_says_what_to_do():
    event = event_of(Announcement(task_of(2, instructions="Look."), "sub", NOW + HOUR, False))
    assert event is not None
    assert event.data["complete"] == f"activityctl complete {task_of().id}"
    assert (event.data["assignee"], event.data["instructions"]) == ("anna", "Look.")
    assert event.data["due"] == "2026-05-01T14:00:00.000Z"
    assert event.source == "/activityctl/sub"


@pytest.mark.parametrize(
    ("changes", "is_answered"),
    [
        ({}, True),
        ({"status": TaskStatus.SUCCEEDED, "ended_at": NOW}, True),
        ({"status": TaskStatus.CANCELLED, "ended_at": NOW + HOUR / 2}, False),
    ],
)
def test_nothing_is_announced_of_a_task_that_is_done(changes: dict[str, Any], *, is_answered: bool):
    done = replace(task_of(1), **changes)
    announcement = Announcement(done, "sub", NOW + HOUR, is_answered=is_answered)
    assert event_of(announcement) is None
    assert following_announcement(announcement) is None


def test_a_task_that_has_failed_because_it_was_due_is_still_announced():
    failed = replace(task_of(1), status=TaskStatus.FAILED, ended_at=NOW + HOUR)
    event = event_of(Announcement(failed, "sub", NOW + HOUR, is_answered=False))
    assert event is not None
    assert event.type == OVERDUE
