"""Breakers and limits in Postgres. `now` in what they decide is the clock of Postgres."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from activityctl.adapters.postgres.database import Database, to_storable_text
from activityctl.adapters.postgres.notices import write_opened
from activityctl.adapters.postgres.rows import breaker_of, task_of
from activityctl.adapters.postgres.runs.breaker_rows import (
    LOCK_BREAKER,
    MAKE_BREAKER,
    SAVE_BREAKER,
    breaker_after,
    breaker_values,
    hold_by_breaker,
    without_lost_probes,
)
from activityctl.adapters.postgres.runs.guarded_begin import (
    BEGIN_BEHIND_BREAKER,
    BEGIN_GUARDED,
    LOCK_LIMIT,
    MAKE_LIMIT,
)
from activityctl.adapters.postgres.runs.guarded_lookup import begin_lookup, settle_lookup
from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.tasks import breaker as rules
from activityctl.domain.tasks.breaker import BreakerStatus
from activityctl.domain.tasks.guard import stored_guard
from activityctl.errors import NotFoundError
from activityctl.ports import (
    BegunAttempt,
    BegunLookup,
    BreakerChange,
    GuardedLookup,
    Hold,
    LookupEnd,
)

_LOCK_BREAKER_OF_TASK: Final = """
    SELECT b.*, clock_timestamp() AS now, t.guard, t.name AS task_name FROM tasks t
    JOIN breakers b ON b.name = t.guard->>'breakerName'
    WHERE t.id = %(id)s FOR UPDATE OF b"""
_JUDGE: Final = """
    UPDATE attempts SET fault = %(fault)s
    WHERE task_id = %(id)s AND number = %(number)s AND outcome = 'failed'"""


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
            row = await (await connection.execute(_LOCK_BREAKER_OF_TASK, values)).fetchone()
            guard = None if row is None else stored_guard(row["guard"])
            if row is None or guard is None or guard.breaker is None:
                return None
            before = await without_lost_probes(connection, breaker_of(row))
            policy, now = guard.breaker, row["now"]
            passage = rules.pass_through(
                before, policy, values["id"], now, lease=lease, chance=chance
            )
            if (look_at := passage.look_again_at) is not None:
                task = {"id": values["id"], "name": row["task_name"]}
                return await hold_by_breaker(connection, task, before, policy, (now, look_at))
            if is_limited:
                await connection.execute(MAKE_LIMIT, values)
                await connection.execute(LOCK_LIMIT, values)
            passing = {**values, "passes": True}
            cursor = await connection.execute(BEGIN_GUARDED.encode(), passing)
            begun = await cursor.fetchone()
            answer = None if begun is None else _answer(begun)
            if isinstance(answer, BegunAttempt):
                await connection.execute(SAVE_BREAKER, breaker_values(passage.breaker))
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
                await connection.execute(MAKE_BREAKER, {"name": name})
            row = await (await connection.execute(LOCK_BREAKER, {"name": name})).fetchone()
            if is_fault is not None:
                judged = {"id": task.id, "number": task.attempts, "fault": is_fault}
                await connection.execute(_JUDGE, judged)
            if row is None:
                return None
            before, now = breaker_of(row), row["now"]
            after = await breaker_after(
                connection, before, guard.breaker, task.id, now, is_fault=is_fault
            )
            change = BreakerChange(before, after)
            if after != before:
                await connection.execute(SAVE_BREAKER, breaker_values(after))
                await write_opened(connection, task.run_id, change)
        return change if after.status is not before.status else None

    async def forget(self, task_id: str) -> None:
        """Give up the place of a task that waits no longer."""
        await self._database.fetch("DELETE FROM holds WHERE task_id = %(id)s", id=task_id)

    async def begin_lookup(
        self, lookup: GuardedLookup, now: datetime, worker: str, *, lease: timedelta, chance: float
    ) -> BegunLookup | Hold:
        """Begin an attempt of a lookup, if breaker and limit let it pass."""
        return await begin_lookup(self._database, lookup, now, worker, lease, chance)

    async def settle_lookup(
        self, lookup: GuardedLookup, end: LookupEnd, now: datetime
    ) -> BreakerChange | None:
        """Record how an attempt of a lookup ended, and tell the breaker."""
        return await settle_lookup(self._database, lookup, end, now)

    async def turn_breaker(self, name: str, *, is_open: bool, reason: str) -> BreakerChange:
        """Open or close a breaker by hand; raise NotFoundError for an unknown one to close."""
        async with self._database.transaction() as connection:
            if is_open:
                await connection.execute(MAKE_BREAKER, {"name": to_storable_text(name)})
            values = {"name": to_storable_text(name)}
            row = await (await connection.execute(LOCK_BREAKER, values)).fetchone()
            if row is None:
                raise NotFoundError("breaker", name, hint="activityctl get breakers")
            before, now = breaker_of(row), row["now"]
            after = (
                rules.opened(before, now, reason, None)
                if is_open
                else rules.closed(before, now, reason)
            )
            await connection.execute(SAVE_BREAKER, breaker_values(after))
        return BreakerChange(before, after)


def _answer(row: Mapping[str, Any]) -> BegunAttempt | Hold:
    if row["id"] is not None:
        return BegunAttempt(task_of(row), row["lost_worker"], row["lost_since"])
    until, now = row["look_at"], row["asked_at"]
    seconds = max((until - now).total_seconds(), 0.0)
    return Hold(row["task_name"], row["held_by"], False, seconds, until, row["is_new"])
