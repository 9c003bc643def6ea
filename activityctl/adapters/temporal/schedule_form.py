"""What a schedule of ours looks like in Temporal: built from what is wanted, read from what is.

Calls to the server are in `schedules`.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import ScheduleOverlapPolicy as OverlapNumber
from temporalio.api.schedule import v1 as wire
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)

from activityctl.domain import ids
from activityctl.domain.alarm import Alarm
from activityctl.domain.calendar import CalendarSpec, CronCalendar, compile_calendar
from activityctl.domain.drift import ObservedSchedule
from activityctl.domain.firing_ref import FiringRef
from activityctl.domain.ids import ScheduleId, SubscriptionId
from activityctl.domain.plan import WantedSchedule
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.run_activity import WORKFLOW_NAME, RunActivityWorkflow

_CATCH_UP: Final = timedelta(minutes=1)
"""What the server itself makes up for; the ledger in Postgres makes up for the rest."""
_NO_TIME: Final = timedelta(0)


def schedule_for(wanted: WantedSchedule, *, paused: bool) -> Schedule:
    """Every due time starts a run: overlap and misfire are the product's to decide."""
    firing = FiringRef(wanted.subscription_id, wanted.trigger, "", "", "")
    return Schedule(
        action=ScheduleActionStartWorkflow(
            RunActivityWorkflow.run,
            firing,
            id=ids.scheduled_workflow_id(wanted.subscription_id, wanted.trigger),
            task_queue=TASK_QUEUE,
        ),
        spec=_spec(wanted.alarm),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=_CATCH_UP),
        state=ScheduleState(paused=paused),
    )


def observed_in_list(entry: wire.ScheduleListEntry) -> ObservedSchedule | None:
    """Return what the listing shows, which leaves most of the action and the policies out.

    None for a schedule that is not ours by its id.
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
    """Return what a description shows; None for a schedule that is not ours by its id."""
    parts = ids.parts_of_schedule(schedule_id)
    if parts is None:
        return None
    return ObservedSchedule(
        ScheduleId(schedule_id),
        _alarm(schedule.spec),
        schedule.state.paused,
        tuple(_altered(schedule, *parts)),
    )


def _altered(schedule: wire.Schedule, subscription: SubscriptionId, trigger: str) -> Iterator[str]:
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
    """Tell whether the action is ours; a firing's later fields may come with versions."""
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


def _spec(alarm: Alarm) -> ScheduleSpec:
    return ScheduleSpec(
        calendars=[
            _calendar(compile_calendar(one))
            for one in sorted(alarm.calendars, key=lambda one: sorted(one.days_of_week))
        ],
        intervals=[
            ScheduleIntervalSpec(every=every, offset=offset)
            for every, offset in sorted(alarm.intervals)
        ],
        time_zone_name=alarm.timezone if alarm.calendars else None,
        start_at=alarm.start_at,
        end_at=alarm.end_at,
    )


def _calendar(spec: CalendarSpec) -> ScheduleCalendarSpec:
    def ranges(parts: tuple[tuple[int, int, int], ...]) -> list[ScheduleRange]:
        return [ScheduleRange(start, end, step) for start, end, step in parts]

    return ScheduleCalendarSpec(
        minute=ranges(spec.minutes),
        hour=ranges(spec.hours),
        day_of_month=ranges(spec.days_of_month),
        month=ranges(spec.months),
        day_of_week=ranges(spec.days_of_week),
    )


def _alarm(spec: wire.ScheduleSpec) -> Alarm:
    return Alarm(
        frozenset(_calendar_of(one) for one in spec.structured_calendar),
        frozenset((one.interval.ToTimedelta(), one.phase.ToTimedelta()) for one in spec.interval),
        spec.timezone_name or "UTC",
        _moment(spec.start_time) if spec.HasField("start_time") else None,
        _moment(spec.end_time) if spec.HasField("end_time") else None,
        tuple(_extras(spec)),
    )


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


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
    """Unset ends and steps mean the start alone and every value."""
    return frozenset(
        value
        for one in ranges
        for value in range(one.start, max(one.start, one.end) + 1, one.step or 1)
    )


def _extras(spec: wire.ScheduleSpec) -> Iterator[str]:
    if spec.exclude_structured_calendar:
        yield "excluded times"
    if spec.jitter.ToTimedelta():
        yield "jitter"
    calendars = spec.structured_calendar
    if any(_values(one.second) != frozenset({0}) or one.year for one in calendars):
        yield "seconds or years"
