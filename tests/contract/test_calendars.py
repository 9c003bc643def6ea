"""The Catalog port: calendars are written by plans, and read by triggers and lists."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.gitops.plan import Plan, Wanted
from activityctl.domain.gitops.planning import plan_changes, plan_deletion
from activityctl.domain.manifests.calendar import DayCalendar, PresentCalendar
from activityctl.domain.values.moment import parse_days
from activityctl.domain.values.selection import Selection


def calendar(name: str, *days: str, **metadata: Any) -> DayCalendar:
    document = {"metadata": {"name": name, **metadata}, "spec": {"days": days}}
    return DayCalendar.model_validate_json(json.dumps(document))


async def applied(
    ports: wiring.Ports, at: datetime, *calendars: DayCalendar, applyset: str | None = None
) -> Plan:
    wanted = Wanted(
        calendars={calendar.metadata.name: calendar for calendar in calendars}, applyset=applyset
    )
    async with ports.catalog.changing():
        plan = plan_changes(wanted, await ports.catalog.present())
        await ports.catalog.write(plan, at)
    return plan


async def deleted(ports: wiring.Ports, at: datetime, name: str) -> None:
    async with ports.catalog.changing():
        plan = plan_deletion("Calendar", name, await ports.catalog.present())
        await ports.catalog.write(plan, at)


async def test_a_calendar_is_read_as_it_was_applied(ports: wiring.Ports, now: datetime):
    labels, annotations = {"team": "a"}, {"note": "naïve ☃"}
    await applied(
        ports,
        now,
        calendar("holidays", "2027-01-01", "2026-12-24/2026-12-26", labels=labels),
        calendar("edges", "0001-01-01", "9999-12-31", annotations=annotations),
        applyset="set",
    )
    days = tuple(map(parse_days, ("2026-12-24/2026-12-26", "2027-01-01")))
    edges = tuple(map(parse_days, ("0001-01-01", "9999-12-31")))
    assert await ports.catalog.calendars() == {"holidays": days, "edges": edges}
    expected = {
        "edges": PresentCalendar("edges", edges, now, now, {}, annotations, "set"),
        "holidays": PresentCalendar("holidays", days, now, now, labels, {}, "set"),
    }
    assert (await ports.catalog.present()).calendars == expected


async def test_a_change_keeps_the_creation_time_and_the_apply_set(
    ports: wiring.Ports, now: datetime
):
    later = now + timedelta(hours=1)
    await applied(ports, now, calendar("holidays", "2026-12-25"), applyset="set")
    await applied(ports, later, calendar("holidays", "2026-12-25"))
    (found,) = await ports.catalog.listed_calendars(Selection())
    assert found.updated_at == now
    changed = calendar("holidays", "2026-12-26", labels={"team": "a"})
    await applied(ports, later, changed, applyset="set")
    (found,) = await ports.catalog.listed_calendars(Selection())
    assert (found.created_at, found.updated_at, found.applyset) == (now, later, "set")
    assert (found.days, found.labels) == ((parse_days("2026-12-26"),), {"team": "a"})
    newest, _ = await ports.catalog.history("Calendar", "holidays")
    assert newest.document is not None
    assert newest.document["spec"] == {"days": ["2026-12-26"]}


async def test_a_deleted_calendar_can_be_created_again(ports: wiring.Ports, now: datetime):
    await applied(ports, now, calendar("holidays", "2026-12-25"), applyset="set")
    await deleted(ports, now, "holidays")
    assert await ports.catalog.calendars() == {}
    assert await ports.catalog.listed_calendars(Selection()) == []
    assert (await ports.catalog.present()).calendars == {}
    newest = (await ports.catalog.history("Calendar", "holidays"))[0]
    assert (newest.action, newest.document) == ("deleted", None)
    plan = await applied(ports, now, calendar("holidays", "2026-12-26"))
    assert plan.changes[0].action.value == "created"
    (found,) = await ports.catalog.listed_calendars(Selection())
    assert (found.days, found.applyset) == ((parse_days("2026-12-26"),), None)


async def test_calendars_are_listed_by_name_and_selected(ports: wiring.Ports, now: datetime):
    team = {"team": "a"}
    await applied(
        ports,
        now,
        calendar("b", "2026-12-25", labels=team),
        calendar("c", "2026-12-25", labels={**team, "x": "y"}),
        calendar("a", "2026-12-25"),
    )

    async def names(**selection: Any) -> list[str]:
        found = await ports.catalog.listed_calendars(Selection(**selection))
        return [calendar.name for calendar in found]

    assert await names() == ["a", "b", "c"]
    assert await names(limit=2) == ["a", "b"]
    assert await names(name="b") == ["b"]
    assert await names(name="d") == []
    assert await names(labels=team) == ["b", "c"]


async def test_a_change_sees_its_own_writes_and_loses_them_when_it_fails(
    ports: wiring.Ports, now: datetime
):
    wanted = Wanted(calendars={"holidays": calendar("holidays", "2026-12-25")})

    async def change_and_fail() -> None:
        async with ports.catalog.changing():
            plan = plan_changes(wanted, await ports.catalog.present())
            await ports.catalog.write(plan, now)
            assert set(await ports.catalog.calendars()) == {"holidays"}
            assert set((await ports.catalog.present()).calendars) == {"holidays"}
            raise LookupError

    with pytest.raises(LookupError):
        await change_and_fail()
    assert await ports.catalog.calendars() == {}
