"""What is going on in memory."""

from collections import Counter

from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.runs.at_work import FEW, LISTED, RECENT, AtWork, BehindSchedule, ListedRun
from activityctl.domain.runs.metrics_snapshot import OVERDUE_AFTER
from activityctl.domain.runs.run import FAILURES, Run
from activityctl.domain.runs.subscription_facts import DAY
from activityctl.domain.tasks.breaker import BreakerStatus


def read_at_work(state: MemoryState, text: str | None) -> AtWork:
    """Return what is going on; the runs are those that have the text, without their workers."""
    now = state.clock()
    runs = sorted((row.run for row in state.runs.values()), key=lambda run: run.created_at)
    open_runs = [run for run in runs if run.ended_at is None]
    failed = [run for run in runs if run.status in FAILURES][::-1]
    waiting = [row for row in state.firings.values() if row.dispatched_at is None]
    due = [row.fires_at for row in waiting if row.fires_at and row.fires_at <= now]
    unrouted = [row.event for row in state.events.values() if row.event.routed_at is None]
    listed = (*open_runs, *(run for run in failed if run.created_at >= now - RECENT))
    return AtWork(
        at=now,
        open_runs=Counter(run.status.value for run in open_runs),
        stuck_runs=sum(run.is_stuck for run in open_runs),
        firings=Counter(
            "held" if row.fires_at is None else "due" if row.fires_at <= now else "later"
            for row in waiting
        ),
        due_since=min(due, default=None),
        failing_firings=sum(row.attempts > 0 for row in waiting),
        unrouted_events=len(unrouted),
        unrouted_since=min((event.arrived_at for event in unrouted), default=None),
        held_tasks=sum(not _has_ended(state, key) for key in state.holds),
        failed_hour=sum(run.created_at >= now - RECENT for run in failed),
        failed_day=sum(run.created_at >= now - DAY for run in failed),
        late_hour=sum(noted.noticed_at >= now - RECENT for _, noted in state.late_runs.values()),
        breakers=tuple(
            breaker
            for _, breaker in sorted(state.breakers.items())
            if breaker.status is not BreakerStatus.CLOSED
        )[:FEW],
        behind=_behind(state),
        runs=[_listed(state, run) for run in listed if _has_text(run, text)][: 2 * LISTED],
    )


def _has_ended(state: MemoryState, task_id: str) -> bool:
    return task_id in state.tasks and state.tasks[task_id].task.has_ended


def _has_text(run: Run, text: str | None) -> bool:
    words = (run.id, run.subscription, run.definition, run.trigger)
    return text is None or text.lower() in " ".join(words).lower()


def _listed(state: MemoryState, run: Run) -> ListedRun:
    tasks = [row.task for row in state.tasks.values() if row.task.run_id == run.id]
    tasks = [] if run.has_ended else [task for task in tasks if not task.has_ended]
    task = min(tasks, key=lambda task: (task.name, task.index), default=None)
    return ListedRun(
        run.id,
        run.subscription,
        run.definition,
        run.trigger,
        run.status,
        run.reason,
        run.created_at,
        run.started_at,
        run.ended_at,
        run.is_stuck,
        None if task is None else task.name,
        None if task is None else task.status.value,
    )


def _behind(state: MemoryState) -> tuple[BehindSchedule, ...]:
    now, owners = state.clock(), state.catalog.subscriptions
    found = [
        BehindSchedule(owners[row.wanted.subscription_id].name, row.wanted.trigger, row.next_at)
        for row in state.catalog.schedules.values()
        if row.is_active and row.next_at is not None and row.next_at < now - OVERDUE_AFTER
    ]
    return tuple(sorted(found, key=lambda schedule: schedule.due_at)[:FEW])
