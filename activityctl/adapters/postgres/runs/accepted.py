"""Firings without a run in Postgres, read as the queued runs that they become."""

from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Database
from activityctl.domain.runs.accepted import (
    AcceptedFiring,
    accepted_run,
    is_listed,
    lists_held,
)
from activityctl.domain.runs.run import Run
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection

_MOST: Final = 10_000
"""Among so many of the newest waiting firings one is found by its run's id."""
# What was started has a run soon, so only the last started ones are looked at.
_WITHOUT_RUN: Final = """
    SELECT f.* FROM (
        (SELECT * FROM firings WHERE dispatched_at IS NULL)
        UNION ALL
        (SELECT * FROM firings WHERE dispatched_at IS NOT NULL
         ORDER BY dispatched_at DESC LIMIT 1000)) AS f
    LEFT JOIN backfills b ON b.id = f.backfill_id
    WHERE NOT EXISTS (
        SELECT FROM runs r WHERE r.subscription_id = f.subscription_id
            AND r.trigger = f.trigger AND r.firing_key = f.firing_key)
      AND (f.fires_at IS NOT NULL OR f.dispatched_at IS NOT NULL OR b.cancelled_at IS NULL)"""
_SELECT_KEYS: Final = f"""
    SELECT id, subscription_id, trigger, firing_key FROM ({_WITHOUT_RUN}) AS f
    ORDER BY created_at DESC, place DESC LIMIT {_MOST}"""
_SELECT: Final = f"""
    SELECT f.*, s.name AS subscription, s.params AS current_params, v.definition,
        v.id AS known_revision_id, clock_timestamp() AS now
    FROM ({_WITHOUT_RUN}) AS f
    JOIN subscriptions s ON s.id = f.subscription_id
    JOIN definitions d ON d.name = s.definition
    JOIN revisions v ON v.id = coalesce(f.revision_id, d.revision_id)
    WHERE (%(ids)s::text[] IS NULL OR f.id = ANY(%(ids)s))
      AND (%(subscription)s::text IS NULL OR f.subscription_id = %(subscription)s)
      AND (%(since)s::timestamptz IS NULL OR f.created_at >= %(since)s)
      AND s.labels @> %(labels)s
      AND (%(held)s OR f.fires_at IS NOT NULL OR f.dispatched_at IS NOT NULL)
    ORDER BY f.created_at DESC, f.place DESC LIMIT %(limit)s"""


async def accepted_runs(database: Database, selection: Selection) -> list[Run]:
    """Return the selected firings without a run, newest first."""
    if not is_listed(selection):
        return []
    if selection.run_id is not None:
        return await accepted_with(database, selection.run_id)
    rows = await database.fetch(
        _SELECT,
        ids=None,
        subscription=selection.subscription_id,
        since=selection.since,
        labels=Jsonb(dict(selection.labels)),
        held=lists_held(selection),
        limit=_MOST if selection.limit is None else selection.limit,
    )
    return [_run_of(row) for row in rows]


async def accepted_with(database: Database, reference: str) -> list[Run]:
    """Return the firings whose run's id will begin like this, at most two."""
    if not reference:
        return []
    found = [
        row["id"]
        for row in await database.fetch(_SELECT_KEYS)
        if ids.run_id(row["subscription_id"], row["trigger"], row["firing_key"]).startswith(
            reference
        )
    ]
    if not found:
        return []
    rows = await database.fetch(
        _SELECT,
        ids=found[:2],
        subscription=None,
        since=None,
        labels=Jsonb({}),
        held=True,
        limit=2,
    )
    return [_run_of(row) for row in rows]


def _run_of(row: dict[str, Any]) -> Run:
    firing = FiringRequest(
        ids.SubscriptionId(row["subscription_id"]),
        row["trigger"],
        row["firing_key"],
        row["due_at"],
        row["payload"],
    )
    accepted = AcceptedFiring(
        firing,
        row["subscription"],
        row["definition"],
        ids.RevisionId(row["known_revision_id"]),
        row["current_params"] if row["params"] is None else row["params"],
        row["created_at"],
        row["fires_at"],
        row["priority"],
        row["dispatched_at"] is not None,
        row["order_key"] is not None,
        row["not_before"],
        row["error"],
    )
    return accepted_run(accepted, row["now"])
