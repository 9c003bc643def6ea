"""Report the alarms that a command wants otherwise and that are not yet updated in Temporal."""

from activityctl.cli.session import Session
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.time_range import parse_seconds
from activityctl.errors import RefusedError, WaitTimeoutError
from activityctl.operations.gitops.apply import Applied


def seconds_to_wait(timeout: str, *, wait: bool | None) -> float:
    """Return how long to wait for the alarms; UsageError if the timeout is no duration."""
    return 0.0 if wait is False else parse_seconds(timeout)


def print_pending(session: Session, applied: Applied, *, waited: bool = True) -> None:
    """Print on stderr how many alarms are not yet updated, and why."""
    if applied.pending:
        session.err.print(pending_text(applied, waited=waited))


def report_pending(
    session: Session, applied: Applied, *, wait: bool | None, is_shown: bool = False
) -> None:
    """Report the alarms that are not yet updated, unless the result has shown them.

    RefusedError if Temporal refused an alarm. WaitTimeoutError if `--wait` was given and an
    alarm is not yet updated.
    """
    if applied.refused:
        raise RefusedError(pending_text(applied), hint="activityctl get schedules")
    if applied.pending and wait:
        hint = "activityctl doctor" if applied.has_worker else "activityctl status"
        raise WaitTimeoutError(f"{pending_text(applied)}; the change is recorded", hint=hint)
    if not is_shown:
        print_pending(session, applied, waited=wait is not False)


def pending_text(applied: Applied, *, waited: bool = True) -> str:
    """Return how many alarms are not yet updated, and why as far as it is known."""
    head = count_noun(applied.pending, "alarm is", "alarms are")
    return f"{head} not yet updated in Temporal: {_reason(applied, waited=waited)}"


def _reason(applied: Applied, *, waited: bool) -> str:
    if applied.refused:
        more = len(applied.refused) - 1
        return applied.refused[0] + (f", and {more} more" if more else "")
    if not applied.has_worker:
        return "no worker is running; the next one will do it"
    if count := len(applied.unanswered):
        alarms = count_noun(count, "alarm")
        return f"Temporal did not answer in time for {alarms}; the worker tries again"
    if waited:
        return "a worker is running and has not finished; Temporal has refused nothing"
    return "the command did not wait"
