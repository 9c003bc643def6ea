"""Fixtures of the tests of context sources: a run to look up values for."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values import ids
from activityctl.ports import ContextSource, SourceCall
from activityctl.steps.deciding import Deciding

Look = Callable[..., Awaitable[Any]]


@pytest.fixture
def run_of() -> Callable[..., Run]:
    """Make a run of a subscription that begins soon, so that what is stored now is before it."""

    def make(subscription: str = "mine", **fields: Any) -> Run:
        soon = datetime.now(UTC) + timedelta(minutes=1)
        run = Run(
            id=ids.RunId("run-1"),
            subscription_id=ids.subscription_id(subscription),
            subscription=subscription,
            definition="digest",
            revision_id=ids.RevisionId("rev-1"),
            trigger="manual",
            firing_key="k",
            due_at=soon,
            status=RunStatus.QUEUED,
            created_at=soon,
        )
        return replace(run, **fields)

    return make


@pytest.fixture
def look(run_of: Callable[..., Run]) -> Look:
    """Look up a value as the step does, without its retries."""

    async def resolve(source: ContextSource, run: Run | None = None, /, **body: Any) -> Any:
        typed = source.body.model_validate_json(json.dumps(body))
        call = SourceCall(run or run_of(), "value", 1, 2.0, Deciding())
        return await source.resolve(typed, call)

    return resolve
