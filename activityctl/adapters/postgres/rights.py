"""The rights of each role of the database, in one table; `schema.roles` grants them.

A test compares this table with the schema: each table and each function needs a line here, so
that a new one cannot be forgotten. The page `database-roles` of the guide shows the same table.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """A group role; its name in the cluster has a prefix, such as `activityctl_read`."""

    READ = "read"
    """Looks at everything: `plan`, `diff`, `get`, `describe`, `logs`, `serve`."""
    PLAN = "plan"
    """Plans: `plan` and `diff`. It sees manifests, but no events, inputs, outputs or states."""
    EMIT = "emit"
    """Hands in events, and cannot read them."""
    APPLY = "apply"
    """Changes automations and acts on runs: `apply`, `trigger`, `pause`, `cancel`, `replay`."""
    WORKER = "worker"
    """Runs a worker. It cannot change definitions, nor what the signer keeps."""
    SIGNER = "signer"
    """Runs a signer. It alone writes nonces, spends and signed transactions."""


Rights = Mapping[Role, str]
"""The privileges of each role, as GRANT takes them; empty for none."""

_LOCK: Final = "UPDATE"
"""What LOCK TABLE needs. The tables of locks have no columns worth to change."""


def _rights(
    *,
    read: str = "",
    plan: str = "",
    emit: str = "",
    apply: str = "",
    worker: str = "",
    signer: str = "",
) -> Rights:
    return {
        Role.READ: read,
        Role.PLAN: plan,
        Role.EMIT: emit,
        Role.APPLY: apply,
        Role.WORKER: worker,
        Role.SIGNER: signer,
    }


TABLES: Final[Mapping[str, Rights]] = {
    "alembic_version": _rights(
        read="SELECT",
        plan="SELECT",
        emit="SELECT",
        apply="SELECT",
        worker="SELECT",
        signer="SELECT",
    ),
    "definitions": _rights(
        read="SELECT",
        plan="SELECT",
        apply="SELECT, INSERT, UPDATE",
        worker="SELECT",
        signer="SELECT",
    ),
    "revisions": _rights(
        read="SELECT", plan="SELECT", apply="SELECT, INSERT", worker="SELECT", signer="SELECT"
    ),
    "subscriptions": _rights(
        read="SELECT",
        plan="SELECT (id, name, definition, params, triggers, account, labels, annotations, "
        "status, created_at, updated_at, applyset, failures, paused_at)",
        apply="SELECT, INSERT, UPDATE",
        worker="SELECT, UPDATE (status, state, failures, pause_reason, paused_by_run, paused_at, "
        "updated_at)",
        signer="SELECT (id, definition, account, status)",
    ),
    "calendars": _rights(
        read="SELECT", plan="SELECT", apply="SELECT, INSERT, UPDATE", worker="SELECT"
    ),
    "event_sources": _rights(
        read="SELECT",
        plan="SELECT",
        apply="SELECT, INSERT, UPDATE",
        worker="SELECT",
    ),
    "source_traffic": _rights(
        read="SELECT",
        apply="SELECT",
        worker="SELECT, INSERT, UPDATE",
    ),
    "refused_requests": _rights(
        read="SELECT",
        apply="SELECT",
        worker="SELECT, INSERT, DELETE",
    ),
    "applies": _rights(read="SELECT", apply="SELECT, INSERT", worker="SELECT"),
    "apply_changes": _rights(read="SELECT", apply="SELECT, INSERT"),
    "answered_requests": _rights(apply="SELECT, INSERT, DELETE"),
    "schedules": _rights(
        read="SELECT", apply="SELECT, INSERT, UPDATE, DELETE", worker="SELECT, UPDATE"
    ),
    "alarms": _rights(read="SELECT", apply="SELECT", worker="SELECT, INSERT, UPDATE, DELETE"),
    "backfills": _rights(read="SELECT", apply="SELECT, INSERT, UPDATE", worker="SELECT"),
    "firings": _rights(
        read="SELECT",
        plan="SELECT (subscription_id, revision_id, dispatched_at)",
        apply="SELECT, INSERT, UPDATE (backfill_id, revision_id, params, dispatched_at)",
        worker="SELECT, INSERT, UPDATE, DELETE",
    ),
    "runs": _rights(
        read="SELECT",
        plan="SELECT (subscription_id, ended_at)",
        apply="SELECT, INSERT, UPDATE (cancel_requested_at)",
        worker="SELECT, INSERT, UPDATE, DELETE",
        signer="SELECT (id, subscription_id, revision_id)",
    ),
    "tasks": _rights(
        read="SELECT",
        apply="SELECT",
        worker="SELECT, INSERT, UPDATE, DELETE",
        signer="SELECT (id, run_id, name, idempotency_key)",
    ),
    "waits": _rights(
        read="SELECT",
        apply="SELECT, UPDATE (answered_at, answered_by, output, error)",
        worker="SELECT, INSERT, UPDATE, DELETE",
    ),
    "attempts": _rights(read="SELECT", apply="SELECT", worker="SELECT, INSERT, UPDATE, DELETE"),
    "breakers": _rights(
        read="SELECT", apply="SELECT, INSERT, UPDATE", worker="SELECT, INSERT, UPDATE"
    ),
    "limits": _rights(read="SELECT", apply="SELECT", worker="SELECT, INSERT, UPDATE"),
    "holds": _rights(read="SELECT", apply="SELECT", worker="SELECT, INSERT, UPDATE, DELETE"),
    "log_entries": _rights(read="SELECT", apply="SELECT, INSERT", worker="SELECT, INSERT, DELETE"),
    "dead_letters": _rights(read="SELECT", apply="SELECT", worker="SELECT, INSERT, DELETE"),
    "letter_actions": _rights(
        read="SELECT", apply="SELECT, INSERT", worker="SELECT, INSERT, DELETE"
    ),
    "hooks": _rights(
        read="SELECT",
        worker="SELECT, INSERT, UPDATE, DELETE",
        signer="SELECT (key, subscription_id, run_id, request_id, response, answered_at, outcome)",
    ),
    "hook_counts": _rights(read="SELECT", worker="SELECT, INSERT, UPDATE"),
    "signed_calls": _rights(
        read="SELECT", worker="SELECT (hook_key, at)", signer="SELECT, INSERT, UPDATE"
    ),
    "spends": _rights(read="SELECT", worker="SELECT", signer="SELECT, INSERT, UPDATE"),
    "relay_transactions": _rights(
        read="SELECT",
        worker="SELECT, UPDATE (state, sent_at, ended_at, reorgs, block_number, block_hash)",
        signer="SELECT, INSERT",
    ),
    "relayer_nonces": _rights(read="SELECT", worker="SELECT", signer="SELECT, INSERT, UPDATE"),
    "relay_tasks": _rights(read="SELECT", worker="SELECT, INSERT, UPDATE, DELETE"),
    "late_runs": _rights(read="SELECT", apply="SELECT", worker="SELECT, INSERT, DELETE"),
    "notices": _rights(
        read="SELECT", apply="SELECT, INSERT", worker="SELECT, INSERT, UPDATE, DELETE"
    ),
    "troubles": _rights(
        read="SELECT", apply="SELECT, INSERT", worker="SELECT, INSERT, UPDATE, DELETE"
    ),
    "stuck_workflows": _rights(
        read="SELECT", apply="SELECT", worker="SELECT, INSERT, UPDATE, DELETE"
    ),
    "workers": _rights(read="SELECT", apply="SELECT", worker="SELECT, INSERT, UPDATE, DELETE"),
    "restores": _rights(read="SELECT", apply="SELECT", worker="SELECT, UPDATE (settled_at, ended)"),
    "events": _rights(read="SELECT", apply="SELECT", worker="SELECT, UPDATE (routed_at), DELETE"),
    "verdicts": _rights(
        read="SELECT", apply="SELECT, INSERT, DELETE", worker="SELECT, INSERT, UPDATE, DELETE"
    ),
    "gatherings": _rights(
        read="SELECT (subscription_id, state)",
        plan="SELECT (subscription_id, state)",
        apply="SELECT (subscription_id, state)",
        worker="SELECT, INSERT, UPDATE, DELETE",
    ),
    "chains": _rights(read="SELECT", apply="SELECT", worker="SELECT, INSERT, UPDATE"),
    "chain_readings": _rights(
        read="SELECT", apply="SELECT", worker="SELECT, INSERT, UPDATE, DELETE"
    ),
    "chain_blocks": _rights(worker="SELECT, INSERT, UPDATE, DELETE"),
    "chain_watches": _rights(read="SELECT", apply="SELECT", worker="SELECT, INSERT, UPDATE"),
    "api_tokens": _rights(
        read="SELECT (id, name, scopes, created_at, created_by, expires_at, revoked_at, "
        "last_used_at, last_used_from)",
        apply="SELECT, INSERT, UPDATE",
    ),
    "audit_entries": _rights(read="SELECT", apply="SELECT, INSERT", worker="SELECT (at)"),
    "catalog_lock": _rights(apply=_LOCK, worker=_LOCK),
    "router_lock": _rights(worker=_LOCK),
    "reconciler_lock": _rights(worker=_LOCK),
    "drift_lock": _rights(worker=_LOCK),
    "backfills_lock": _rights(worker=_LOCK),
    "chains_lock": _rights(worker=_LOCK),
    "gate_locks": _rights(worker="SELECT, UPDATE"),
}
"""Who may do what with each table. Nobody but the owner truncates or changes tables."""

_CALL: Final = "EXECUTE"

FUNCTIONS: Final[Mapping[str, Rights]] = {
    "add_events(text[], text[], text[], text[], text[], timestamptz[], text[], text[])": _rights(
        emit=_CALL, worker=_CALL
    ),
    "same_events(text[], text[])": _rights(emit=_CALL, worker=_CALL),
    "keep_events(text[])": _rights(apply=_CALL),
    "take_lock(text, boolean, boolean, bigint)": _rights(apply=_CALL, worker=_CALL),
    "take_old_lock(bigint, boolean, boolean)": _rights(apply=_CALL, worker=_CALL),
    "is_held_by_writer(bigint)": _rights(apply=_CALL, worker=_CALL),
    "take_gates(bigint[], boolean[])": _rights(worker=_CALL),
    "forget_audit(interval, integer)": _rights(worker=_CALL),
    "forget_spends(interval, integer)": _rights(worker=_CALL),
    "refuse_foreign_logs()": _rights(),
}
"""Who may call each function. The functions of locks need the rights to the tables as well."""


def roles_with_rights(name: str) -> list[str]:
    """Return the roles with rights on a table or function, such as `read (SELECT)`."""
    functions = {signature.partition("(")[0]: rights for signature, rights in FUNCTIONS.items()}
    found = TABLES.get(name) or functions.get(name) or {}
    return [
        f"{role} ({re.sub(r' [(][^)]*[)]', '', privileges)})"
        for role, privileges in found.items()
        if privileges
    ]
