"""The timetable in Postgres: decides each due time once, and finds overdue alarms."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from activityctl.adapters.postgres.database import Connection, Database
from activityctl.adapters.postgres.schedules.due_schedules import (
    Caller,
    process_due_of_alarm,
    process_due_schedules,
)
from activityctl.adapters.postgres.schedules.late_starts import mark_missed_if_late
from activityctl.adapters.postgres.schedules.outbox import facts_of, select_facts
from activityctl.domain.timing.firing import FiringCause, FiringRef, Ringing
from activityctl.domain.timing.misfires import MISFIRE_GRACE, decide_until
from activityctl.domain.values import ids
from activityctl.ports import WAKE_AFTER, OverdueAlarm, RingResult, ServedSchedule

_AT_ONCE: Final = 500
"""Schedules that are decided in one transaction."""
_SELECT_SERVED: Final = """
    SELECT c.subscription_id, c.trigger, d.revision_id, s.name AS subscription, s.definition
    FROM schedules c JOIN subscriptions s ON s.id = c.subscription_id
    JOIN definitions d ON d.name = s.definition
    WHERE c.alarm_id = %(alarm)s AND c.is_active AND c.next_at IS NOT NULL
    ORDER BY c.id LIMIT %(limit)s"""
# The count of wake-ups is kept by the alarm; what is decided in several calls counts once.
_COUNT_WAKE_UP: Final = """
    UPDATE alarms SET wakes = wakes + 1 WHERE id = %(alarm)s"""
_RANG: Final = "UPDATE alarms SET wakes = 0 WHERE id = %(alarm)s AND wakes > 0"
_IS_RINGING: Final = """
    UPDATE alarms SET rings_until = clock_timestamp() + %(lasting)s WHERE id = %(alarm)s"""
_CLAIM: Final = """
    UPDATE firings SET dispatched_at = coalesce(dispatched_at, clock_timestamp()),
        workflow_id = CASE WHEN dispatched_at IS NULL THEN %(workflow)s ELSE workflow_id END
    WHERE id = ANY(%(ids)s) AND (fires_at <= clock_timestamp() OR dispatched_at IS NOT NULL)
    RETURNING id"""
# The subquery reads the clock once, so that the index on next_at is used.
_SELECT_OVERDUE: Final = """
    SELECT * FROM (
        SELECT c.alarm_id, max(c.next_at) AS next_at, clock_timestamp() - max(c.next_at) AS late
        FROM schedules c LEFT JOIN alarms a ON a.id = c.alarm_id
        WHERE c.next_at < (SELECT clock_timestamp() - %(after)s) AND c.is_active
          AND c.alarm_id IS NOT NULL
          AND (a.rings_until IS NULL OR a.rings_until < clock_timestamp())
        GROUP BY c.alarm_id) AS overdue
    {}
    ORDER BY next_at DESC, alarm_id DESC LIMIT %(limit)s"""
_SELECT_CARRIED: Final = """
    SELECT f.subscription_id, f.trigger, f.revision_id, s.name AS subscription, s.definition
    FROM firings f JOIN subscriptions s ON s.id = f.subscription_id
    WHERE f.workflow_id = %(workflow)s AND f.firing_key = %(key)s ORDER BY f.id"""
_RINGS_FOR: Final = timedelta(seconds=5)
"""So long after a call that left something over, its alarm does not count as overdue."""


class PostgresTimetable:
    """Implements the Timetable port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def served(self, alarm_id: str, limit: int) -> list[ServedSchedule]:
        """Return active schedules of the alarm, in order."""
        rows = await self._database.fetch(_SELECT_SERVED, alarm=alarm_id, limit=limit)
        return [ServedSchedule(**row) for row in rows]

    async def ring(
        self,
        ringing: Ringing,
        carries: Collection[ServedSchedule],
        workflow_id: str,
        until: datetime | None = None,
    ) -> RingResult:
        """Decide what is due of some hundred schedules of the alarm."""
        caller = _caller(ringing, carries, workflow_id)
        alarm = {"alarm": ringing.alarm_id}
        async with self._database.transaction() as connection:
            until = until or await _read_until(connection, ringing.due)
            decided, is_complete = await process_due_of_alarm(
                connection, ringing.alarm_id, until, _AT_ONCE, caller
            )
            started = [
                each
                for each in carries
                if (key := ids.schedule_id(each.subscription_id, each.trigger)) in decided
                and decided[key].starts_now(ringing.due)
            ]
            firings = [each.firing(ringing, workflow_id) for each in started]
            async with connection.committing():
                if ringing.cause is not FiringCause.WAKE_UP:
                    await connection.execute(_RANG, alarm)
                elif is_complete and any(decisions.times for decisions in decided.values()):
                    await connection.execute(_COUNT_WAKE_UP, alarm)
                if not is_complete:
                    await connection.execute(_IS_RINGING, {**alarm, "lasting": _RINGS_FOR})
                facts = await select_facts(connection, firings)
                own = {"workflow": workflow_id, "key": ringing.key}
                carried = await connection.execute(_SELECT_CARRIED, own)
        found = facts_of(await facts.fetchall())
        # This call may be a repeat, and the triggers of its firings may have left the alarm.
        again = [ServedSchedule(**row) for row in await carried.fetchall()]
        of_earlier = [
            firing for each in again if (firing := each.firing(ringing, workflow_id)) not in firings
        ]
        return RingResult(is_complete, until, [*firings, *of_earlier], found)

    async def claim(
        self, ringing: Ringing, carries: Collection[ServedSchedule], workflow_id: str
    ) -> list[FiringRef]:
        """Return the firings of the alarm's time that the workflow runs although others decided it.

        Of several workflows only one opens the run.
        """
        by_id = {
            ids.firing_id(each.subscription_id, each.trigger, ringing.key): each for each in carries
        }
        rows = await self._database.fetch(_CLAIM, ids=list(by_id), workflow=workflow_id)
        claimed = {row["id"] for row in rows}
        return [each.firing(ringing, workflow_id) for key, each in by_id.items() if key in claimed]

    async def process_due(self, firing: FiringRef) -> bool:
        """Decide every due time up to now; return whether the caller's firing starts now."""
        schedule = ids.schedule_id(firing.subscription_id, firing.trigger)
        carries = [(firing.subscription_id, firing.trigger)]
        caller = Caller(firing.due, carries, firing.workflow_id)
        is_complete, fires = not firing.is_undecided, False
        while not is_complete:
            async with self._database.transaction() as connection:
                decided = await process_due_schedules(connection, [schedule], caller)
            is_complete = all(decisions.is_complete for decisions in decided.values())
            fires = fires or any(decisions.starts_now(firing.due) for decisions in decided.values())
        return fires or await self._claim(firing)

    async def _claim(self, firing: FiringRef) -> bool:
        """Take over a firing that an earlier call decided to start by now.

        Return False when it may not start yet or is too late. A repeated call gets the same answer.
        That matters because an answer may be lost, and then the caller asks again. Only after an
        outage a firing can be too late.
        """
        row = await self._database.fetch_one(
            """UPDATE firings SET dispatched_at = coalesce(dispatched_at, clock_timestamp())
               WHERE id = %(id)s AND (fires_at <= clock_timestamp() OR dispatched_at IS NOT NULL)
               RETURNING fires_at, clock_timestamp() AS now""",
            id=ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key),
        )
        if row is None:
            return not firing.is_undecided
        if row["now"] - row["fires_at"] <= MISFIRE_GRACE:
            return True
        async with self._database.transaction() as connection:
            return not await mark_missed_if_late(connection, firing, row["fires_at"], row["now"])

    async def overdue(
        self,
        limit: int,
        *,
        late_by: timedelta = WAKE_AFTER,
        before: OverdueAlarm | None = None,
    ) -> list[OverdueAlarm]:
        """Return alarms that have not rung for a time that has passed, latest time first."""
        position: dict[str, object] = {}
        if before is not None:
            position = {"at": before.next_at, "id": before.alarm_id}
        rows = await self._database.fetch(
            _SELECT_OVERDUE.format(
                "WHERE (next_at, alarm_id) < (%(at)s, %(id)s)" if position else ""
            ),
            after=late_by,
            limit=limit,
            **position,
        )
        return [OverdueAlarm(**row) for row in rows]


async def _read_until(connection: Connection, due: datetime) -> datetime:
    """Return the time of the alarm, or that of Postgres' clock if it is later or far earlier."""
    cursor = await connection.execute("SELECT clock_timestamp() AS now")
    (row,) = await cursor.fetchall()
    return decide_until(row["now"], due)


def _caller(ringing: Ringing, carries: Collection[ServedSchedule], workflow_id: str) -> Caller:
    owners = {(each.subscription_id, each.trigger) for each in carries}
    return Caller(ringing.due, owners, workflow_id)
