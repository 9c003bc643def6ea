"""What a command says, and how it ends, when Temporal's schedules are not yet as wanted."""

from activityctl.cli.options import parse_seconds
from activityctl.cli.session import Session
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import RefusedError, WaitTimeoutError
from activityctl.operations.gitops.apply import Applied


def seconds_to_wait(timeout: str, *, wait: bool | None) -> float:
    """Return for how long the schedules are waited for; UsageError for no duration."""
    return 0.0 if wait is False else parse_seconds(timeout)


def say_pending(session: Session, applied: Applied, *, waited: bool = True) -> None:
    """Say on stderr what is recorded but not yet carried out, and what is known of it."""
    if applied.pending:
        session.err.print(pending_text(applied, waited=waited))


def report_pending(
    session: Session, applied: Applied, *, wait: bool | None, is_told: bool = False
) -> None:
    """Say what is pending, unless the result told it; an exit that is not 0 is raised.

    RefusedError for what Temporal refused, WaitTimeoutError for what `--wait` did not see.
    """
    if applied.refused:
        raise RefusedError(pending_text(applied), hint="activityctl get schedules")
    if applied.pending and wait:
        hint = "activityctl doctor" if applied.has_worker else "activityctl status"
        raise WaitTimeoutError(f"{pending_text(applied)}; the change is recorded", hint=hint)
    if not is_told:
        say_pending(session, applied, waited=wait is not False)


def pending_text(applied: Applied, *, waited: bool = True) -> str:
    """Return how many schedules are not as wanted, and why, as far as that is known."""
    head = count_noun(applied.pending, "schedule is", "schedules are")
    return f"{head} not yet as wanted: {_reason(applied, waited=waited)}"


def _reason(applied: Applied, *, waited: bool) -> str:
    if applied.refused:
        more = len(applied.refused) - 1
        return applied.refused[0] + (f", and {more} more" if more else "")
    if not applied.has_worker:
        return "no worker is alive; one that starts will carry it out"
    if count := len(applied.unanswered):
        schedules = count_noun(count, "schedule")
        return f"Temporal did not answer in time for {schedules}; the worker tries again"
    if waited:
        return "a worker is alive and still at it, and Temporal has refused nothing"
    return "not waited for"
