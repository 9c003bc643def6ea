"""The timetable in Postgres: decides each due time once, and finds overdue schedules."""

from datetime import timedelta
from typing import Final

from activityctl.adapters.postgres.database import Database
from activityctl.adapters.postgres.schedules.due_schedules import process_due_schedules
from activityctl.adapters.postgres.schedules.late_starts import mark_missed_if_late
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.timing.misfires import MISFIRE_GRACE
from activityctl.domain.values import ids
from activityctl.ports import WAKE_AFTER, OverdueSchedule

# The subquery reads the clock once, so that the index on next_at is used.
_SELECT_OVERDUE: Final = """
    SELECT c.subscription_id, c.trigger, c.next_at, clock_timestamp() - c.next_at AS late
    FROM schedules c JOIN subscriptions s ON s.id = c.subscription_id AND s.status = 'active'
    WHERE c.next_at < (SELECT clock_timestamp() - %(after)s) AND c.wanted_hash IS NOT NULL {}
    ORDER BY c.next_at DESC, c.id DESC LIMIT %(limit)s"""


class PostgresTimetable:
    """Implements the Timetable port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def process_due(self, firing: FiringRef) -> bool:
        """Decide every due time up to now; return whether the caller's firing starts now."""
        schedule = ids.schedule_id(firing.subscription_id, firing.trigger)
        is_complete, fires = not firing.is_undecided, False
        while not is_complete:
            async with self._database.transaction() as connection:
                decided = await process_due_schedules(connection, [schedule], firing)
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
        before: OverdueSchedule | None = None,
    ) -> list[OverdueSchedule]:
        """Return schedules whose next time has passed without a wake-up, latest time first."""
        position: dict[str, object] = {}
        if before is not None:
            schedule = ids.schedule_id(before.subscription_id, before.trigger)
            position = {"at": before.next_at, "id": schedule}
        rows = await self._database.fetch(
            _SELECT_OVERDUE.format("AND (c.next_at, c.id) < (%(at)s, %(id)s)" if position else ""),
            after=late_by,
            limit=limit,
            **position,
        )
        return [OverdueSchedule(**row) for row in rows]
