"""Show the result of an apply as lines of text."""

from activityctl.cli.render.output import styled
from activityctl.cli.session import Session
from activityctl.domain.gitops.plan import Action, Plan


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
