"""Checks of the policies of a task: expressions over errors, and limits without an effect."""

from collections.abc import Collection, Iterator, Sequence

from activityctl.domain.cel.static_check import CONDITION, check_meaning
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.failure import ERROR_SCOPE
from activityctl.domain.tasks.guard import KINDS_WITH_HOST
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.tasks.retry import RetryPolicy
from activityctl.domain.values.finding import Finding, unknown_field


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


def check_limits(limits: Sequence[Limit]) -> Iterator[Finding]:
    """Yield limits that are declared twice."""
    seen: set[str] = set()
    for index, limit in enumerate(limits):
        if limit.name in seen:
            yield Finding((index, "name"), f"{limit.name!r} is used twice")
        seen.add(limit.name)


def check_named_limit(task: TaskTemplate, declared: Collection[str]) -> Iterator[Finding]:
    """Yield the name of a limit that the definition does not declare."""
    if task.limit is not None and task.limit not in declared:
        reason = unknown_field(task.limit, declared).replace("unknown field", "no such limit:")
        yield Finding(("limit",), reason if declared else f"{reason}; declare it in spec.limits")


def check_policies(task: TaskTemplate, reporting: frozenset[str]) -> Iterator[Finding]:
    """Yield what is wrong with the policies; `reporting` are the kinds that report progress."""
    has_host = not KINDS_WITH_HOST.isdisjoint(task.kinds)
    if task.breaker is not None and task.breaker.name is None and not has_host:
        reason = "needs a name: only http and ai have a host"
        yield Finding(("breaker",), reason, at_key=True)
    yield from check_retry(task.retry)
    if task.timeout.heartbeat is not None and not reporting.issuperset(task.kinds):
        kind = ", ".join(task.kinds)
        reason = f"has no effect: a task of kind {kind} reports no progress; use startToClose"
        yield Finding(("timeout", "heartbeat"), reason, at_key=True)
