"""A plan compared with stored events: matches before and after, and the part that decides."""

from datetime import timedelta
from typing import Any

import pytest

from activityctl.domain.gitops.trigger_impact import SHOWN_EVENTS, impact_view
from activityctl.domain.values.json_form import View
from activityctl.operations.gitops.plan_impact import EventRange, compare_with_events

PAID = {"type": "order.paid"}
LARGE = {"type": "order.paid", "filter": "event.data.amount >= params.least"}


async def compared(world: Any, wanted: Any, **more: Any) -> View:
    plan, present = await world.plan(wanted), await world.ports.catalog.present()
    events = EventRange(world.now - timedelta(days=7), world.now, "7d")
    found = await compare_with_events(world.ports.archive, plan, present, events, **more)
    return impact_view(found)


def counts(view: View) -> dict[str, tuple[str, int, int, int, int]]:
    fields = ("action", "before", "after", "gained", "lost")
    return {
        f"{trigger['subscription']}/{trigger['trigger']}": tuple(trigger[name] for name in fields)
        for trigger in view["triggers"]
    }


async def test_a_new_trigger_is_shown_with_the_events_that_it_would_match(world: Any):
    await world.arrive(50, 100, 150)
    await world.arrive(500, kind="stock")
    found = await compared(world, world.wanted({"large": LARGE}))
    assert counts(found) == {"mine/large": ("created", 0, 2, 2, 0)}
    assert (found["events"], found["read"], found["isCut"]) == (3, 3, False)
    (trigger,) = found["triggers"]
    assert [event["id"] for event in trigger["differing"]] == ["e2", "e1"], "newest first"
    assert {event["decidedBy"] for event in trigger["differing"]} == {None}


async def test_a_changed_filter_names_the_part_that_decides_with_its_values(world: Any):
    await world.apply(world.wanted({"large": LARGE}))
    await world.arrive(50, 120, 300, region="eu")
    narrower = {**LARGE, "filter": 'event.data.amount >= 200 && event.data.region == "eu"'}
    found = await compared(world, world.wanted({"large": narrower}))
    assert counts(found) == {"mine/large": ("configured", 2, 1, 0, 1)}
    (event,) = found["triggers"][0]["differing"]
    assert (event["id"], event["matchesAfter"], event["holds"]) == ("e1", False, False)
    assert event["decidedBy"] == "event.data.amount >= 200"
    assert event["operands"] == [{"text": "event.data.amount", "value": 120, "error": None}]


async def test_params_of_a_subscription_change_what_its_filter_matches(world: Any):
    await world.apply(world.wanted({"large": LARGE, "all": PAID}, ("mine", "other")))
    await world.arrive(50, 120)
    wanted = world.wanted({"large": LARGE, "all": PAID}, params={"least": 10})
    found = await compared(world, wanted)
    assert counts(found) == {"mine/large": ("configured", 1, 2, 1, 0)}
    (event,) = found["triggers"][0]["differing"]
    assert event["decidedBy"] == "event.data.amount >= params.least"
    assert [operand["value"] for operand in event["operands"]] == [50, 100], (
        "the values before the change"
    )


async def test_a_definition_changes_for_every_subscription_to_it(world: Any):
    await world.apply(world.wanted({"all": PAID}, ("mine", "other")))
    await world.arrive(1)
    found = await compared(world, world.wanted({"all": {"type": "order.*"}}, ("mine",)))
    same = ("configured", 1, 1, 0, 0)
    assert counts(found) == {"mine/all": same, "other/all": same}


async def test_a_deleted_trigger_loses_its_matches(world: Any):
    await world.apply(world.wanted({"all": PAID, "large": LARGE}, ("mine", "other")))
    await world.arrive(1, 200)
    found = await compared(world, world.wanted({"large": LARGE}, ("mine",), prune=True))
    assert counts(found) == {
        "mine/all": ("deleted", 2, 0, 0, 2),
        "other/all": ("deleted", 2, 0, 0, 2),
        "other/large": ("deleted", 1, 0, 0, 1),
    }


async def test_a_renamed_or_switched_off_trigger_is_compared(world: Any):
    await world.apply(world.wanted({"all": PAID}))
    await world.arrive(1)
    assert counts(await compared(world, world.wanted({"every": PAID}))) == {
        "mine/all": ("deleted", 1, 0, 0, 1),
        "mine/every": ("created", 0, 1, 1, 0),
    }
    switched_off = world.wanted({"all": PAID}, triggers={"all": None})
    assert counts(await compared(world, switched_off)) == {"mine/all": ("deleted", 1, 0, 0, 1)}


async def test_a_change_that_does_not_affect_matching_reads_no_event(world: Any):
    await world.apply(world.wanted({"all": PAID, "large": LARGE}))
    await world.arrive(1, 2)
    wanted = world.wanted({"all": {**PAID, "priority": 5, "ordered": True}, "large": LARGE})
    found = await compared(world, wanted)
    assert (found["triggers"], found["events"], found["read"]) == ([], 2, 0)


async def test_filter_errors_are_counted_separately(world: Any):
    await world.apply(world.wanted({"large": PAID}))
    await world.arrive(1, "many")
    (trigger,) = (await compared(world, world.wanted({"large": LARGE})))["triggers"]
    assert (
        trigger["before"],
        trigger["after"],
        trigger["errorsBefore"],
        trigger["errorsAfter"],
    ) == (2, 0, 0, 1)
    failing = next(event for event in trigger["differing"] if event["id"] == "e1")
    assert failing["holds"] is None


async def test_triggers_of_several_events_count_each_event_once(world: Any):
    parts = [{"type": "order.*"}, {"type": "*.paid"}]
    await world.arrive(1)
    await world.arrive(1, kind="stock")
    wanted = world.wanted({"both": {"all": parts, "within": "1h"}})
    assert counts(await compared(world, wanted)) == {"mine/both": ("created", 0, 1, 1, 0)}


async def test_an_event_matches_although_another_part_fails(world: Any):
    parts = [PAID, {"type": "*", "filter": "event.data.missing > 1"}]
    await world.arrive(1)
    found = await compared(world, world.wanted({"both": {"all": parts, "within": "1h"}}))
    assert counts(found) == {"mine/both": ("created", 0, 1, 1, 0)}
    assert found["triggers"][0]["errorsAfter"] == 0


async def test_only_the_newest_events_are_read_and_the_result_says_so(world: Any):
    await world.arrive(*range(1, 12))
    seen: list[tuple[int, int]] = []
    found = await compared(
        world,
        world.wanted({"all": PAID}),
        most=10,
        on_read=lambda read, total: seen.append((read, total)),
    )
    assert (found["events"], found["read"], found["isCut"]) == (11, 10, True)
    (trigger,) = found["triggers"]
    assert (trigger["gained"], len(trigger["differing"])) == (10, SHOWN_EVENTS)
    assert trigger["differing"][0]["id"] == "e10"
    assert seen[-1] == (10, 10)


async def test_events_that_no_changed_trigger_accepts_do_not_count_towards_the_limit(world: Any):
    await world.apply(world.wanted({"all": PAID}))
    await world.arrive(1, 2)
    await world.arrive(*range(20), kind="bulk")
    wanted = world.wanted({"all": {"type": "order.*", "source": "/shop"}})
    found = await compared(world, wanted, most=10)
    assert counts(found) == {"mine/all": ("configured", 2, 2, 0, 0)}
    assert (found["events"], found["read"], found["isCut"]) == (2, 2, False)
    assert (found["types"], found["sources"]) == (["order.*", "order.paid"], [])


@pytest.mark.parametrize(
    "other", [{"filter": "event.data.amount > 1"}, {"type": ["stock", "*"]}, {"source": "/shop"}]
)
async def test_a_trigger_that_accepts_any_type_is_compared_with_all_events(world: Any, other: Any):
    await world.arrive(5)
    await world.arrive(5, kind="bulk")
    found = await compared(world, world.wanted({"all": PAID, "any": other}))
    assert (found["types"], found["read"]) == ([], 2)
    assert counts(found)["mine/any"] == ("created", 0, 2, 2, 0)


async def test_each_part_of_a_trigger_of_several_events_is_among_the_types(world: Any):
    parts = [
        {"type": "order.paid", "source": "/shop"},
        {"type": "sent", "source": ["/post", "/b*"]},
    ]
    await world.arrive(1)
    await world.arrive(1, kind="bulk")
    found = await compared(world, world.wanted({"both": {"all": parts, "within": "1h"}}))
    assert (found["types"], found["sources"]) == (
        ["order.paid", "sent"],
        ["/b*", "/post", "/shop"],
    )
    assert found["read"] == 1


@pytest.mark.parametrize("days", [0, 8])
async def test_only_events_of_the_given_age_are_read(world: Any, days: int):
    await world.arrive(1)
    world.now += timedelta(days=days)
    found = await compared(world, world.wanted({"all": PAID}))
    assert found["events"] == (0 if days else 1)
