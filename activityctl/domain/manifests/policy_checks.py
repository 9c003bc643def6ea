"""Checks of the policies of a task: expressions over errors, and limits without an effect."""

from collections.abc import Iterator

from activityctl.domain.cel.static_check import CONDITION, check_meaning
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.failure import ERROR_SCOPE
from activityctl.domain.values.finding import Finding


def check_policies(task: TaskTemplate, reporting: frozenset[str]) -> Iterator[Finding]:
    """Yield what is wrong with the policies; `reporting` are the kinds that report progress."""
    classes = (("nonRetryable", task.retry.non_retryable), ("retryable", task.retry.retryable))
    for field, failures in classes:
        if failures is None or failures.when is None:
            continue
        for problem in check_meaning(failures.when, ERROR_SCOPE, CONDITION):
            yield Finding(("retry", field, "when"), problem.reason, problem.offset)
    if task.timeout.heartbeat is not None and not reporting.issuperset(task.kinds):
        kind = ", ".join(task.kinds)
        reason = f"has no effect: a task of kind {kind} reports no progress; use startToClose"
        yield Finding(("timeout", "heartbeat"), reason, at_key=True)
