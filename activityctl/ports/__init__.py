"""What we ask of the outside, as Protocols; adapters and executors answer.

The package is the one door: nobody outside it names a module of it.
"""

from activityctl.ports.catalog import Catalog, ManifestSource
from activityctl.ports.events import EventArchive, EventStore, Routing
from activityctl.ports.gates import BEGINS_WITHIN, Gates
from activityctl.ports.logbook import Census, Logbook
from activityctl.ports.outbox import ORDER_WAITS, Claim, Outbox, RunStarter, WaitingFiring
from activityctl.ports.runs import LockedRun, Opening, RunLists, RunStore
from activityctl.ports.schedules import ScheduleDrift, SchedulePlacer, ScheduleRegister, ScheduleRow
from activityctl.ports.signals import LOG_CHANNEL, WORK_CHANNEL, Signals, Work, Workers
from activityctl.ports.tasks import ContextSource, Executor, ExecutorOutcome, JsonValue, TaskCall
from activityctl.ports.timetable import (
    WAKE_AFTER,
    Backfills,
    LockedPast,
    OverdueSchedule,
    Timetable,
)

__all__ = [
    "BEGINS_WITHIN",
    "LOG_CHANNEL",
    "ORDER_WAITS",
    "WAKE_AFTER",
    "WORK_CHANNEL",
    "Backfills",
    "Catalog",
    "Census",
    "Claim",
    "ContextSource",
    "EventArchive",
    "EventStore",
    "Executor",
    "ExecutorOutcome",
    "Gates",
    "JsonValue",
    "LockedPast",
    "LockedRun",
    "Logbook",
    "ManifestSource",
    "Opening",
    "Outbox",
    "OverdueSchedule",
    "Routing",
    "RunLists",
    "RunStarter",
    "RunStore",
    "ScheduleDrift",
    "SchedulePlacer",
    "ScheduleRegister",
    "ScheduleRow",
    "Signals",
    "TaskCall",
    "Timetable",
    "WaitingFiring",
    "Work",
    "Workers",
]
