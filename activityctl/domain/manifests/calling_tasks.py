"""Which tasks make calls for an on-chain account: each `webhook`, and a `python` that may."""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.manifests.task_template import TaskTemplate

WEBHOOK: Final = "webhook"
PYTHON: Final = "python"
EXECUTOR: Final = "executorAddress"
"""The field with which a strategy may return an executable."""


def calling_kind(task: TaskTemplate) -> str | None:
    """Return the kind of a task that makes calls; None if it makes none."""
    if WEBHOOK in task.kinds:
        return WEBHOOK
    if PYTHON in task.kinds and _body(task, PYTHON).get(EXECUTOR) is not None:
        return PYTHON
    return None


def calling_body(task: TaskTemplate) -> Mapping[str, Any]:
    """Return the body of a task that makes calls; empty if it makes none, or is not valid."""
    kind = calling_kind(task)
    return {} if kind is None else _body(task, kind)


def _body(task: TaskTemplate, kind: str) -> Mapping[str, Any]:
    body = (task.model_extra or {}).get(kind)
    return body if isinstance(body, Mapping) else {}
