"""The JSON views of replays: what would be called again, what differs, and what was stored."""

from activityctl.domain.manifests.document import FieldChange, field_view, value_differences
from activityctl.domain.runs.rehearsal import RehearsedTask
from activityctl.domain.runs.replay_request import ReplayOutcome
from activityctl.domain.runs.run import address_of
from activityctl.domain.values.credentials import mask_credentials
from activityctl.domain.values.json_form import View
from activityctl.operations.runs.replay_runs import PlannedReplay


def planned_view(planned: PlannedReplay) -> View:
    """Return the view; credentials are masked."""
    run, rehearsal = planned.before.run, planned.rehearsal
    end = rehearsal.end
    return {
        "replayOf": run.id,
        "run": rehearsal.run.id,
        "subscription": run.subscription,
        "definition": rehearsal.run.definition,
        "revision": planned.revision.number,
        "isSameRevision": run.revision_id == planned.revision.id,
        "then": {"status": run.status.value, "reason": run.reason},
        "end": None if end is None else {"status": end.status.value, "reason": end.reason},
        "contextToResolve": list(rehearsal.to_resolve),
        "rules": [
            {"when": rule.when, "held": rule.held, "holds": rule.holds, "error": rule.error}
            for rule in rehearsal.rules
        ],
        "tasks": [_task_view(task, relays=planned.relays) for task in rehearsal.tasks],
    }


def outcome_view(outcome: ReplayOutcome) -> View:
    """Return the view of what became of the wish to replay one run."""
    return {"id": outcome.run_id, "replayOf": outcome.replay_of, "outcome": outcome.outcome}


def _task_view(rehearsed: RehearsedTask, *, relays: bool) -> View:
    task, before = rehearsed.task, rehearsed.before
    changes: tuple[FieldChange, ...] = ()
    if rehearsed.has_other_input and before is not None:
        then, now = mask_credentials(before.input), mask_credentials(task.input)
        changes = value_differences("", then, now)
    return {
        "name": address_of(task),
        "kind": task.kind,
        "phase": task.phase,
        "now": rehearsed.part.value,
        "then": None if before is None else before.status.value,
        "isCalled": rehearsed.calls_outside,
        "relays": relays if rehearsed.has_relay else None,
        "key": "new" if rehearsed.has_fresh_key else "same",
        "reason": task.error or task.reason,
        "input": mask_credentials(task.input),
        "inputChanges": [field_view(change) for change in changes],
    }
