"""Breakers and limits in Postgres. `now` in what they decide is the clock of Postgres."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection, Database, to_storable_text
from activityctl.adapters.postgres.rows import breaker_of, task_of
from activityctl.adapters.postgres.runs.guarded_begin import (
    BEGIN_BEHIND_BREAKER,
    BEGIN_GUARDED,
    LOCK_LIMIT,
    MAKE_LIMIT,
)
from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.tasks import breaker as rules
from activityctl.domain.tasks.breaker import (
    Breaker,
    BreakerPolicy,
    BreakerStatus,
    RecentAttempts,
    WhileOpen,
)
from activityctl.domain.tasks.guard import stored_guard
from activityctl.errors import NotFoundError
from activityctl.ports import BegunAttempt, BreakerChange, Hold

_LOCK_BREAKER: Final = """
    SELECT b.*, clock_timestamp() AS now, t.guard, t.name AS task_name FROM tasks t
    JOIN breakers b ON b.name = t.guard->>'breakerName'
    WHERE t.id = %(id)s FOR UPDATE OF b"""
_MAKE_BREAKER: Final = """
    INSERT INTO breakers (name, status, changed_at)
    VALUES (%(name)s, 'closed', clock_timestamp() - interval '1 day') ON CONFLICT DO NOTHING"""
_LOCK_NAMED: Final = """
    SELECT b.*, clock_timestamp() AS now FROM breakers b WHERE b.name = %(name)s FOR UPDATE"""
_OPEN_TASKS: Final = "SELECT id FROM tasks WHERE id = ANY(%(ids)s) AND ended_at IS NULL"
_SAVE: Final = """
    UPDATE breakers SET status = %(status)s, changed_at = %(changed_at)s, reason = %(reason)s,
        open_until = %(open_until)s, probes = %(probes)s, succeeded = %(succeeded)s,
        openings = %(openings)s
    WHERE name = %(name)s"""
_HOLD: Final = """
    INSERT INTO holds (task_id, breaker, look_at) VALUES (%(id)s, %(breaker)s, %(look_at)s)
    ON CONFLICT (task_id) DO UPDATE SET breaker = excluded.breaker, look_at = excluded.look_at
    RETURNING xmax = 0 AS is_new"""
_JUDGE: Final = """
    UPDATE attempts SET fault = %(fault)s
    WHERE task_id = %(id)s AND number = %(number)s AND outcome = 'failed'"""
_GOOD: Final = "(s.outcome = 'succeeded' OR s.outcome = 'failed' AND NOT s.fault)"
_RECENT: Final = f"""
    SELECT count(*) FILTER (WHERE f.ended_at > coalesce((
            SELECT max(s.ended_at) FROM attempts s
            WHERE s.breaker = %(name)s AND s.ended_at > %(since)s AND {_GOOD}), '-infinity')
            AND f.fault) AS in_a_row,
        count(*) FILTER (WHERE f.ended_at > %(now)s - %(within)s::interval) AS total,
        count(*) FILTER (WHERE f.ended_at > %(now)s - %(within)s::interval AND f.fault) AS failed
    FROM attempts f
    WHERE f.breaker = %(name)s AND f.ended_at > %(since)s
        AND (f.outcome = 'succeeded' OR f.outcome = 'failed' AND f.fault IS NOT NULL)"""
_LOOKED_BACK: Final = timedelta(days=1)
"""Attempts that ended earlier do not count as failures in a row."""


class PostgresGuards:
    """Implements the Guards port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(
        self,
        task_id: str,
        now: datetime,
        worker: str,
        *,
        is_limited: bool,
        lease: timedelta,
        chance: float,
    ) -> BegunAttempt | Hold | None:
        """Begin an attempt, if breaker and limit let it pass; None if it may not begin at all."""
        values = {
            "id": task_id,
            "now": now,
            "worker": to_storable_text(worker),
            "passes": False,
        }
        if not is_limited:
            row = await self._database.fetch_one(BEGIN_BEHIND_BREAKER, **values)
            if row is not None:
                return _answer(row)
            return await self._pass(values, lease, chance, is_limited=False)
        async with self._database.one_trip() as connection:
            await connection.execute(MAKE_LIMIT, values)  # without a row, nobody has the lock
            await connection.execute(LOCK_LIMIT, values)
            cursor = await connection.execute(BEGIN_GUARDED.encode(), values)
        row = await cursor.fetchone()
        if row is not None and row["verdict"] == "breaker":
            return await self._pass(values, lease, chance, is_limited=True)
        return None if row is None else _answer(row)

    async def _pass(
        self, values: Mapping[str, Any], lease: timedelta, chance: float, *, is_limited: bool
    ) -> BegunAttempt | Hold | None:
        """Ask the breaker, which is not closed."""
        async with self._database.transaction() as connection:
            row = await (await connection.execute(_LOCK_BREAKER, values)).fetchone()
            guard = None if row is None else stored_guard(row["guard"])
            if row is None or guard is None or guard.breaker is None:
                return None
            before = await _without_lost_probes(connection, breaker_of(row))
            policy, now = guard.breaker, row["now"]
            passage = rules.pass_through(
                before, policy, values["id"], now, lease=lease, chance=chance
            )
            if (look_at := passage.look_again_at) is not None:
                task = {"id": values["id"], "name": row["task_name"]}
                return await _hold(connection, task, before, policy, (now, look_at))
            if is_limited:
                await connection.execute(MAKE_LIMIT, values)
                await connection.execute(LOCK_LIMIT, values)
            passing = {**values, "passes": True}
            cursor = await connection.execute(BEGIN_GUARDED.encode(), passing)
            begun = await cursor.fetchone()
            answer = None if begun is None else _answer(begun)
            if isinstance(answer, BegunAttempt):
                await connection.execute(_SAVE, _values(passage.breaker))
                is_probe = before.status is not BreakerStatus.CLOSED
                return BegunAttempt(
                    answer.task, answer.lost_worker, answer.lost_since, is_probe=is_probe
                )
            return answer

    async def settle(self, task: TaskInstance, *, is_fault: bool | None) -> BreakerChange | None:
        """Tell the breaker how the attempt of the task ended; return the change of its status."""
        guard = task.guard
        if guard is None or guard.breaker is None or guard.breaker_name is None:
            return None
        name = guard.breaker_name
        async with self._database.transaction() as connection:
            if is_fault:
                await connection.execute(_MAKE_BREAKER, {"name": name})
            row = await (await connection.execute(_LOCK_NAMED, {"name": name})).fetchone()
            if is_fault is not None:
                judged = {"id": task.id, "number": task.attempts, "fault": is_fault}
                await connection.execute(_JUDGE, judged)
            if row is None:
                return None
            before, now = breaker_of(row), row["now"]
            after = await _after(connection, before, guard.breaker, task.id, now, is_fault=is_fault)
            if after != before:
                await connection.execute(_SAVE, _values(after))
        return BreakerChange(before, after) if after.status is not before.status else None

    async def forget(self, task_id: str) -> None:
        """Give up the place of a task that waits no longer."""
        await self._database.fetch("DELETE FROM holds WHERE task_id = %(id)s", id=task_id)

    async def turn_breaker(self, name: str, *, is_open: bool, reason: str) -> BreakerChange:
        """Open or close a breaker by hand; raise NotFoundError for an unknown one to close."""
        async with self._database.transaction() as connection:
            if is_open:
                await connection.execute(_MAKE_BREAKER, {"name": to_storable_text(name)})
            values = {"name": to_storable_text(name)}
            row = await (await connection.execute(_LOCK_NAMED, values)).fetchone()
            if row is None:
                raise NotFoundError("breaker", name, hint="activityctl get breakers")
            before, now = breaker_of(row), row["now"]
            after = (
                rules.opened(before, now, reason, None)
                if is_open
                else rules.closed(before, now, reason)
            )
            await connection.execute(_SAVE, _values(after))
        return BreakerChange(before, after)


def _answer(row: Mapping[str, Any]) -> BegunAttempt | Hold:
    if row["id"] is not None:
        return BegunAttempt(task_of(row), row["lost_worker"], row["lost_since"])
    until, now = row["look_at"], row["asked_at"]
    seconds = max((until - now).total_seconds(), 0.0)
    return Hold(row["task_name"], row["held_by"], False, seconds, until, row["is_new"])


async def _hold(
    connection: Connection,
    task: Mapping[str, Any],
    breaker: Breaker,
    policy: BreakerPolicy,
    times: tuple[datetime, datetime],
) -> Hold:
    now, look_at = times
    fails = policy.while_open is WhileOpen.FAIL
    is_new = True
    if not fails:
        values = {"id": task["id"], "breaker": breaker.name, "look_at": look_at}
        row = await (await connection.execute(_HOLD, values)).fetchone()
        is_new = bool(row and row["is_new"])
    seconds = (look_at - now).total_seconds()
    return Hold(task["name"], breaker.name, True, seconds, look_at, is_new, fails, breaker.reason)


async def _without_lost_probes(connection: Connection, breaker: Breaker) -> Breaker:
    """Return the breaker without the probes whose task has ended."""
    if not breaker.probes:
        return breaker
    ids = [probe.task_id for probe in breaker.probes]
    rows = await (await connection.execute(_OPEN_TASKS, {"ids": ids})).fetchall()
    for lost in set(ids) - {row["id"] for row in rows}:
        breaker = rules.without_probe(breaker, lost)
    return breaker


async def _after(
    connection: Connection,
    before: Breaker,
    policy: BreakerPolicy,
    task_id: str,
    now: datetime,
    *,
    is_fault: bool | None,
) -> Breaker:
    if is_fault is None:
        return rules.without_probe(before, task_id)
    if not is_fault:
        return rules.after_success(before, policy, task_id, now)
    values = {
        "name": before.name,
        "since": max(before.changed_at, now - max(_LOOKED_BACK, policy.within)),
        "now": now,
        "within": policy.within,
    }
    row = await (await connection.execute(_RECENT.encode(), values)).fetchone()
    recent = RecentAttempts(0, 0, 0)
    if row is not None:
        recent = RecentAttempts(row["in_a_row"], row["total"], row["failed"])
    return rules.after_fault(before, policy, task_id, recent, now)


def _values(breaker: Breaker) -> dict[str, object]:
    from psycopg.types.json import Jsonb

    return {
        "name": breaker.name,
        "status": breaker.status.value,
        "changed_at": breaker.changed_at,
        "reason": to_storable_text(breaker.reason),
        "open_until": breaker.open_until,
        "probes": Jsonb({probe.task_id: probe.until.isoformat() for probe in breaker.probes}),
        "succeeded": breaker.succeeded,
        "openings": breaker.openings,
    }
