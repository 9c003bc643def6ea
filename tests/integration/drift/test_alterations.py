"""Schedules that were changed in Temporal are restored."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    ScheduleRange,
)
from temporalio.common import RetryPolicy

from support.drifting import ScheduleHarness, now


def earlier(schedule: Schedule) -> None:
    schedule.spec.calendars = [ScheduleCalendarSpec(hour=[ScheduleRange(1)])]


def other_zone(schedule: Schedule) -> None:
    schedule.spec.time_zone_name = "Asia/Tokyo"


def jitter(schedule: Schedule) -> None:
    schedule.spec.jitter = timedelta(seconds=30)


def never_in_june(schedule: Schedule) -> None:
    schedule.spec.skip = [ScheduleCalendarSpec(month=[ScheduleRange(6)])]


def until_an_end(schedule: Schedule) -> None:
    schedule.spec.end_at = now() + timedelta(days=1)


def every_second(schedule: Schedule) -> None:
    schedule.spec.calendars = [
        replace(calendar, second=[ScheduleRange(0, 59)]) for calendar in schedule.spec.calendars
    ]


def also_hourly(schedule: Schedule) -> None:
    schedule.spec.intervals = [ScheduleIntervalSpec(every=timedelta(hours=1))]


def skip_overlaps(schedule: Schedule) -> None:
    schedule.policy.overlap = ScheduleOverlapPolicy.SKIP


def catch_up_a_year(schedule: Schedule) -> None:
    schedule.policy.catchup_window = timedelta(days=365)


def stop_at_failures(schedule: Schedule) -> None:
    schedule.policy.pause_on_failure = True


def only_three(schedule: Schedule) -> None:
    schedule.state.limited_actions, schedule.state.remaining_actions = True, 3


def other_queue(schedule: Schedule) -> None:
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    schedule.action.task_queue = "nobody-serves-it"


def other_workflow(schedule: Schedule) -> None:
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    schedule.action.workflow = "Foreign"


def other_alarm(schedule: Schedule) -> None:
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    schedule.action.args = [{"alarm_id": "another", "due_at": ""}]


def retried(schedule: Schedule) -> None:
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    schedule.action.retry_policy = RetryPolicy(maximum_attempts=2)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (earlier, "timing"),
        (other_zone, "timing"),
        (jitter, "timing"),
        (never_in_june, "timing"),
        (until_an_end, "timing"),
        (every_second, "timing"),
        (also_hourly, "timing"),
        (skip_overlaps, "overlap policy"),
        (catch_up_a_year, "catch-up window"),
        (stop_at_failures, "pause on failure"),
        (only_three, "limit of actions"),
        (other_queue, "action"),
        (other_workflow, "action"),
        (other_alarm, "action"),
        (retried, "action"),
    ],
)
async def test_a_changed_schedule_is_restored(
    harness: ScheduleHarness, change: Callable[[Schedule], None], part: str
) -> None:
    await harness.apply()
    before = await harness.describe()
    await harness.alter(change)
    assert await harness.drift_detector.detect_and_repair() == 1
    after = await harness.describe()
    assert before is not None
    assert after is not None
    assert after.raw_description.schedule == before.raw_description.schedule
    assert await harness.log_messages() == [
        f"schedule often was changed ({part}) outside activityctl; restored"
    ]
    assert await harness.drift_detector.detect_and_repair() == 0
