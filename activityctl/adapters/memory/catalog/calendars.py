"""What a plan does to the calendars in memory, and which of them live."""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import CalendarRow, CatalogTables
from activityctl.domain.gitops.plan import Action, Plan
from activityctl.domain.manifests.calendar import PresentCalendar


def living_calendars(tables: CatalogTables) -> list[PresentCalendar]:
    """Return the calendars that are not deleted."""
    return [row.calendar for row in tables.calendars.values() if row.deleted_at is None]


def write_calendars(plan: Plan, now: datetime, tables: CatalogTables) -> None:
    """Write and delete the calendars that the plan changes."""
    for change in plan.changes:
        if change.kind != "Calendar" or change.action is Action.UNCHANGED:
            continue
        before = tables.calendars.get(change.name)
        if change.action is Action.DELETED:
            assert before is not None, "a plan deletes what is there"  # noqa: S101  # our bug
            gone = replace(before.calendar, applyset=None)
            tables.calendars[change.name] = CalendarRow(gone, now)
        else:
            tables.calendars[change.name] = CalendarRow(_written(plan, change.name, now, before))


def _written(plan: Plan, name: str, now: datetime, before: CalendarRow | None) -> PresentCalendar:
    calendar = plan.calendars[name]
    return PresentCalendar(
        name,
        calendar.days,
        before.calendar.created_at if before else now,
        now,
        dict(calendar.metadata.labels),
        dict(calendar.metadata.annotations),
        plan.applyset or (before.calendar.applyset if before else None),
    )
