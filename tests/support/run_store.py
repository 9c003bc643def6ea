"""What tests of the RunStore port do with it: read the state, save a change, read the log."""

from dataclasses import replace
from datetime import datetime

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.run import Run, RunState, TaskInstance, TaskStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.values.log import Cursor, LogEntry, LogFilter


def log_entry(run: Run, message: str, now: datetime) -> LogEntry:
    return LogEntry(run.subscription_id, run.id, message, "info", now, {})


def ended(task: TaskInstance, now: datetime, **changes: object) -> TaskInstance:
    fields = {"status": TaskStatus.SUCCEEDED, "ended_at": now, **changes}
    return replace(task, **fields)


async def state_of(ports: wiring.Ports, run: Run) -> RunState:
    state = await ports.runs.load(run.id)
    assert state is not None
    return state


async def save(ports: wiring.Ports, change: RunChange) -> None:
    async with ports.runs.locked(change.run.id) as locked:
        await locked.save(change)


async def messages(ports: wiring.Ports, subscription: Subscription) -> list[str]:
    entries, _ = await ports.logbook.page(LogFilter((subscription.id,)), Cursor(), limit=100)
    return [entry.message for entry in entries]
