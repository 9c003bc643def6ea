"""Checks of the policies of a task: expressions over errors, and limits without an effect."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from activityctl.domain.cel.static_check import CONDITION, check_meaning
from activityctl.domain.manifests.context import ContextTemplate
from activityctl.domain.manifests.execution_checks import check_execution_policy
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.breaker import BreakerPolicy
from activityctl.domain.tasks.failure import ERROR_SCOPE
from activityctl.domain.tasks.guard import KINDS_WITH_HOST
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.tasks.retry import RetryPolicy
from activityctl.domain.values.finding import Finding, unknown_field

WITHOUT_NEIGHBOUR: Final = frozenset({"env", "events", "file", "runs", "state"})
"""The context sources that ask nothing outside of the worker and its Postgres."""


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


def check_named_limit(limit: str | None, declared: Collection[str]) -> Iterator[Finding]:
    """Yield the name of a limit that the definition does not declare."""
    if limit is not None and limit not in declared:
        reason = unknown_field(limit, declared).replace("unknown field", "no such limit:")
        yield Finding(("limit",), reason if declared else f"{reason}; declare it in spec.limits")


def check_source_policies(source: ContextTemplate, declared: Collection[str]) -> Iterator[Finding]:
    """Yield what is wrong with the policies of a context source."""
    yield from check_retry(source.retry)
    given = {"breaker": source.breaker, "limit": source.limit}
    if WITHOUT_NEIGHBOUR.issuperset(source.kinds):
        for name in (name for name, policy in given.items() if policy is not None):
            kind = ", ".join(source.kinds)
            reason = f"has no effect: a source of kind {kind} asks no neighbour"
            yield Finding((name,), reason, at_key=True)
        return
    yield from check_named_limit(source.limit, declared)
    yield from _check_breaker(source.breaker, source.kinds)


def _check_breaker(breaker: BreakerPolicy | None, kinds: Collection[str]) -> Iterator[Finding]:
    if breaker is not None and breaker.name is None and KINDS_WITH_HOST.isdisjoint(kinds):
        reason = "needs a name: only http and ai have a host"
        yield Finding(("breaker",), reason, at_key=True)


def check_policies(task: TaskTemplate, reporting: frozenset[str]) -> Iterator[Finding]:
    """Yield what is wrong with the policies; `reporting` are the kinds that report progress."""
    yield from _check_breaker(task.breaker, task.kinds)
    yield from check_retry(task.retry)
    yield from check_execution_policy(task)
    if task.timeout.heartbeat is not None and not reporting.issuperset(task.kinds):
        kind = ", ".join(task.kinds)
        reason = f"has no effect: a task of kind {kind} reports no progress; use startToClose"
        yield Finding(("timeout", "heartbeat"), reason, at_key=True)
