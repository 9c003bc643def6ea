"""Show the result of an apply as lines of text and as JSON."""

from typing import Any

from activityctl.cli.render.output import styled
from activityctl.cli.session import Session
from activityctl.domain.gitops.plan import Action, Plan
from activityctl.domain.values.json_form import API_VERSION
from activityctl.operations.gitops.apply import Applied


def print_changes(session: Session, plan: Plan) -> None:
    """Print one line for each change, and the summary on stderr, as kubectl does."""
    for change in plan.changes:
        name = f"{change.kind.lower()}/{change.name} "
        renamed = f" (renamed from {change.renamed_from})" if change.renamed_from else ""
        if session.out.is_terminal:
            from rich.text import Text

            line = Text(name).append_text(styled(change.action.value)).append(renamed)
            session.out.print(line)
        else:
            session.out.file.write(f"{name}{change.action.value}{renamed}\n")
    counts = [f"{plan.count(action)} {action.value}" for action in Action if plan.count(action)]
    session.err.print(", ".join(counts))


def applied_view(applied: Applied) -> dict[str, Any]:
    """Return the changes, and the schedules that are not yet updated in Temporal, as JSON."""
    plan = applied.plan
    return {
        "apiVersion": API_VERSION,
        "kind": "ApplyResult",
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
            "errors": list(applied.errors),
            "hasWorker": applied.has_worker,
        },
    }
