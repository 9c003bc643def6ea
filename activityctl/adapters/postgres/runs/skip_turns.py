"""Skipped runs that have onSkip tasks in Postgres: whose turn it is, and how they are let in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, to_storable_text
from activityctl.adapters.postgres.runs import gate_rows
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.concurrency import GateResult, with_skip_turn
from activityctl.domain.runs.skipping import SKIP_TASKS, limit_name
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values.ids import RunId, SubscriptionId

# As `domain.tasks.limit.permit` decides. The row of the limit is locked until the transaction ends.
_TAKE_TURN: Final = """
    INSERT INTO limits AS l (name, used_until) VALUES (%(name)s, clock_timestamp() + %(gap)s)
    ON CONFLICT (name) DO UPDATE
        SET used_until = greatest(l.used_until, clock_timestamp()) + %(gap)s
        WHERE greatest(l.used_until, clock_timestamp()) + %(gap)s - %(gap)s * %(burst)s
            <= clock_timestamp()
    RETURNING name"""
_LET_IN: Final = f"""
    UPDATE runs r SET let_in_at = %(now)s, ending = 'skipped', reason = u.reason,
        concurrency_key = NULL, throttle_key = NULL
    FROM unnest(%(ids)s::text[], %(reasons)s::text[]) AS u(id, reason)
    WHERE r.id = u.id AND {gate_rows.IS_QUEUED}
    RETURNING r.id, r.subscription_id, r.trigger, r.firing_key, r.due_at, r.workflow_id"""


async def take_turn(connection: Connection, subscription_id: SubscriptionId) -> bool:
    """Return whether a skipped run of the subscription may run its onSkip tasks now."""
    values = {
        "name": limit_name(subscription_id),
        "gap": SKIP_TASKS.interval,
        "burst": SKIP_TASKS.burst,
    }
    cursor = await connection.execute(_TAKE_TURN, values)
    return await cursor.fetchone() is not None


async def with_turn(
    connection: Connection, subscription_id: SubscriptionId, spec: DefinitionSpec, found: GateResult
) -> GateResult:
    """Return what the gate decided, and whether a skipped run has its onSkip tasks to run."""
    if found.outcome != "skipped" or not spec.on_skip:
        return found
    return with_skip_turn(found, has_turn=await take_turn(connection, subscription_id))


async def let_in_skipped(
    connection: Connection, reasons: Mapping[RunId, str | None], now: datetime
) -> dict[str, FiringRef]:
    """Let in queued runs that are skipped, for their onSkip tasks; return those still queued."""
    values: dict[str, Any] = {
        "ids": list(reasons),
        "reasons": [to_storable_text(reason) for reason in reasons.values()],
        "now": now,
    }
    cursor = await connection.execute(_LET_IN.encode(), values)
    return {row["id"]: gate_rows.firing_ref(row) for row in await cursor.fetchall()}
