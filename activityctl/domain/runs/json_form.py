"""JSON views of runs, tasks and dead letters, with keys in camelCase."""

from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.runs.dead_letter import DeadLetter, LetterAction
from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.run import Run, TaskInstance
from activityctl.domain.runs.worker import WorkerBeat
from activityctl.domain.tasks.breaker import Breaker
from activityctl.domain.values.credentials import mask_credentials
from activityctl.domain.values.json_form import View, format_timestamp


def run_view(run: Run) -> View:
    """Return the JSON view of a run."""
    return {
        "id": run.id,
        "subscription": run.subscription,
        "subscriptionId": run.subscription_id,
        "definition": run.definition,
        "revision": run.revision_id,
        "trigger": run.trigger,
        "firingKey": run.firing_key,
        "dueAt": format_timestamp(run.due_at),
        "status": run.status.value,
        "reason": run.reason,
        "createdAt": format_timestamp(run.created_at),
        "startedAt": format_timestamp(run.started_at),
        "endedAt": format_timestamp(run.ended_at),
        "replayOf": run.replay_of,
        "stuck": _stuck_view(run),
    }


def latest_run_view(run: LatestRun) -> View:
    """Return the JSON view of the newest run of a subscription."""
    return {
        "id": run.id,
        "status": run.status.value,
        "trigger": run.trigger,
        "createdAt": format_timestamp(run.created_at),
        "startedAt": format_timestamp(run.started_at),
        "endedAt": format_timestamp(run.ended_at),
    }


def _stuck_view(run: Run) -> View | None:
    if not run.is_stuck:
        return None
    return {"since": format_timestamp(run.stuck_since), "reason": run.stuck_reason}


def run_details(run: Run) -> View:
    """Return the JSON view of a run with its params, payload, context and state.

    Credentials are masked.
    """
    return {
        **run_view(run),
        "params": mask_literals(dict(run.params), ("params",)),
        "payload": dict(run.payload),
        "context": mask_credentials(dict(run.context)),
        "state": mask_credentials(dict(run.state)),
    }


def task_view(task: TaskInstance) -> View:
    """Return the JSON view of a task instance; credentials are masked."""
    return {
        "id": task.id,
        "run": task.run_id,
        "name": task.name,
        "index": task.index,
        "of": task.of,
        "phase": task.phase,
        "kind": task.kind,
        "status": task.status.value,
        "attempts": task.attempts,
        "input": mask_credentials(task.input),
        "output": mask_credentials(task.output),
        "error": task.error,
        "code": task.code,
        "reason": task.reason,
        "createdAt": format_timestamp(task.created_at),
        "startedAt": format_timestamp(task.started_at),
        "waitsUntil": format_timestamp(task.waits_until),
        "completedBy": task.completed_by,
        "endedAt": format_timestamp(task.ended_at),
    }


def dead_letter_view(letter: DeadLetter) -> View:
    """Return the JSON view of a dead letter with the last action."""
    last = letter.actions[-1] if letter.actions else None
    return {
        "id": letter.id,
        "status": letter.status.value,
        "run": letter.run_id,
        "subscription": letter.subscription,
        "subscriptionId": letter.subscription_id,
        "definition": letter.definition,
        "trigger": letter.trigger,
        "task": letter.task,
        "reason": letter.reason,
        "replayOf": letter.replay_of,
        "createdAt": format_timestamp(letter.created_at),
        "lastAction": None if last is None else letter_action_view(last),
    }


def letter_action_view(action: LetterAction) -> View:
    """Return the JSON view of what a person did with a dead letter."""
    return {
        "action": action.action,
        "actor": action.actor,
        "reason": action.reason,
        "createdAt": format_timestamp(action.created_at),
        "run": action.run_id,
        "result": None if action.run_status is None else action.run_status.value,
        "resultReason": action.run_reason,
        "newRevision": action.new_revision,
        "newKeys": action.new_keys,
    }


def breaker_view(breaker: Breaker) -> View:
    """Return the JSON view of a circuit breaker."""
    return {
        "name": breaker.name,
        "status": breaker.status.value,
        "since": format_timestamp(breaker.changed_at),
        "reason": breaker.reason,
        "openUntil": format_timestamp(breaker.open_until),
        "probing": [probe.task_id for probe in breaker.probes],
        "openings": breaker.openings,
    }


def worker_view(worker: WorkerBeat) -> View:
    """Return the JSON view of a living worker."""
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "startedAt": format_timestamp(worker.started_at),
        "status": "failing" if worker.troubles else "running",
        "troubles": [
            {"loop": trouble.loop, "error": trouble.error, "failures": trouble.failures}
            for trouble in worker.troubles
        ],
    }
