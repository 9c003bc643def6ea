"""Objects that are made of JSON have the JSON that they were made of."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activityctl.adapters.remote.models import (
    entry_of,
    run_of,
    subscription_of,
    task_of,
    verdict_of,
    worker_of,
)
from activityctl.domain.events.json_form import verdict_view
from activityctl.domain.events.stored_event import Verdict, VerdictOutcome
from activityctl.domain.manifests.json_form import subscription_view
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.json_form import run_view, task_view, worker_view
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.runs.worker import LoopTrouble, WorkerBeat
from activityctl.domain.values import ids
from activityctl.domain.values.json_form import log_view
from activityctl.domain.values.log import Cursor, LogEntry

AT = datetime(2026, 5, 17, 12, 30, 1, 250_000, UTC)
LATER = AT + timedelta(seconds=2)
SUB = ids.SubscriptionId("s-1")
RUN = Run(
    ids.RunId("r-1"), SUB, "eu", "review", ids.RevisionId("v-1"), "daily", "k", AT,
    RunStatus.FAILED, AT,
)  # fmt: skip


@pytest.mark.parametrize(
    "run",
    [
        RUN,
        replace(RUN, reason="why", started_at=AT, ended_at=LATER, replay_of=ids.RunId("r-0")),
        replace(RUN, status=RunStatus.RUNNING, stuck_since=LATER, stuck_reason="other code"),
    ],
)
def test_runs(run: Run):
    assert run_view(run_of(run_view(run))) == run_view(run)
    assert run_of(run_view(run)).is_stuck == run.is_stuck


def test_subscriptions():
    status = SubscriptionStatus.PAUSED
    plain = Subscription(SUB, "eu", "review", {"a": 1}, {"daily": None}, status, AT, LATER)
    paused = replace(
        plain, labels={"team": "eu"}, pause_reason="why", paused_at=AT, paused_by_run=RUN.id
    )
    for owner in (plain, paused):
        assert subscription_of(subscription_view(owner)) == owner


def test_tasks():
    task = TaskInstance(
        ids.TaskId("t-1"), RUN.id, "charge", 2, "tasks", "manual", TaskStatus.RUNNING, AT,
        of=3, input={"a": 1}, output=[1], error="e", reason="why", attempts=2, started_at=AT,
        ended_at=LATER, waits_until=LATER, completed_by="ada", code="c",
    )  # fmt: skip
    assert task_of(task_view(task)) == task


def test_workers_verdicts_and_entries():
    worker = WorkerBeat("w", "host", 7, "1.0", AT, (LoopTrouble("firing", AT, 3, "no"),))
    assert worker_of(worker_view(worker)) == worker
    verdict = Verdict(ids.EventId("e"), SUB, "rung", VerdictOutcome.WOKEN, AT, "why", "key")
    view = verdict_view(verdict, "eu", verdict.run_id)
    seen = verdict_of(verdict.event_id, view)
    assert verdict_view(seen, "eu", seen.run_id) == view
    entry = LogEntry(SUB, RUN.id, "hello", "info", AT, {"task": "a"}, 17, 4)
    made = entry_of(log_view(entry), Cursor(4, 17))
    assert (made, made.cursor) == (entry, entry.cursor)
