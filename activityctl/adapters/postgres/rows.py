"""Converts rows of the tables to domain values."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from activityctl.domain.gitops.history import Origin, PastChange
from activityctl.domain.manifests.definition import DefinitionSpec, Revision
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.tasks.attempt import Attempt, AttemptOutcome
from activityctl.domain.tasks.breaker import Breaker, BreakerStatus, Probe
from activityctl.domain.tasks.guard import stored_guard
from activityctl.domain.values.ids import RevisionId, RunId, SubscriptionId, TaskId, canonical_json
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.shared import Shared

Row = Mapping[str, Any]

RUN_COLUMNS = """r.id, r.subscription_id, s.name AS subscription, r.definition, r.revision_id,
    r.trigger, r.firing_key, r.due_at, r.status, r.created_at, r.params, r.context, r.state,
    r.payload, r.reason, r.started_at, r.ended_at, r.ending, r.concurrency_key,
    r.throttle_key, r.priority, r.cancel_reason, r.events, s.failures AS failures_before,
    r.cancel_requested_at IS NOT NULL AS is_cancel_requested,
    s.status = 'active' AS owner_is_active, coalesce(s.paused_by_run = r.id, false) AS pauses,
    r.stuck_since, r.stuck_reason, r.replay_of, r.key_run, r.first_key,
    r.fresh_keys"""
TASK_COLUMNS = """t.id, t.run_id, t.name, t.index, t.of, t.phase, t.kind, t.status, t.created_at,
    t.input, t.output, t.error, t.reason, t.attempts, t.started_at, t.ended_at, t.worker,
    t.attempt_at, t.lane, t.waits_until, t.completed_by, t.code,
    t.guard, t.idempotency_key"""
SUBSCRIPTION_COLUMNS = """s.id, s.name, s.definition, s.params, s.triggers, s.account,
    s.status, s.created_at, s.updated_at, s.labels, s.annotations, s.state, s.applyset, s.failures,
    s.pause_reason, s.paused_at, s.paused_by_run"""
PLANNED_SUBSCRIPTION_COLUMNS = """s.id, s.name, s.definition, s.params, s.triggers, s.account,
    s.status, s.created_at, s.updated_at, s.labels, s.annotations, '{}'::jsonb AS state, s.applyset,
    s.failures, NULL AS pause_reason, s.paused_at, NULL AS paused_by_run"""
"""Without what runs have written: a login that only plans may not read that."""
_OFTEN_EQUAL: Final = ("definition", "applyset", "created_at", "updated_at")
REVISION_COLUMNS = "v.id, v.definition, v.number, v.spec, v.created_at"


def run_of(row: Row) -> Run:
    """Return the run of a row with RUN_COLUMNS."""
    return Run(
        id=RunId(row["id"]),
        subscription_id=SubscriptionId(row["subscription_id"]),
        subscription=row["subscription"],
        definition=row["definition"],
        revision_id=RevisionId(row["revision_id"]),
        trigger=row["trigger"],
        firing_key=row["firing_key"],
        due_at=row["due_at"],
        status=RunStatus(row["status"]),
        created_at=row["created_at"],
        params=row["params"],
        context=row["context"],
        state=row["state"],
        payload=row["payload"],
        reason=row["reason"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        ending=RunStatus(row["ending"]) if row["ending"] else None,
        concurrency_key=row["concurrency_key"],
        throttle_key=row["throttle_key"],
        priority=row["priority"],
        events=tuple(row["events"] or ()),
        is_cancel_requested=row["is_cancel_requested"],
        cancel_reason=row["cancel_reason"],
        failures_before=row["failures_before"],
        owner_is_active=row["owner_is_active"],
        pauses=row["pauses"],
        stuck_since=row["stuck_since"],
        stuck_reason=row["stuck_reason"],
        replay_of=RunId(row["replay_of"]) if row["replay_of"] else None,
        key_run=RunId(row["key_run"]) if row["key_run"] else None,
        first_key=row["first_key"],
        fresh_keys=row["fresh_keys"],
    )


def task_of(row: Row) -> TaskInstance:
    """Return the task instance of a row with TASK_COLUMNS."""
    return TaskInstance(
        id=TaskId(row["id"]),
        run_id=RunId(row["run_id"]),
        name=row["name"],
        index=row["index"],
        of=row["of"],
        phase=row["phase"],
        kind=row["kind"],
        status=TaskStatus(row["status"]),
        created_at=row["created_at"],
        input=row["input"],
        output=row["output"],
        error=row["error"],
        reason=row["reason"],
        attempts=row["attempts"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        worker=row["worker"],
        attempt_at=row["attempt_at"],
        lane=TaskId(row["lane"]) if row["lane"] else None,
        waits_until=row["waits_until"],
        completed_by=row["completed_by"],
        code=row["code"],
        guard=stored_guard(row["guard"]),
        idempotency_key=row["idempotency_key"],
    )


def attempt_of(row: Row) -> Attempt:
    """Return the attempt of a row of attempts."""
    return Attempt(
        row["task_id"],
        row["number"],
        row["worker"],
        row["started_at"],
        AttemptOutcome(row["outcome"]),
        row["ended_at"],
        row["error"],
        row["code"],
    )


def breaker_of(row: Row) -> Breaker:
    """Return the breaker of a row of breakers."""
    return Breaker(
        row["name"],
        BreakerStatus(row["status"]),
        row["changed_at"],
        row["reason"],
        row["open_until"],
        tuple(Probe(key, datetime.fromisoformat(at)) for key, at in row["probes"].items()),
        row["succeeded"],
        row["openings"],
    )


def subscription_of(row: Row) -> Subscription:
    """Return the subscription of a row with SUBSCRIPTION_COLUMNS."""
    return Subscription(
        id=SubscriptionId(row["id"]),
        name=row["name"],
        definition=row["definition"],
        params=row["params"],
        triggers=row["triggers"],
        status=SubscriptionStatus(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        labels=row["labels"],
        annotations=row["annotations"],
        account=row["account"],
        state=row["state"],
        applyset=row["applyset"],
        failures=row["failures"],
        pause_reason=row["pause_reason"],
        paused_at=row["paused_at"],
        paused_by_run=row["paused_by_run"],
    )


def planned_subscription_of(row: Row, shared: Shared) -> Subscription:
    """Return the subscription of a row; what others have too, it shares with them."""
    same = {name: shared.value(row[name]) for name in _OFTEN_EQUAL}
    texts = {name: shared.texts(row[name]) for name in ("labels", "annotations")}
    empty = {name: shared.texts({}) for name in ("params", "triggers", "state") if not row[name]}
    return subscription_of({**row, **same, **texts, **empty})


def revision_of(row: Row) -> Revision:
    """Return the revision of a row with REVISION_COLUMNS."""
    return Revision(
        RevisionId(row["id"]), row["definition"], row["number"], row["spec"], row["created_at"]
    )


def spec_of(stored: Mapping[str, Any]) -> DefinitionSpec:
    """Return the typed spec of a stored revision."""
    return DefinitionSpec.model_validate_json(canonical_json(stored))


def log_entry_of(row: Row) -> LogEntry:
    """Return the log entry of a row of log_entries."""
    return LogEntry(
        row["subscription_id"],
        row["run_id"],
        row["message"],
        row["level"],
        row["created_at"],
        row["metadata"],
        row["id"],
        row["transaction"],
    )


def past_change_of(row: Row) -> PastChange:
    """Return the history entry of a row of apply_changes joined with applies."""
    return PastChange(
        row["number"],
        row["kind"],
        row["name"],
        row["action"],
        row["created_at"],
        Origin(row["command"], row["actor"], row["source_commit"]),
        row["applyset"],
        tuple(row["fields"]),
        row["document"],
        row["revision_id"],
    )
