"""Reads the days of calendars that triggers exclude."""

from collections.abc import Sequence

from activityctl.adapters.postgres.database import Connection
from activityctl.domain.timing.trigger import Trigger
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.moment import parse_days


async def read_calendars_of(connection: Connection, triggers: Sequence[Trigger]) -> DaysByCalendar:
    """Return the days of those calendars that the triggers name and that are live."""
    excluded = [trigger.exclude for trigger in triggers if trigger.exclude is not None]
    names = sorted({name for exclude in excluded for name in exclude.calendars})
    if not names:
        return {}
    cursor = await connection.execute(
        "SELECT name, days FROM calendars WHERE name = ANY(%s) AND deleted_at IS NULL", (names,)
    )
    rows = await cursor.fetchall()
    return {row["name"]: tuple(parse_days(days) for days in row["days"]) for row in rows}
