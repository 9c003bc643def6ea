"""The JSON view of a dead letter with its run: everything to understand and redo it."""

from collections.abc import Mapping

from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.runs.dead_letter import LetterOutcome
from activityctl.domain.runs.json_form import dead_letter_view, letter_action_view, task_view
from activityctl.domain.runs.run import Run
from activityctl.domain.tasks.attempt import attempt_view
from activityctl.domain.values.credentials import mask_credentials
from activityctl.domain.values.json_form import API_VERSION, View, format_timestamp
from activityctl.operations.runs.letters import LetterDetails


def letter_view(details: LetterDetails) -> View:
    """Return the view; credentials are masked."""
    run = details.run
    attempts = {
        task.id: [attempt_view(each) for each in details.attempts if each.task_id == task.id]
        for task in details.tasks
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "DeadLetter",
        **dead_letter_view(details.letter),
        "revision": run.revision_id,
        "revisionNumber": details.revision,
        "presentRevisionNumber": details.present_revision,
        "firing": {
            "trigger": run.trigger,
            "key": run.firing_key,
            "dueAt": format_timestamp(run.due_at),
            "payload": dict(run.payload),
            "events": list(run.events),
        },
        "runStatus": run.status.value,
        "startedAt": format_timestamp(run.started_at),
        "endedAt": format_timestamp(run.ended_at),
        "params": mask_literals(dict(run.params), ("params",)),
        "context": mask_credentials(dict(run.context)),
        "state": mask_credentials(dict(run.state)),
        "tasks": [{**task_view(task), "history": attempts[task.id]} for task in details.tasks],
        "actions": [letter_action_view(action) for action in details.letter.actions],
    }


def outcome_view(outcome: LetterOutcome, ended: Mapping[str, Run]) -> View:
    """Return what became of one letter; the status is that of its run, if it is among the ended."""
    run = ended.get(outcome.run_id or "")
    return {
        "id": outcome.id,
        "outcome": outcome.outcome,
        "run": outcome.run_id,
        "status": None if run is None else run.status.value,
    }
