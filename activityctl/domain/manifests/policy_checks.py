"""Checks of the policies of a task: expressions over errors, and limits without an effect."""

from collections.abc import Iterator

from activityctl.domain.cel.static_check import CONDITION, check_meaning
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.failure import ERROR_SCOPE
from activityctl.domain.tasks.retry import RetryPolicy
from activityctl.domain.values.finding import Finding


def check_retry(retry: RetryPolicy) -> Iterator[Finding]:
    """Yield what is wrong with the expressions of a retry policy."""
    for field, failures in (
        ("nonRetryable", retry.non_retryable),
        ("retryable", retry.retryable),
    ):
        if failures is None or failures.when is None:
            continue
        for problem in check_meaning(failures.when, ERROR_SCOPE, CONDITION):
            yield Finding(("retry", field, "when"), problem.reason, problem.offset)


def check_policies(task: TaskTemplate, reporting: frozenset[str]) -> Iterator[Finding]:
    """Yield what is wrong with the policies; `reporting` are the kinds that report progress."""
    yield from check_retry(task.retry)
    if task.timeout.heartbeat is not None and not reporting.issuperset(task.kinds):
        kind = ", ".join(task.kinds)
        reason = f"has no effect: a task of kind {kind} reports no progress; use startToClose"
        yield Finding(("timeout", "heartbeat"), reason, at_key=True)
