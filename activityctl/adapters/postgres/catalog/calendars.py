"""Calendars in Postgres: the live ones, and the changes that a plan makes to them."""

from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from activityctl.adapters.postgres.database import Connection
from activityctl.domain.gitops.plan import Change, Plan
from activityctl.domain.manifests.calendar import PresentCalendar
from activityctl.domain.values.moment import DaySpan, parse_days

SELECT_LIVE_CALENDARS: Final = "SELECT c.* FROM calendars c WHERE c.deleted_at IS NULL"


def days_of(stored: list[str]) -> tuple[DaySpan, ...]:
    """Return the days of the `days` column of a calendar."""
    return tuple(parse_days(text) for text in stored)


def calendar_of(row: dict[str, Any]) -> PresentCalendar:
    """Return the calendar of a row of the table."""
    return PresentCalendar(
        row["name"],
        days_of(row["days"]),
        row["created_at"],
        row["updated_at"],
        row["labels"],
        row["annotations"],
        row["applyset"],
    )


async def write_calendars(
    connection: Connection, plan: Plan, changed: list[Change], now: datetime
) -> None:
    """Write and delete the calendars that the plan changes, in the caller's transaction."""
    names = {change.name for change in changed if change.kind == "Calendar"}
    rows = [
        {
            "name": name,
            "days": [str(span) for span in calendar.days],
            "labels": calendar.metadata.labels,
            "annotations": calendar.metadata.annotations,
        }
        for name, calendar in plan.calendars.items()
        if name in names
    ]
    await connection.execute(
        """INSERT INTO calendars (name, days, labels, annotations, applyset, created_at, updated_at)
           SELECT x.name, x.days, x.labels, x.annotations, %(applyset)s, %(now)s, %(now)s
           FROM jsonb_to_recordset(%(rows)s) AS x(name text, days jsonb, labels jsonb,
               annotations jsonb)
           ON CONFLICT (name) DO UPDATE SET days = excluded.days, labels = excluded.labels,
               annotations = excluded.annotations, updated_at = excluded.updated_at,
               applyset = coalesce(excluded.applyset, calendars.applyset), deleted_at = NULL""",
        {"rows": Jsonb(rows), "applyset": plan.applyset, "now": now},
    )
    await connection.execute(
        "UPDATE calendars SET deleted_at = %s, applyset = NULL WHERE name = ANY(%s)",
        (now, plan.deleted("Calendar")),
    )
