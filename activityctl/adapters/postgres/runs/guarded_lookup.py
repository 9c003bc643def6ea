"""Attempts of lookups that a breaker or a limit may hold up: begun, ended, and judged.

They share breakers and limits with the attempts of tasks, and are records of the same table.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database, to_storable_text
from activityctl.adapters.postgres.notices import write_opened
from activityctl.adapters.postgres.rows import breaker_of
from activityctl.adapters.postgres.runs.breaker_rows import (
    LOCK_BREAKER,
    MAKE_BREAKER,
    SAVE_BREAKER,
    breaker_after,
    breaker_values,
    hold_by_breaker,
    without_lost_probes,
)
from activityctl.adapters.postgres.runs.guarded_begin import BEGIN_LOOKUP
from activityctl.domain.tasks import breaker as rules
from activityctl.domain.tasks.breaker import BreakerStatus
from activityctl.domain.tasks.guard import guard_json
from activityctl.ports import BegunLookup, BreakerChange, GuardedLookup, Hold, LookupEnd

_MAKE_LIMIT: Final = "INSERT INTO limits (name) VALUES (%(limit)s) ON CONFLICT DO NOTHING"
_LOCK_LIMIT: Final = "SELECT FROM limits WHERE name = %(limit)s FOR UPDATE"
_END: Final = """
    UPDATE attempts SET outcome = %(outcome)s, ended_at = %(now)s, error = %(error)s,
        code = %(code)s, fault = %(fault)s
    WHERE task_id = %(id)s AND number = %(number)s"""


async def begin_lookup(
    database: Database,
    lookup: GuardedLookup,
    now: datetime,
    worker: str,
    lease: timedelta,
    chance: float,
) -> BegunLookup | Hold:
    """Begin an attempt, if breaker and limit let it pass."""
    values = _values(lookup, now, worker)
    async with database.one_trip() as connection:
        cursor = await _begin(connection, values, passes=False)
    row = await cursor.fetchone()
    if row["verdict"] != "breaker":
        return _answer(row)
    async with database.transaction() as connection:
        return await _pass(connection, lookup, values, lease, chance)


async def _begin(connection: Connection, values: Mapping[str, Any], *, passes: bool) -> Any:
    if values["limit"] is not None:
        await connection.execute(_MAKE_LIMIT, values)
        await connection.execute(_LOCK_LIMIT, values)
    return await connection.execute(BEGIN_LOOKUP.encode(), {**values, "passes": passes})


async def _pass(
    connection: Connection,
    lookup: GuardedLookup,
    values: Mapping[str, Any],
    lease: timedelta,
    chance: float,
) -> BegunLookup | Hold:
    """Ask the breaker, which was not closed a moment ago."""
    guard = lookup.guard
    row = await (await connection.execute(LOCK_BREAKER, {"name": guard.breaker_name})).fetchone()
    passage = None
    if row is not None and guard.breaker is not None:
        before = await without_lost_probes(connection, breaker_of(row))
        passage = rules.pass_through(
            before, guard.breaker, lookup.id, row["now"], lease=lease, chance=chance
        )
        if (look_at := passage.look_again_at) is not None:
            held = {"id": lookup.id, "name": lookup.name}
            times = (row["now"], look_at)
            return await hold_by_breaker(connection, held, before, guard.breaker, times)
    begun = await (await _begin(connection, values, passes=True)).fetchone()
    answer = _answer(begun)
    if passage is None or isinstance(answer, Hold):
        return answer
    await connection.execute(SAVE_BREAKER, breaker_values(passage.breaker))
    return BegunLookup(answer.number, is_probe=before.status is not BreakerStatus.CLOSED)


async def settle_lookup(
    database: Database, lookup: GuardedLookup, end: LookupEnd, now: datetime
) -> BreakerChange | None:
    """Record how an attempt ended, and tell the breaker; return the change of its status."""
    guard = lookup.guard
    ended = {
        "id": lookup.id,
        "number": end.number,
        "outcome": end.outcome.value,
        "now": now,
        "error": to_storable_text(end.error),
        "code": to_storable_text(end.code),
        "fault": end.is_fault if end.error is not None else None,
    }
    name = {"name": guard.breaker_name}
    async with database.transaction() as connection:
        await connection.execute(_END, ended)
        if guard.breaker is None or not (end.is_fault or end.is_probe):
            return None
        if end.is_fault:
            await connection.execute(MAKE_BREAKER, name)
        row = await (await connection.execute(LOCK_BREAKER, name)).fetchone()
        if row is None:
            return None
        before = breaker_of(row)
        after = await breaker_after(
            connection, before, guard.breaker, lookup.id, row["now"], is_fault=end.is_fault
        )
        change = BreakerChange(before, after)
        if after != before:
            await connection.execute(SAVE_BREAKER, breaker_values(after))
            await write_opened(connection, lookup.run_id, change)
    return change if after.status is not before.status else None


def _values(lookup: GuardedLookup, now: datetime, worker: str) -> dict[str, Any]:
    from psycopg.types.json import Jsonb

    limit = lookup.guard.limit
    return {
        "id": lookup.id,
        "name": lookup.name,
        "run": lookup.run_id,
        "guard": Jsonb(guard_json(lookup.guard)),
        "limit": None if limit is None else limit.name,
        "now": now,
        "worker": to_storable_text(worker),
    }


def _answer(row: Mapping[str, Any]) -> BegunLookup | Hold:
    if row["id"] is not None:
        return BegunLookup(row["attempts"])
    until, now = row["look_at"], row["asked_at"]
    seconds = max((until - now).total_seconds(), 0.0)
    return Hold(row["task_name"], row["held_by"], False, seconds, until, row["is_new"])
