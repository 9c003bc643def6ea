"""Converts wanted schedules to Temporal's form, and Temporal's schedules to ours.

The calls to the server are in `schedules`.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payloads, WorkflowType
from temporalio.api.enums.v1 import ScheduleOverlapPolicy as OverlapNumber
from temporalio.api.schedule import v1 as wire
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.converter import PayloadConverter

from activityctl.domain.gitops.drift import ObservedSchedule
from activityctl.domain.gitops.plan import WantedSchedule
from activityctl.domain.timing.alarm import Alarm
from activityctl.domain.timing.cron import CalendarSpec, CronCalendar, compile_calendar
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.domain.values import ids
from activityctl.domain.values.ids import ScheduleId, SubscriptionId
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.run_activity import WORKFLOW_NAME

_CATCH_UP: Final = timedelta(minutes=1)
"""The server itself starts due times that it missed by less than this; older ones we decide."""
_NO_TIME: Final = timedelta(0)
_SPECS_KEPT: Final = 1024


def schedule_for(wanted: WantedSchedule, *, paused: bool) -> wire.Schedule:
    """Return the schedule that starts a workflow at every due time.

    The server decides nothing about overlapping or late runs; we do. Built directly as protobuf:
    the SDK's conversion takes a third of the time of the whole call.
    """
    return wire.Schedule(
        spec=_spec(wanted.alarm),
        action=wire.ScheduleAction(start_workflow=_action(wanted.subscription_id, wanted.trigger)),
        policies=wire.SchedulePolicies(
            overlap_policy=OverlapNumber.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
            catchup_window=_duration(_CATCH_UP),
        ),
        state=wire.ScheduleState(paused=paused),
    )


def _action(subscription: SubscriptionId, trigger: str) -> NewWorkflowExecutionInfo:
    firing = FiringRef(subscription, trigger, "", "", "", FiringCause.ALARM)
    return NewWorkflowExecutionInfo(
        workflow_id=ids.scheduled_workflow_id(subscription, trigger),
        workflow_type=WorkflowType(name=WORKFLOW_NAME),
        task_queue=TaskQueue(name=TASK_QUEUE),
        input=Payloads(payloads=PayloadConverter.default.to_payloads([firing])),
    )


def observed_in_list(entry: wire.ScheduleListEntry) -> ObservedSchedule | None:
    """Return what a list shows of a schedule: most of the action and the policies are missing.

    Return None if the id is not in our form.
    """
    if ids.parts_of_schedule(entry.schedule_id) is None:
        return None
    info = entry.info
    is_ours = info.workflow_type.name == WORKFLOW_NAME
    return ObservedSchedule(
        ScheduleId(entry.schedule_id),
        _alarm(info.spec),
        info.paused,
        () if is_ours else ("action",),
    )


def observed_in_full(schedule_id: str, schedule: wire.Schedule) -> ObservedSchedule | None:
    """Return what a description shows of a schedule; None if the id is not in our form."""
    parts = ids.parts_of_schedule(schedule_id)
    if parts is None:
        return None
    return ObservedSchedule(
        ScheduleId(schedule_id),
        _alarm(schedule.spec),
        schedule.state.paused,
        tuple(_changed_parts(schedule, *parts)),
    )


def _changed_parts(
    schedule: wire.Schedule, subscription: SubscriptionId, trigger: str
) -> Iterator[str]:
    """Yield the names of the parts that differ from what we write."""
    if not _starts_a_run(schedule.action.start_workflow, subscription, trigger):
        yield "action"
    policies = schedule.policies
    if policies.overlap_policy != OverlapNumber.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL:
        yield "overlap policy"
    if policies.catchup_window.ToTimedelta() != _CATCH_UP:
        yield "catch-up window"
    if policies.pause_on_failure:
        yield "pause on failure"
    if schedule.state.limited_actions:
        yield "limit of actions"


def _starts_a_run(
    action: NewWorkflowExecutionInfo, subscription: SubscriptionId, trigger: str
) -> bool:
    """Return whether the action is ours; ignore fields that other versions add to a firing."""
    try:
        (payload,) = action.input.payloads
        firing = json.loads(payload.data)
        named = (firing["subscription_id"], firing["trigger"], firing["firing_key"])
    except (ValueError, KeyError, TypeError):
        return False
    return (
        action.workflow_type.name == WORKFLOW_NAME
        and action.workflow_id == ids.scheduled_workflow_id(subscription, trigger)
        and action.task_queue.name == TASK_QUEUE
        and named == (subscription, trigger, "")
        and not action.HasField("retry_policy")
        and action.workflow_execution_timeout.ToTimedelta() == _NO_TIME
        and action.workflow_run_timeout.ToTimedelta() == _NO_TIME
    )


@lru_cache(maxsize=_SPECS_KEPT)  # thousands of subscriptions share a definition's triggers
def _spec(alarm: Alarm) -> wire.ScheduleSpec:
    return wire.ScheduleSpec(
        structured_calendar=[
            _calendar(compile_calendar(calendar))
            for calendar in sorted(
                alarm.calendars, key=lambda calendar: sorted(calendar.days_of_week)
            )
        ],
        interval=[
            wire.IntervalSpec(interval=_duration(every), phase=_duration(offset))
            for every, offset in sorted(alarm.intervals)
        ],
        timezone_name=alarm.timezone if alarm.calendars else "",
        start_time=_timestamp(alarm.start_at),
        end_time=_timestamp(alarm.end_at),
    )


def _calendar(spec: CalendarSpec) -> wire.StructuredCalendarSpec:
    def ranges(parts: tuple[tuple[int, int, int], ...]) -> list[wire.Range]:
        return [wire.Range(start=start, end=end, step=step) for start, end, step in parts]

    return wire.StructuredCalendarSpec(
        second=[wire.Range(start=0, end=0, step=1)],
        minute=ranges(spec.minutes),
        hour=ranges(spec.hours),
        day_of_month=ranges(spec.days_of_month),
        month=ranges(spec.months),
        day_of_week=ranges(spec.days_of_week),
    )


def _duration(value: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(value)
    return duration


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def _alarm(spec: wire.ScheduleSpec) -> Alarm:
    return Alarm(
        frozenset(_calendar_of(calendar) for calendar in spec.structured_calendar),
        frozenset(
            (interval.interval.ToTimedelta(), interval.phase.ToTimedelta())
            for interval in spec.interval
        ),
        spec.timezone_name or "UTC",
        _moment(spec.start_time) if spec.HasField("start_time") else None,
        _moment(spec.end_time) if spec.HasField("end_time") else None,
        tuple(_unsupported_parts(spec)),
    )


def _moment(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)


def _calendar_of(spec: wire.StructuredCalendarSpec) -> CronCalendar:
    return CronCalendar(
        _values(spec.minute),
        _values(spec.hour),
        _values(spec.day_of_month),
        _values(spec.month),
        _values(spec.day_of_week),
        either_day=False,
    )


def _values(ranges: Sequence[wire.Range]) -> frozenset[int]:
    """Return the values in the ranges. Without an end, a range is its start; the step is then 1."""
    return frozenset(
        value
        for part in ranges
        for value in range(part.start, max(part.start, part.end) + 1, part.step or 1)
    )


def _unsupported_parts(spec: wire.ScheduleSpec) -> Iterator[str]:
    """Yield the names of the parts of the timing that we never write."""
    if spec.exclude_structured_calendar:
        yield "excluded times"
    if spec.jitter.ToTimedelta():
        yield "jitter"
    if any(
        _values(calendar.second) != frozenset({0}) or calendar.year
        for calendar in spec.structured_calendar
    ):
        yield "seconds or years"
