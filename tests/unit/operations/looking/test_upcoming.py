"""The next firings of live subscriptions and of manifests that are not applied."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.timing.firing import Ringing
from activityctl.domain.values.moment import DaySpan
from activityctl.errors import ConflictError, InvalidInputError, NotFoundError
from activityctl.operations.looking.upcoming import (
    TimeRange,
    Upcoming,
    merge_upcoming,
    upcoming,
    upcoming_of_files,
)

NOW = datetime(2026, 12, 24, tzinfo=UTC)
NIGHTLY = {"name": "nightly", "cron": {"schedule": "0 2 * * *"}}
HOURLY = {"name": "hourly", "interval": {"every": "1h"}}
TEN = TimeRange(NOW, None, 10)


def definition(*triggers: dict[str, Any]) -> ActivityDefinition:
    spec = {"triggers": list(triggers), "tasks": [{"name": "a", "say": {}}]}
    return ActivityDefinition.model_validate_json(
        json.dumps({"metadata": {"name": "digest"}, "spec": spec})
    )


def subscription(name: str = "mine", **spec: Any) -> SubscriptionManifest:
    body = {"metadata": {"name": name}, "spec": {"activity": "digest", **spec}}
    return SubscriptionManifest.model_validate_json(json.dumps(body))


def calendar(day: str) -> DayCalendar:
    body = {"metadata": {"name": "holidays"}, "spec": {"days": [day]}}
    return DayCalendar.model_validate_json(json.dumps(body))


def files(*manifests: Any) -> ManifestSet:
    def named(kind: type) -> dict[str, Any]:
        return {
            manifest.metadata.name: manifest for manifest in manifests if isinstance(manifest, kind)
        }

    return ManifestSet(
        named(ActivityDefinition), named(SubscriptionManifest), calendars=named(DayCalendar)
    )


async def applied(*manifests: Any, state: MemoryState | None = None) -> MemoryPorts:
    ports = memory_ports(state)
    async with ports.catalog.changing():
        plan = plan_changes(files(*manifests).wanted, await ports.catalog.present())
        await ports.catalog.write(plan, NOW)
    return ports


async def live(ports: MemoryPorts, time_range: TimeRange = TEN) -> Upcoming:
    return await upcoming(ports.catalog, ports.register, ports.outbox, "mine", time_range, NOW)


def shown(found: Upcoming) -> list[tuple[str, str]]:
    return [(firing.trigger, f"{firing.due_at:%d %H:%M}") for firing in found.occurrences]


async def test_a_live_subscription_shows_the_due_times_of_its_triggers():
    found = await live(
        await applied(definition(NIGHTLY, HOURLY), subscription()), TimeRange(NOW, None, 4)
    )
    assert shown(found) == [
        ("hourly", "24 00:00"),
        ("hourly", "24 01:00"),
        ("hourly", "24 02:00"),
        ("nightly", "24 02:00"),
    ]
    assert found.notes == ()


async def test_until_is_included_and_ends_the_list():
    ports = await applied(definition(HOURLY), subscription())
    found = await live(ports, TimeRange(NOW, NOW + timedelta(hours=2), 10))
    assert shown(found) == [("hourly", f"24 0{hour}:00") for hour in range(3)]


async def test_overrides_and_live_calendars_are_applied():
    excluding = {**NIGHTLY["cron"], "exclude": {"calendars": ["holidays"]}}
    ports = await applied(
        definition({"name": "nightly", "cron": excluding}, HOURLY),
        subscription(triggers={"hourly": None, "nightly": {"cron": {"schedule": "0 4 * * *"}}}),
        calendar("2026-12-25"),
    )
    found = await live(ports, TimeRange(NOW, None, 2))
    assert shown(found) == [("nightly", "24 04:00"), ("nightly", "25 04:00")]
    assert found.occurrences[1].note == "skipped: excluded: 2026-12-25 (calendar holidays)"


async def test_a_paused_subscription_fires_nothing_and_has_a_note():
    ports = await applied(definition(HOURLY), subscription())
    owner = await ports.catalog.find_subscription("mine")
    await ports.catalog.set_subscription_status(owner.id, SubscriptionStatus.PAUSED, NOW)
    found = await live(ports, TimeRange(NOW, None, 2))
    assert [(firing.fires_at, firing.note) for firing in found.occurrences] == [
        (None, "paused")
    ] * 2
    assert "activityctl resume mine" in found.notes[0]


async def test_a_subscription_without_cron_and_interval_triggers_has_a_note():
    found = await live(await applied(definition(), subscription()))
    assert found.occurrences == ()
    assert "no cron or interval trigger" in found.notes[0]


async def test_earlier_firings_count_towards_max_firings():
    state = MemoryState()
    limited = {"name": "hourly", "interval": {"every": "1h", "maxFirings": 3}}
    ports = await applied(definition(limited), subscription(), state=state)
    (record,) = state.catalog.schedules.values()
    for fired, left in ((1, 2), (3, 0)):
        changed = replace(record, fired=fired)
        state.catalog.schedules[record.wanted.id] = changed
        found = await live(ports, TimeRange(NOW + timedelta(minutes=1), None, 10))
        assert len(found.occurrences) == left
    assert "maxFirings 3 reached" in found.notes[0]


async def waiting(body: dict[str, Any], **spec: Any) -> tuple[MemoryPorts, Any]:
    """A firing of 01:00, decided five minutes later, that waits for its window at 06:00."""
    state = MemoryState()
    state.catalog.clock = lambda: NOW
    window = {"from": "06:00", "to": "24:00"}
    trigger = {"name": "hourly", "interval": {"every": "1h", "window": window, **body}}
    ports = await applied(definition(trigger), subscription(**spec), state=state)
    state.catalog.clock = lambda: NOW + timedelta(minutes=65)
    (due,) = await ports.timetable.overdue(10)
    (served,) = await ports.timetable.served(due.alarm_id, 10)
    ringing = Ringing(due.alarm_id, due.next_at.isoformat())
    assert (await ports.timetable.ring(ringing, [served], "w")).firings == []
    return ports, served.subscription_id


LATER = NOW + timedelta(minutes=66)


async def later(ports: MemoryPorts, time_range: TimeRange) -> Upcoming:
    return await upcoming(ports.catalog, ports.register, ports.outbox, "mine", time_range, LATER)


async def test_a_waiting_firing_is_listed_before_the_next_due_times():
    ports, _ = await waiting({})
    found = await later(ports, TimeRange(LATER, None, 2))
    assert shown(found) == [("hourly", "24 01:00"), ("hourly", "24 02:00")]
    first = found.occurrences[0]
    assert first.fires_at == NOW + timedelta(hours=6)
    assert first.note is not None
    assert first.note.startswith("waits until 2026-12-24T06:00:00Z; waits: outside its window")


async def test_a_waiting_firing_is_listed_once_when_the_range_includes_its_due_time():
    ports, _ = await waiting({})
    found = await later(ports, TimeRange(NOW + timedelta(minutes=1), None, 2))
    assert shown(found) == [("hourly", "24 01:00"), ("hourly", "24 02:00")]
    assert str(found.occurrences[0].note).startswith("waits until")


async def test_a_waiting_firing_is_listed_although_max_firings_is_reached():
    ports, _ = await waiting({"maxFirings": 1})
    found = await later(ports, TimeRange(LATER, None, 10))
    assert shown(found) == [("hourly", "24 01:00")]
    assert "maxFirings 1 reached" in found.notes[0]


async def test_a_waiting_firing_is_listed_while_the_subscription_is_paused():
    ports, owner = await waiting({})
    await ports.catalog.set_subscription_status(owner, SubscriptionStatus.PAUSED, LATER)
    waits, paused = (await later(ports, TimeRange(LATER, None, 2))).occurrences
    assert waits.fires_at == NOW + timedelta(hours=6)
    assert str(waits.note).endswith("; missed if still paused at that time")
    assert paused.note == "paused"


async def test_a_waiting_firing_that_starts_before_the_range_is_not_listed():
    ports, _ = await waiting({})
    found = await later(ports, TimeRange(NOW + timedelta(hours=6, minutes=1), None, 1))
    assert shown(found) == [("hourly", "24 07:00")]


async def test_only_the_named_trigger_is_listed():
    ports = await applied(definition(NIGHTLY, HOURLY), subscription())
    found = await live(ports, TimeRange(NOW, None, 2, trigger="nightly"))
    assert shown(found) == [("nightly", "24 02:00"), ("nightly", "25 02:00")]
    with pytest.raises(NotFoundError, match="absent"):
        await live(ports, TimeRange(NOW, None, 2, trigger="absent"))


async def test_the_result_says_whether_there_are_more_firings_than_the_limit():
    ports = await applied(definition(HOURLY), subscription())
    for limit, is_cut in ((3, False), (2, True)):
        found = await live(ports, TimeRange(NOW, NOW + timedelta(hours=2), limit))
        assert (len(found.occurrences), found.is_cut) == (limit, is_cut)


def test_a_calendar_that_is_not_in_the_files_is_noted():
    excluding = {**NIGHTLY["cron"], "exclude": {"calendars": ["holidays"]}}
    manifests = definition({"name": "nightly", "cron": excluding}), subscription()
    (lacking,) = upcoming_of_files(files(*manifests), None, TEN, NOW)
    assert "calendar holidays, which was not found" in lacking.notes[0]
    (whole,) = upcoming_of_files(files(*manifests, calendar("2026-12-25")), None, TEN, NOW)
    assert whole.notes == ()


async def test_a_deleted_subscription_has_no_next_firing():
    state = MemoryState()
    ports = await applied(definition(HOURLY), subscription(), state=state)
    owner = await ports.catalog.find_subscription("mine")
    deleted = type(owner)(
        **{field: getattr(owner, field) for field in owner.__slots__}
        | {"status": SubscriptionStatus.DELETED}
    )
    state.catalog.subscriptions[owner.id] = deleted
    with pytest.raises(ConflictError, match="was deleted"):
        await live(ports)


async def test_files_show_what_applying_them_would_fire():
    manifests = (definition(NIGHTLY, HOURLY), subscription(), calendar("2026-12-25"))
    (found,) = upcoming_of_files(files(*manifests), None, TEN, NOW)
    assert found == await live(await applied(*manifests))


def test_files_use_their_own_calendars():
    excluding = {**NIGHTLY["cron"], "exclude": {"calendars": ["holidays"]}}
    manifests = files(
        definition({"name": "nightly", "cron": excluding}), subscription(), calendar("2026-12-24")
    )
    (found,) = upcoming_of_files(manifests, "mine", TimeRange(NOW, None, 1), NOW)
    assert found.occurrences[0].note == "skipped: excluded: 2026-12-24 (calendar holidays)"
    assert manifests.calendars["holidays"].days == (
        DaySpan(date(2026, 12, 24), date(2026, 12, 24)),
    )


def test_a_subscription_that_is_paused_in_the_files_fires_nothing():
    (found,) = upcoming_of_files(
        files(definition(HOURLY), subscription(paused=True)), None, TEN, NOW
    )
    assert {firing.note for firing in found.occurrences} == {"paused"}


def test_several_subscriptions_are_merged_by_time_with_one_limit():
    manifests = files(definition(HOURLY), subscription("b"), subscription("a"))
    found = upcoming_of_files(manifests, None, TimeRange(NOW, None, 3), NOW)
    pairs = [(name, f"{firing.due_at:%H:%M}") for name, firing in merge_upcoming(found, 3)[0]]
    assert pairs == [("a", "00:00"), ("b", "00:00"), ("a", "01:00")]


def test_a_missing_definition_is_an_error_for_the_named_subscription_else_a_note():
    manifests = files(subscription())
    (found,) = upcoming_of_files(manifests, None, TEN, NOW)
    assert "which is not in these files" in found.notes[0]
    with pytest.raises(InvalidInputError, match='"digest"'):
        upcoming_of_files(manifests, "mine", TEN, NOW)
    with pytest.raises(NotFoundError):
        upcoming_of_files(manifests, "other", TEN, NOW)
