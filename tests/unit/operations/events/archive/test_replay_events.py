"""Replays of events: preview, no second run in one replay, and the pace of the dispatcher."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.values import ids
from activityctl.errors import ConflictError, NotFoundError, UsageError, WaitTimeoutError
from activityctl.operations.events import replay_events, replay_preview
from activityctl.operations.events.replay_events import replay_archived_events
from activityctl.operations.events.replay_preview import (
    ReplayPreview,
    ReplayRequest,
    preview_replay,
)

PAID = {"type": "order.paid"}
LARGE = {"type": "order.paid", "filter": "event.data.amount >= params.least"}
Started = Callable[[], list[list[str]]]


async def previewed(world: Any, replay: str = "r", **request: Any) -> ReplayPreview:
    wanted = {"subscription": "mine", "trigger": None, "query": world.query(), **request}
    ports = world.ports
    return await preview_replay(
        ports.catalog, ports.events, ports.archive, ReplayRequest(replay, **wanted), world.now
    )


async def replayed(world: Any, replay: str = "r", **request: Any) -> int:
    found = await previewed(world, replay, **request)
    return await replay_archived_events(world.ports.archive, found, world.now, timeout_seconds=None)


def firsts(found: ReplayPreview) -> list[list[str]]:
    return [[event.document["id"] for event in trigger.events] for trigger in found.triggers]


async def test_events_are_matched_with_the_live_triggers_and_a_preview_stores_nothing(world: Any):
    await world.arrive(50, 150, 250)
    await world.apply(world.wanted({"large": LARGE, "all": PAID}))
    found = await previewed(world)
    assert [(trigger.trigger, trigger.firings, trigger.new) for trigger in found.triggers] == [
        ("large", 2, 2),
        ("all", 3, 3),
    ]
    assert firsts(found) == [["e1", "e2"], ["e0", "e1", "e2"]]
    assert (found.events, found.new, len(world.state.firings)) == (3, 5, 0)


async def test_a_replay_starts_each_event_once_and_another_name_starts_it_again(
    world: Any, started: Started
):
    await world.apply(world.wanted({"all": PAID}))
    await world.arrive(1, 2)
    assert await replayed(world) == 2
    assert started() == [["e0"], ["e1"]]
    found = await previewed(world)
    assert [(trigger.firings, trigger.new) for trigger in found.triggers] == [(2, 0)]
    assert await replayed(world) == 0
    await world.arrive(3)
    assert await replayed(world) == 1, "only the new event"
    assert await replayed(world, "other") == 3
    keys = [row.firing.firing_key.rsplit("/", 1)[0] for row in world.state.firings.values()]
    assert keys == ["replay/r"] * 3 + ["replay/other"] * 3


async def test_a_repeated_replay_starts_events_whose_filter_had_failed(
    world: Any, started: Started
):
    await world.apply(world.wanted({"large": LARGE}))
    await world.arrive(150, "many")
    found = await previewed(world)
    (trigger,) = found.triggers
    assert (trigger.new, sum(trigger.left.values())) == (1, 1)
    (reason,) = trigger.left
    assert reason.startswith("error: filter error")
    assert await replayed(world) == 1
    verdicts = list(world.state.verdicts.values())
    assert {verdict.replay for verdict in verdicts} == {"r"}
    await world.apply(world.wanted({"large": PAID}))
    assert await replayed(world) == 1
    assert started() == [["e0"], ["e1"]]
    assert {verdict.outcome.value for verdict in world.state.verdicts.values()} == {"woken"}


async def test_a_replay_starts_runs_of_a_paused_subscription(world: Any):
    await world.apply(world.wanted({"all": PAID}))
    await world.arrive(1)
    await world.set_status("mine", SubscriptionStatus.PAUSED)
    (trigger,) = (await previewed(world)).triggers
    assert (trigger.is_paused, trigger.new) == (True, 1)
    assert await replayed(world) == 1


async def test_exclusions_apply_to_the_day_of_arrival(world: Any):
    await world.apply(world.wanted({"all": {**PAID, "exclude": {"dates": ["2026-03-10"]}}}))
    await world.arrive(1)
    (trigger,) = (await previewed(world)).triggers
    assert (trigger.new, trigger.left) == (0, {"skipped: excluded: 2026-03-10": 1})


async def test_an_excluded_event_becomes_a_skipped_run_once_in_each_replay(world: Any):
    await world.apply(world.wanted({"all": {**PAID, "exclude": {"dates": ["2026-03-10"]}}}))
    await world.arrive(1)
    assert (await previewed(world)).triggers[0].refused == 1
    assert world.state.runs == {}, "a preview stores nothing"
    for _ in range(2):
        assert await replayed(world) == 0
    (row,) = world.state.runs.values()
    assert (row.run.status.value, row.run.reason) == ("skipped", "excluded: 2026-03-10")
    assert row.run.firing_key.startswith("replay/r/")
    (verdict,) = world.state.verdicts.values()
    assert (verdict.outcome.value, verdict.run_id) == ("skipped", row.run.id)
    assert len(world.state.log) == 1
    await replayed(world, "other")
    assert len(world.state.runs) == 2


async def test_an_event_that_is_no_longer_excluded_starts_in_a_repeat(world: Any, started: Started):
    await world.apply(world.wanted({"all": {**PAID, "exclude": {"dates": ["2026-03-10"]}}}))
    await world.arrive(1)
    await replayed(world)
    await world.apply(world.wanted({"all": PAID}))
    assert await replayed(world) == 1
    assert started() == [["e0"]]
    ((owner, trigger, key),) = [
        (row.firing.subscription_id, row.firing.trigger, row.firing.firing_key)
        for row in world.state.firings.values()
    ]
    run_id = ids.run_id(owner, trigger, key)
    assert run_id not in world.state.runs, "otherwise it would count as started"
    (verdict,) = world.state.verdicts.values()
    assert verdict.outcome.value == "woken"


async def test_an_event_that_still_waits_at_the_end_of_the_range_is_dropped(world: Any):
    await world.apply(world.wanted({"pair": {**PAID, "batch": {"size": 2, "within": "1h"}}}))
    await world.arrive(1, 2, 3)
    (trigger,) = (await previewed(world)).triggers
    ended = "dropped: the replay ended while the event waited for other events"
    assert (trigger.new, trigger.left) == (1, {ended: 1})
    await replayed(world)
    outcomes = [verdict.outcome.value for verdict in world.state.verdicts.values()]
    assert sorted(outcomes) == ["dropped", "woken", "woken"]


async def test_replayed_firings_do_not_start_before_firings_that_are_already_due(world: Any):
    await world.apply(world.wanted({"all": PAID}))
    await world.arrive(1)
    world.now += timedelta(hours=1)
    await replayed(world)
    (row,) = world.state.firings.values()
    assert row.fires_at == world.now
    assert row.firing.due_at < world.now - timedelta(minutes=59), "due when the event arrived"


async def test_triggers_gather_events_by_their_times_of_arrival(world: Any, started: Started):
    debounce = {**PAID, "debounce": {"for": "90s"}}
    parts = [{"type": "order.paid"}, {"type": "stock"}]
    both = {"all": parts, "within": "20m"}
    await world.apply(world.wanted({"quiet": debounce, "both": both}))
    await world.arrive(1, 2)  # a minute apart
    world.now += timedelta(minutes=5)
    await world.arrive(3)
    await world.arrive(0, kind="stock")
    world.now += timedelta(minutes=5)
    found = await previewed(world)
    assert {trigger.trigger: trigger.new for trigger in found.triggers} == {"quiet": 2, "both": 1}
    assert await replayed(world) == 3
    assert sorted(started()) == [["e0", "e1"], ["e0", "e1", "e2", "e3"], ["e2"]]
    assert await replayed(world) == 0
    assert world.state.gatherings == {}, "events that wait now are not changed"


async def test_a_debounce_ends_only_within_the_range_of_the_replay(world: Any, started: Started):
    await world.apply(world.wanted({"quiet": {**PAID, "debounce": {"for": "90s"}}}))
    await world.arrive(1)
    assert await replayed(world, "early") == 0, "another event may still come"
    world.now += timedelta(minutes=1)
    assert await replayed(world, "late") == 1
    assert started() == [["e0"]]


@pytest.mark.parametrize("page", [1, 2, 500])
async def test_the_size_of_pages_does_not_matter(
    world: Any, started: Started, monkeypatch: pytest.MonkeyPatch, page: int
):
    monkeypatch.setattr(replay_preview, "_PAGE", page)
    batch = {**PAID, "batch": {"size": 3, "within": "1h"}}
    await world.apply(world.wanted({"all": PAID, "batch": batch}))
    await world.arrive(*range(7))
    assert (await previewed(world)).new == 9
    assert await replayed(world) == 9
    assert sorted(events for events in started() if len(events) > 1) == [
        ["e0", "e1", "e2"],
        ["e3", "e4", "e5"],
    ]


async def test_a_replay_can_be_limited_to_a_trigger_and_types(world: Any, started: Started):
    await world.apply(world.wanted({"all": {"type": "*"}, "large": LARGE}, ("mine", "other")))
    await world.arrive(500)
    await world.arrive(500, kind="stock")
    query = world.query(types=("st*",))
    assert await replayed(world, trigger="all", query=query) == 1
    assert started() == [["e1"]]
    assert await replayed(world, "everybody", subscription=None) == 6


async def test_a_replay_without_an_event_trigger_is_refused_with_a_reason(world: Any):
    await world.apply(world.wanted({}, ("idle",)))
    with pytest.raises(UsageError, match='"idle" has no event trigger'):
        await previewed(world, subscription="idle")
    with pytest.raises(UsageError, match="no subscription has an event trigger"):
        await previewed(world, subscription=None)
    with pytest.raises(NotFoundError):
        await previewed(world, subscription="nobody")
    await world.apply(world.wanted({"all": PAID}))
    with pytest.raises(NotFoundError) as caught:
        await previewed(world, trigger="large")
    assert caught.value.hint == "event triggers: all"
    await world.set_status("mine", SubscriptionStatus.DELETED)
    with pytest.raises(ConflictError, match="was deleted"):
        await previewed(world)


async def test_a_replay_waits_for_the_dispatcher_and_a_repeat_continues_it(
    world: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(replay_preview, "_PAGE", 2)
    monkeypatch.setattr(replay_events, "_MOST_WAITING", 4)
    await world.apply(world.wanted({"all": PAID}))
    await world.arrive(*range(10))
    found = await previewed(world)
    with pytest.raises(WaitTimeoutError, match="4 firings are stored"):
        await replay_archived_events(world.ports.archive, found, world.now, timeout_seconds=0.0)
    assert len(world.state.firings) == 4
    for key, row in world.state.firings.items():
        world.state.firings[key] = replace(row, dispatched_at=world.now)
    with pytest.raises(WaitTimeoutError):
        await replay_archived_events(world.ports.archive, found, world.now, timeout_seconds=0.0)
    assert len(world.state.firings) == 8
    assert (
        await replay_archived_events(world.ports.archive, found, world.now, timeout_seconds=None)
        == 2
    )
