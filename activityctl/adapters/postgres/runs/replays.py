"""Replays of runs in Postgres: a firing like that of the run before, with how it is replayed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database, to_jsonb
from activityctl.adapters.postgres.logbook import insert_log_entries
from activityctl.adapters.postgres.signals import wake_workers
from activityctl.domain.runs.replay import ReplayedRun
from activityctl.domain.runs.replay_log import replay_entry
from activityctl.domain.runs.replay_request import (
    ContextOf,
    ReplayOptions,
    ReplayOutcome,
    ReplayRequest,
    options_of,
)
from activityctl.domain.runs.run import RunState
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids
from activityctl.ports import Work

_SELECT_RUNS: Final = """
    SELECT r.id, r.subscription_id, r.trigger, r.ended_at IS NULL AS is_open,
        s.status = 'deleted' AS is_deleted
    FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
    WHERE r.id = ANY(%(ids)s) ORDER BY r.id"""
# A run of that key may exist although its firing was removed.
_INSERT_FIRINGS: Final = """
    INSERT INTO firings (id, subscription_id, trigger, firing_key, due_at, payload, created_at,
        fires_at, revision_id, params, priority, replay)
    SELECT u.id, r.subscription_id, r.trigger, u.key, r.due_at, '{}', %(now)s, clock_timestamp(),
        CASE WHEN %(latest)s THEN d.revision_id ELSE r.revision_id END,
        CASE WHEN %(latest)s THEN s.params ELSE r.params END, r.priority, %(options)s
    FROM unnest(%(ids)s::text[], %(keys)s::text[], %(runs)s::text[]) AS u(id, key, run)
    JOIN runs r ON r.id = u.run JOIN subscriptions s ON s.id = r.subscription_id
    JOIN definitions d ON d.name = s.definition
    WHERE NOT EXISTS (SELECT FROM runs o WHERE o.subscription_id = r.subscription_id
        AND o.trigger = r.trigger AND o.firing_key = u.key)
    ON CONFLICT DO NOTHING RETURNING id"""
_SELECT_HOW: Final = """
    SELECT f.replay, a.new_keys FROM (SELECT) AS one
    LEFT JOIN firings f ON f.id = %(firing)s LEFT JOIN letter_actions a
        ON a.run_id = %(run)s AND a.action = 'retried'"""


async def insert_firings(
    connection: Connection,
    runs: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    options: ReplayOptions,
    now: datetime,
    *,
    latest: bool,
) -> set[str]:
    """Store a firing for each run, with the key beside it; return the ids of the new ones.

    The runs have their id as `run_id`, and their subscription and trigger.
    """
    values = {
        "ids": [_firing_id(row, key) for row, key in zip(runs, keys, strict=True)],
        "keys": list(keys),
        "runs": [row["run_id"] for row in runs],
        "latest": latest,
        "options": to_jsonb(options.as_json()),
        "now": now,
    }
    cursor = await connection.execute(_INSERT_FIRINGS, values)
    inserted = {row["id"] for row in await cursor.fetchall()}
    if inserted:
        await wake_workers(connection, Work.FIRING)
    return inserted


def _firing_id(row: Mapping[str, Any], key: str) -> str:
    return ids.firing_id(row["subscription_id"], row["trigger"], key)


async def read_replayed(
    database: Database, firing: FiringRef, load: Callable[[str], Awaitable[RunState | None]]
) -> ReplayedRun | None:
    """Return the run that the firing retries or replays; None for any other firing."""
    before = ids.replayed_run(firing.firing_key)
    state = None if before is None else await load(before)
    if state is None:
        return None
    row = await database.fetch_one(
        _SELECT_HOW,
        firing=ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key),
        run=firing.run_id,
    )
    if row is not None and row["replay"] is not None:
        options = options_of(row["replay"])
    else:  # a retry of an earlier version of this program
        has_new_keys = row is not None and bool(row["new_keys"])
        options = ReplayOptions(new_keys=has_new_keys, context=ContextOf.BY_REVISION)
    return ReplayedRun(state.run, state.tasks, options)


class PostgresReplays:
    """Implements the Replays port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def replay(
        self, run_ids: Sequence[str], request: ReplayRequest, now: datetime
    ) -> list[ReplayOutcome]:
        """Store the firing of a new run for each run that has ended; return one outcome each."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_SELECT_RUNS.encode(), {"ids": list(run_ids)})
            found = {row["id"]: {**row, "run_id": row["id"]} for row in await cursor.fetchall()}
            chosen = [row for row in found.values() if not row["is_open"] and not row["is_deleted"]]
            keys = [ids.replay_of_key(row["id"], request.name) for row in chosen]
            inserted = await insert_firings(
                connection, chosen, keys, request.options, now, latest=request.latest
            )
            outcomes = {
                row["id"]: ReplayOutcome(
                    row["id"],
                    "replayed" if _firing_id(row, key) in inserted else "repeated",
                    ids.run_id(row["subscription_id"], row["trigger"], key),
                )
                for row, key in zip(chosen, keys, strict=True)
            }
            entries = [
                replay_entry(row["subscription_id"], outcomes[row["id"]], request, now)
                for row in chosen
                if outcomes[row["id"]].outcome == "replayed"
            ]
            await insert_log_entries(connection, entries)
        return [outcomes.get(key) or _refused(key, found.get(key)) for key in run_ids]


def _refused(run_id: str, row: Mapping[str, Any] | None) -> ReplayOutcome:
    if row is None:
        return ReplayOutcome(ids.RunId(run_id), "unknown")
    return ReplayOutcome(ids.RunId(run_id), "deleted" if row["is_deleted"] else "open")
