"""The JSON of validate, apply, delete and history, for the command line and for HTTP."""

from collections.abc import Sequence

from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.gitops.history import PastChange, rolled_back_to
from activityctl.domain.gitops.plan import Action
from activityctl.domain.manifests.document import masked_field_views
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.values.json_form import API_VERSION, View, format_timestamp, problem_view
from activityctl.operations.gitops.apply import Applied
from activityctl.operations.gitops.history import Deletion
from activityctl.operations.gitops.validate import Validation


def validation_view(validation: Validation) -> View:
    """Return every manifest that could be read, and every problem."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ValidateResult",
        "objects": [
            {
                "kind": checked.kind,
                "name": checked.name,
                "file": checked.file,
                "line": checked.line,
                "valid": checked.is_valid,
                "note": checked.note,
            }
            for checked in validation.objects
        ],
        "secrets": [{"name": name, "usedBy": of} for name, of in validation.secrets.items()],
        "problems": [problem_view(problem) for problem in validation.problems],
    }


def applied_view(applied: Applied) -> View:
    """Return the changes, and the schedules that are not yet updated in Temporal."""
    plan = applied.plan
    return {
        "apiVersion": API_VERSION,
        "kind": "ApplyResult",
        "applyset": plan.applyset,
        "changes": [
            {
                "kind": change.kind,
                "name": change.name,
                "action": change.action.value,
                **({"renamedFrom": change.renamed_from} if change.renamed_from else {}),
            }
            for change in plan.changes
        ],
        "summary": {action.value: plan.count(action) for action in Action},
        "schedules": {
            "pending": applied.pending,
            "refused": len(applied.refused),
            "errors": list(applied.errors),
            "hasWorker": applied.has_worker,
        },
    }


def deletion_view(preview: View, applied: Applied) -> View:
    """Return what was deleted with an object, and what goes on without it, as in the preview."""
    view = applied_view(applied)
    schedules = {**preview["schedules"], **view["schedules"]}
    return {**view, **preview, "kind": "DeleteResult", "schedules": schedules}


def deletion_preview_view(deletion: Deletion) -> View:
    """Return what would be deleted with an object, and what would go on without it."""
    deleted = [
        {"id": row.wanted.id, "subscription": row.subscription, "trigger": row.wanted.trigger}
        for row in deletion.schedules
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": "DeletePlan",
        "applyset": deletion.applyset,
        "changes": [{"kind": deletion.kind, "name": deletion.name, "action": Action.DELETED.value}],
        "schedules": {"deleted": deleted},
        "openRuns": [run_view(run) for run in deletion.open_runs],
        "cancelledRuns": [run_view(run) for run in deletion.queued_runs],
        "waitingFirings": deletion.waiting_firings,
        "gatheredEvents": deletion.gathered_events,
    }


def change_views(changes: Sequence[PastChange]) -> list[View]:
    """Return the changes of an object, without the values of credentials."""
    return [
        {
            "number": change.number,
            "kind": change.kind,
            "name": change.name,
            "action": change.action,
            "at": format_timestamp(change.at),
            "command": change.origin.command,
            "actor": change.origin.actor,
            "sourceCommit": change.origin.source_commit,
            "applyset": change.applyset,
            "fields": masked_field_views(change.fields),
            "revision": change.revision_id,
            "document": mask_literals(change.document),
            "rolledBackTo": rolled_back_to(change, changes),
        }
        for change in changes
    ]
