"""The ledger of nominal times in Postgres: settled once each, and what is overdue."""

from datetime import timedelta

from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.settlements import miss_cut_off, settle_schedules
from activityctl.domain import ids
from activityctl.domain.firing_ref import FiringRef
from activityctl.domain.settlement import ON_TIME
from activityctl.ports import WAKE_AFTER, OverdueSchedule


class PostgresTimetable:
    """The Timetable port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def settle(self, firing: FiringRef) -> bool:
        """Give every nominal time that has come its fate; whether the caller's starts now."""
        schedule = ids.schedule_id(firing.subscription_id, firing.trigger)
        is_complete, fires = not firing.is_alarm, False
        while not is_complete:
            async with self._database.transaction() as connection:
                done = await settle_schedules(connection, [schedule], firing)
            is_complete = all(one.settlement.is_complete for one in done)
            fires = fires or any(one.fires(firing) for one in done)
        return fires or await self._claim(firing)

    async def _claim(self, firing: FiringRef) -> bool:
        """Take over what an earlier call, this one's or another's, found to start by now.

        What was given to a caller stays so: its answer may be lost, and the caller asks again.
        Only what an outage cut off may be too late by then.
        """
        row = await self._database.fetch_one(
            """UPDATE firings SET dispatched_at = coalesce(dispatched_at, clock_timestamp())
               WHERE id = %(id)s AND (fires_at <= clock_timestamp() OR dispatched_at IS NOT NULL)
               RETURNING fires_at, clock_timestamp() AS now""",
            id=ids.firing_id(firing.subscription_id, firing.trigger, firing.firing_key),
        )
        if row is None:
            return not firing.is_alarm
        if row["now"] - row["fires_at"] <= ON_TIME:
            return True
        async with self._database.transaction() as connection:
            return not await miss_cut_off(connection, firing, row["fires_at"], row["now"])

    async def overdue(
        self, limit: int, *, late_by: timedelta = WAKE_AFTER
    ) -> list[OverdueSchedule]:
        """Return schedules that nothing woke within that long of their next nominal time."""
        # The clock in a query of its own is read once, so that the index of next_at serves.
        rows = await self._database.fetch(
            """SELECT c.subscription_id, c.trigger, c.next_at FROM schedules c
               JOIN subscriptions s ON s.id = c.subscription_id AND s.status = 'active'
               WHERE c.next_at < (SELECT clock_timestamp() - %(after)s)
                 AND c.wanted_hash IS NOT NULL
               ORDER BY c.next_at LIMIT %(limit)s""",
            after=late_by,
            limit=limit,
        )
        return [
            OverdueSchedule(row["subscription_id"], row["trigger"], row["next_at"]) for row in rows
        ]
