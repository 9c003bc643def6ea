"""Calendars in memory: the live ones, and the changes that a plan makes to them."""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import CalendarRow, CatalogTables
from activityctl.domain.gitops.plan import Action, Plan
from activityctl.domain.manifests.calendar import PresentCalendar


def live_calendars(tables: CatalogTables) -> list[PresentCalendar]:
    """Return the calendars that are not deleted."""
    return [row.calendar for row in tables.calendars.values() if row.deleted_at is None]


def write_calendars(plan: Plan, now: datetime, tables: CatalogTables) -> None:
    """Write and delete the calendars that the plan changes."""
    for change in plan.changes:
        if change.kind != "Calendar" or change.action is Action.UNCHANGED:
            continue
        present = tables.calendars.get(change.name)
        if change.action is Action.DELETED:
            assert present is not None, "a plan deletes live calendars"  # noqa: S101  # our bug
            deleted = replace(present.calendar, applyset=None)
            tables.calendars[change.name] = CalendarRow(deleted, now)
        else:
            tables.calendars[change.name] = CalendarRow(_calendar(plan, change.name, now, present))


def _calendar(plan: Plan, name: str, now: datetime, present: CalendarRow | None) -> PresentCalendar:
    calendar = plan.calendars[name]
    return PresentCalendar(
        name,
        calendar.days,
        present.calendar.created_at if present else now,
        now,
        dict(calendar.metadata.labels),
        dict(calendar.metadata.annotations),
        plan.applyset or (present.calendar.applyset if present else None),
    )
