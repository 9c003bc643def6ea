"""Makes Temporal hold the schedules that triggers ask for."""

from datetime import timedelta
from typing import Final

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from activityctl.domain import ids
from activityctl.domain.calendar import CalendarSpec, compile_cron
from activityctl.domain.firing_ref import FiringRef
from activityctl.domain.plan import WantedSchedule
from activityctl.domain.trigger import CronTrigger, IntervalTrigger, trigger_of
from activityctl.errors import UnreachableError
from activityctl.workflows.calls import TASK_QUEUE
from activityctl.workflows.run_activity import RunActivityWorkflow

_RPC_TIMEOUT: Final = timedelta(seconds=5)
_CATCH_UP: Final = timedelta(minutes=1)
"""A firing that could not start this long after its time is not made up for."""


class TemporalSchedulePlacer:
    """The SchedulePlacer port."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def place(self, wanted: WantedSchedule, *, paused: bool) -> None:
        """Create or update the schedule; repeating it changes nothing."""
        schedule = _schedule(wanted, paused=paused)
        try:
            await self._client.create_schedule(wanted.id, schedule, rpc_timeout=_RPC_TIMEOUT)
        except ScheduleAlreadyRunningError:
            await self._update(wanted.id, schedule)
        except RPCError as error:
            raise UnreachableError(f"Temporal: {error.message}") from error

    async def _update(self, schedule_id: str, schedule: Schedule) -> None:
        def updated(_present: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule)

        handle = self._client.get_schedule_handle(schedule_id)
        try:
            await handle.update(updated, rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            raise UnreachableError(f"Temporal: {error.message}") from error

    async def remove(self, schedule_id: str) -> None:
        """Delete the schedule; absent is fine."""
        try:
            await self._client.get_schedule_handle(schedule_id).delete(rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise UnreachableError(f"Temporal: {error.message}") from error


def _schedule(wanted: WantedSchedule, *, paused: bool) -> Schedule:
    """Every due time starts a run: overlap and misfire are the product's to decide."""
    firing = FiringRef(wanted.subscription_id, wanted.trigger, "", "", "")
    return Schedule(
        action=ScheduleActionStartWorkflow(
            RunActivityWorkflow.run,
            firing,
            id=ids.scheduled_workflow_id(wanted.subscription_id, wanted.trigger),
            task_queue=TASK_QUEUE,
        ),
        spec=_spec(wanted),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=_CATCH_UP),
        state=ScheduleState(paused=paused),
    )


def _spec(wanted: WantedSchedule) -> ScheduleSpec:
    match trigger_of(wanted.kind, wanted.body):
        case CronTrigger() as cron:
            return ScheduleSpec(
                calendars=[_calendar(spec) for spec in compile_cron(cron.schedule)],
                time_zone_name=cron.timezone,
                jitter=cron.jitter,
            )
        case IntervalTrigger() as interval:
            return ScheduleSpec(
                intervals=[ScheduleIntervalSpec(every=interval.every, offset=interval.offset)],
                jitter=interval.jitter,
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
