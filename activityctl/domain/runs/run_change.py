"""RunChange: the rows that a decision about a run writes, with log entries and dead letter."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from activityctl.domain.runs import auto_pause
from activityctl.domain.runs.auto_pause import StreakChange
from activityctl.domain.runs.children import is_child
from activityctl.domain.runs.dead_letter import DeadLetter, closes_letters
from activityctl.domain.runs.logged_output import logged_output
from activityctl.domain.runs.notices import Notice, failed_notice, missed_run_notice
from activityctl.domain.runs.run import (
    ENDED_RUNS,
    ENDED_TASKS,
    FAILURES,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    Decision,
    Run,
    RunEnd,
    RunState,
    RunStatus,
    TaskInstance,
    TaskStatus,
    address_of,
)
from activityctl.domain.runs.stopping import waiting_text
from activityctl.domain.runs.waiting import Wait, assignee_of, wait_of, waits_by_itself
from activityctl.domain.tasks.activity import ACTIVITY
from activityctl.domain.tasks.manual import MANUAL
from activityctl.domain.values import ids
from activityctl.domain.values.credentials import mask_credentials
from activityctl.domain.values.ids import TaskId
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.log import Level, LogEntry
from activityctl.domain.values.model import JsonValue
from activityctl.errors import InternalError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class RunChange:
    """The rows that change together, in one transaction."""

    run: Run
    create: tuple[TaskInstance, ...] = ()
    update: tuple[TaskInstance, ...] = ()
    entries: tuple[LogEntry, ...] = ()
    dead_letter: DeadLetter | None = None
    keep_state: Mapping[str, JsonValue] | None = None
    """The state to store for the subscription's next run; None leaves it as it is."""
    streak: StreakChange | None = None
    """How the subscription's count of failures in a row changes; None leaves it as it is."""
    notices: tuple[Notice, ...] = ()
    """What has to be told of it."""

    @property
    def frees_slot(self) -> bool:
        """Whether the run has ended and another run may have waited for that."""
        run = self.run
        waits = run.concurrency_key is not None or run.throttle_key is not None
        return run.has_ended and (waits or run.is_backfill)

    @property
    def leaves_gates(self) -> bool:
        """Whether the run is skipped, so that it holds no slot, though its onSkip tasks may run."""
        return RunStatus.SKIPPED in (self.run.status, self.run.ending)

    @property
    def closes_letters(self) -> bool:
        """Whether it closes the dead letters of the runs that its run repeats."""
        return closes_letters(self.run, self.dead_letter)

    @property
    def waits(self) -> tuple[Wait, ...]:
        """The waits that begin."""
        changed = (*self.create, *self.update)
        return tuple(
            wait_of(task, self.run) for task in changed if task.status is TaskStatus.WAITING
        )

    @property
    def concerns_children(self) -> bool:
        """Whether a task starts another run or has ended, or a run that a task started has ended.

        Then the worker has to start, settle or cancel runs.
        """
        is_about = any(task.kind == ACTIVITY for task in (*self.create, *self.update))
        return is_about or (self.run.has_ended and is_child(self.run))

    @property
    def ended_waits(self) -> frozenset[TaskId]:
        """The tasks that have ended and may have waited."""
        ended = (task for task in self.update if task.has_ended and waits_by_itself(task))
        return frozenset(task.id for task in ended)

    @property
    def hidden_inputs(self) -> tuple[TaskInstance, ...]:
        """The ended tasks whose input has credentials, each with its input masked.

        Every attempt of a task reads its credentials from the stored input. No attempt does when
        the task has ended.
        """
        ended = (task for task in (*self.create, *self.update) if task.has_ended)
        masked = (replace(task, input=mask_credentials(task.input)) for task in ended)
        before = {task.id: task.input for task in (*self.create, *self.update)}
        return tuple(task for task in masked if task.input != before[task.id])


def run_change(
    run: Run,
    decision: Decision,
    now: datetime,
    *,
    update: tuple[TaskInstance, ...] = (),
    entries: tuple[LogEntry, ...] = (),
) -> RunChange:
    """Return the rows that a decision about a run changes.

    `update` are tasks that changed before the decision. Log entries are in this order: `entries`,
    tasks, the end of the run, the pause of the subscription.
    """
    after = _run_after(run, decision, now)
    streak = auto_pause.streak_change(run, decision, now)
    all_entries = (
        *entries,
        *(
            task_entry(run.subscription_id, task, now)
            for task in (
                *update,
                *decision.create,
                *decision.change,
                *decision.wait,
                *decision.cancel,
            )
        ),
        *_run_entries(run, after, decision, now),
        _pause_entry(run, streak, now),
    )
    return RunChange(
        run=after,
        create=decision.create,
        update=(*update, *decision.change, *decision.wait, *decision.cancel),
        entries=tuple(entry for entry in all_entries if entry is not None),
        dead_letter=_dead_letter(after, decision.end, now),
        keep_state=decision.keep_state,
        streak=streak,
        notices=_notices(run, after, decision, streak),
    )


def change_task(task: TaskInstance, status: TaskStatus, **changes: object) -> TaskInstance:
    """Return the task in its new status; raise InternalError when the change is not allowed."""
    if status is not task.status and status not in TASK_TRANSITIONS[task.status]:
        raise InternalError(f"task {task.id} cannot change from {task.status} to {status}")
    if status in ENDED_TASKS:
        changes["attempt_at"] = None
    return replace(task, status=status, **changes)  # type: ignore[arg-type]  # checked by tests


def log_entry(
    run: Run, level: Level, message: str, now: datetime, **metadata: JsonValue
) -> LogEntry:
    """Return a log entry of the run."""
    return LogEntry(run.subscription_id, run.id, message, level, now, metadata)


def _run_after(run: Run, decision: Decision, now: datetime) -> Run:
    if decision.end is None:
        if decision.ending is None:
            return run
        status = RunStatus.CANCELLING if decision.waits_for else RunStatus.RUNNING
        if status is not run.status:
            _check_change(run, status)
        return replace(
            run,
            status=status,
            ending=decision.ending,
            reason=decision.reason,
            pauses=decision.pauses,
        )
    status = decision.end.status
    _check_change(run, status)
    return replace(run, status=status, reason=decision.end.reason, ending=None, ended_at=now)


def _check_change(run: Run, status: RunStatus) -> None:
    if status not in RUN_TRANSITIONS[run.status]:
        raise InternalError(f"run {run.id} cannot change from {run.status} to {status}")


def task_entry(owner: str, task: TaskInstance, now: datetime) -> LogEntry | None:
    """Return the log entry of that subscription for a task that waits or has ended; else None."""

    def entry(level: Level, message: str, **more: JsonValue) -> LogEntry:
        facts = {"task": task.name, "index": task.index, "taskId": task.id, **more}
        return LogEntry(owner, task.run_id, message, level, now, facts)

    more: dict[str, JsonValue] = {}
    label = f"task {address_of(task)}"
    match task.status:
        case TaskStatus.SUCCEEDED:
            message = f"{label} succeeded"
            if task.completed_by is not None:
                more["completedBy"] = task.completed_by
                message += f": completed by {task.completed_by}"
            elif task.reason is not None:
                message += f": {task.reason}"
            return entry("info", message, **more, attempts=task.attempts)
        case TaskStatus.FAILED:
            if task.output is not None:
                more["output"] = logged_output(mask_credentials(task.output))
            message = f"{label} failed: {task.error}"
            return entry("error", message, **more, attempts=task.attempts)
        case TaskStatus.SKIPPED | TaskStatus.CANCELLED:
            return entry("info", f"{label} {task.status}: {task.reason}")
        case TaskStatus.WAITING:
            until = format_timestamp(task.waits_until)
            return entry("info", _waiting_message(task), until=until)
        case TaskStatus.PENDING | TaskStatus.RUNNING:
            return None


def _waiting_message(task: TaskInstance) -> str:
    until = f" until {format_timestamp(task.waits_until)}" if task.waits_until else ""
    return f"task {address_of(task)} waits{_whom(task)}{until}"


def _whom(task: TaskInstance) -> str:
    """Return for whom a manual task waits."""
    return f" for {assignee_of(task) or 'a person'}" if task.kind == MANUAL else ""


def _run_entries(
    before: Run, after: Run, decision: Decision, now: datetime
) -> tuple[LogEntry, ...]:
    if decision.waits_for and after != before:
        message = f"run cancelling: {after.reason}; {waiting_text(decision.waits_for)}"
        return (log_entry(after, "info", message, now, status=after.status.value),)
    if after.status is before.status or after.status not in ENDED_RUNS:
        return ()
    is_good = after.status in {RunStatus.SUCCEEDED, RunStatus.SKIPPED, RunStatus.MISSED}
    message = end_message(after.status, after.reason)
    seconds = (now - after.started_at).total_seconds() if after.started_at else None
    entry = log_entry(
        after,
        "info" if is_good else "error",
        message,
        now,
        status=after.status.value,
        durationSeconds=seconds,
    )
    return (entry,)


def end_message(status: RunStatus, reason: str | None) -> str:
    """Return the text of the log entry for the end of a run."""
    return f"run {status.value.replace('_', ' ')}" + (f": {reason}" if reason else "")


def _pause_entry(run: Run, streak: StreakChange | None, now: datetime) -> LogEntry | None:
    if streak is None or streak.pause_reason is None:
        return None
    return log_entry(run, "warning", f"subscription paused: {streak.pause_reason}", now)


def _notices(
    before: Run, after: Run, decision: Decision, streak: StreakChange | None
) -> tuple[Notice, ...]:
    """Return what is told: of a failure when it is decided, of a miss when the run ends."""
    if streak is not None and streak.has_failed:
        status = after.ending or after.status
        notice = failed_notice(before, status, after.reason, streak.decided_at)
    else:
        notice = missed_run_notice(after) if decision.end is not None else None
    return () if notice is None else (notice,)


def _dead_letter(run: Run, end: RunEnd | None, now: datetime) -> DeadLetter | None:
    if run.status not in FAILURES and (end is None or not end.leaves_letter):
        return None
    return DeadLetter(
        ids.dead_letter_id(run.id), run.id, run.subscription_id, run.reason or run.status, now
    )


def with_tasks(state: RunState, *changed: TaskInstance) -> RunState:
    """Return the state with these task instances replaced."""
    by_id = {task.id: task for task in changed}
    return replace(state, tasks=tuple(by_id.get(task.id, task) for task in state.tasks))
