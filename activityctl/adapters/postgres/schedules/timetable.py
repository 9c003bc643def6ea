"""The ledger of nominal times in Postgres: settled once each, and what is overdue."""

from datetime import timedelta
from typing import Final

from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.schedules.due_schedules import process_due_schedules
from activityctl.adapters.postgres.schedules.late_starts import mark_missed_if_late
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.timing.misfires import MISFIRE_GRACE
from activityctl.domain.values import ids
from activityctl.ports import WAKE_AFTER, OverdueSchedule

# The clock in a query of its own is read once, so that the index of next_at serves.
_OVERDUE: Final = """
    SELECT c.subscription_id, c.trigger, c.next_at, clock_timestamp() - c.next_at AS late
    FROM schedules c JOIN subscriptions s ON s.id = c.subscription_id AND s.status = 'active'
    WHERE c.next_at < (SELECT clock_timestamp() - %(after)s) AND c.wanted_hash IS NOT NULL {}
    ORDER BY c.next_at DESC, c.id DESC LIMIT %(limit)s"""


class PostgresTimetable:
    """The Timetable port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def process_due(self, firing: FiringRef) -> bool:
        """Give every nominal time that has come its fate; whether the caller's starts now."""
        schedule = ids.schedule_id(firing.subscription_id, firing.trigger)
        is_complete, fires = not firing.is_unsettled, False
        while not is_complete:
            async with self._database.transaction() as connection:
                settled = await process_due_schedules(connection, [schedule], firing)
            is_complete = all(one.is_complete for one in settled.values())
            fires = fires or any(one.starts_now(firing.due) for one in settled.values())
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
            return not firing.is_unsettled
        if row["now"] - row["fires_at"] <= MISFIRE_GRACE:
            return True
        async with self._database.transaction() as connection:
            return not await mark_missed_if_late(connection, firing, row["fires_at"], row["now"])

    async def overdue(
        self,
        limit: int,
        *,
        late_by: timedelta = WAKE_AFTER,
        before: OverdueSchedule | None = None,
    ) -> list[OverdueSchedule]:
        """Return schedules that nothing woke in time, the latest of their times first."""
        place: dict[str, object] = {}
        if before is not None:
            schedule = ids.schedule_id(before.subscription_id, before.trigger)
            place = {"at": before.next_at, "id": schedule}
        rows = await self._database.fetch(
            _OVERDUE.format("AND (c.next_at, c.id) < (%(at)s, %(id)s)" if place else ""),
            after=late_by,
            limit=limit,
            **place,
        )
        return [OverdueSchedule(**row) for row in rows]
