import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.gitops.plan import (
    Plan,
    Present,
    PresentDefinition,
    Wanted,
)
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.gitops.schedule_changes import ScheduleChange, plan_view, schedule_changes
from activityctl.domain.manifests.definition import ActivityDefinition, revision_id_of
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.values import ids
from support.examples import examples
from support.manifests import HOURLY, NIGHTLY, definition, subscription

NOW = datetime(2026, 5, 1, 12, 10, tzinfo=UTC)  # a Friday
ACTIVE, PAUSED, DELETED = SubscriptionStatus


def live_subscription(
    manifest: SubscriptionManifest, status: SubscriptionStatus = ACTIVE
) -> Subscription:
    return Subscription(
        id=ids.subscription_id(manifest.metadata.name),
        name=manifest.metadata.name,
        definition=manifest.spec.activity,
        params=dict(manifest.spec.params),
        triggers=dict(manifest.spec.triggers),
        status=status,
        created_at=NOW,
        updated_at=NOW,
        applyset="shop",
    )


def present(*manifests: ActivityDefinition | SubscriptionManifest) -> Present:
    definitions = [each for each in manifests if isinstance(each, ActivityDefinition)]
    subscriptions = [each for each in manifests if isinstance(each, SubscriptionManifest)]
    return Present(
        {
            each.metadata.name: PresentDefinition(
                each.metadata.name, revision_id_of(each), each.spec, {}, {}, "shop"
            )
            for each in definitions
        },
        {each.metadata.name: live_subscription(each) for each in subscriptions},
    )


def planned(
    world: Present, *manifests: ActivityDefinition | SubscriptionManifest, prune: bool = False
) -> Plan:
    definitions = [each for each in manifests if isinstance(each, ActivityDefinition)]
    subscriptions = [each for each in manifests if isinstance(each, SubscriptionManifest)]
    wanted = Wanted(
        {each.metadata.name: each for each in definitions},
        {each.metadata.name: each for each in subscriptions},
        "shop",
        prune,
    )
    return plan_changes(wanted, world)


def forecast(
    world: Present, *manifests: ActivityDefinition | SubscriptionManifest, prune: bool = False
) -> tuple[ScheduleChange, ...]:
    return schedule_changes(planned(world, *manifests, prune=prune), world, NOW)


def hours(*wanted: str) -> tuple[datetime, ...]:
    return tuple(datetime.fromisoformat(f"2026-05-{hour}:00+00:00") for hour in wanted)


NEXT_HOURS = hours("01T13:00", "01T14:00", "01T15:00")
NEXT_NIGHTS = hours("02T02:00", "03T02:00", "04T02:00")


def test_a_new_subscription_shows_three_firings_of_each_trigger():
    found = forecast(Present(), definition(triggers=[NIGHTLY, HOURLY]), subscription())
    assert found == (
        ScheduleChange("sub", "hourly", "created", (), NEXT_HOURS),
        ScheduleChange("sub", "nightly", "created", (), NEXT_NIGHTS),
    )


def test_a_changed_definition_shows_its_subscriptions_firings_before_and_after():
    world = present(definition(), subscription("a"), subscription("b"))
    later = {"name": "hourly", "interval": {"every": "1h", "offset": "15m"}}
    after = hours("01T12:15", "01T13:15", "01T14:15")
    assert forecast(world, definition(triggers=[later])) == (
        ScheduleChange("a", "hourly", "configured", NEXT_HOURS, after),
        ScheduleChange("b", "hourly", "configured", NEXT_HOURS, after),
    )


def test_a_definition_that_adds_and_removes_triggers():
    world = present(definition(), subscription())
    assert forecast(world, definition(triggers=[NIGHTLY])) == (
        ScheduleChange("sub", "hourly", "deleted", NEXT_HOURS, ()),
        ScheduleChange("sub", "nightly", "created", (), NEXT_NIGHTS),
    )


def test_a_trigger_that_its_subscription_overrides_or_switches_off():
    world = present(definition(triggers=[HOURLY, NIGHTLY]), subscription())
    often = {"hourly": {"interval": {"every": "30m"}}, "nightly": None}
    assert forecast(world, subscription(triggers=often)) == (
        ScheduleChange(
            "sub", "hourly", "configured", NEXT_HOURS, hours("01T12:30", "01T13:00", "01T13:30")
        ),
        ScheduleChange("sub", "nightly", "deleted", NEXT_NIGHTS, ()),
    )


def test_a_subscription_that_overrides_a_trigger_is_not_affected_by_its_change():
    own = subscription(triggers={"hourly": {"interval": {"every": "5m", "offset": "1m"}}})
    world = present(definition(), own, subscription("follows"))
    changed = definition(triggers=[{"name": "hourly", "interval": {"every": "2h"}}])
    assert [change.subscription for change in forecast(world, changed)] == ["follows"]


def test_a_subscription_that_changes_its_definition_changes_its_triggers():
    world = present(definition(), definition("other", triggers=[NIGHTLY]), subscription())
    assert forecast(world, subscription(activity="other")) == (
        ScheduleChange("sub", "hourly", "deleted", NEXT_HOURS, ()),
        ScheduleChange("sub", "nightly", "created", (), NEXT_NIGHTS),
    )


def test_a_pruned_subscription_loses_its_schedules():
    world = present(definition(), subscription("gone"), subscription("stays"))
    assert forecast(world, definition(), subscription("stays"), prune=True) == (
        ScheduleChange("gone", "hourly", "deleted", NEXT_HOURS, ()),
    )


def test_a_deleted_subscription_that_is_applied_again_gets_new_schedules():
    world = present(definition(), subscription())
    gone = replace(world.subscriptions["sub"], status=DELETED)
    world = replace(world, subscriptions={"sub": gone})
    assert forecast(world, subscription()) == (
        ScheduleChange("sub", "hourly", "created", (), NEXT_HOURS),
    )


def with_paused() -> Present:
    world = present(definition(), subscription())
    paused = replace(world.subscriptions["sub"], status=PAUSED)
    return replace(world, subscriptions={"sub": paused})


def test_a_subscription_that_stays_paused_shows_no_firings():
    often = definition(triggers=[{"name": "hourly", "interval": {"every": "30m"}}])
    for wanted in ([often], [often, subscription()], [often, subscription(paused=True)]):
        assert forecast(with_paused(), *wanted) == (
            ScheduleChange(
                "sub", "hourly", "configured", (), (), paused_before=True, paused_after=True
            ),
        )
    assert forecast(with_paused(), definition(triggers=[])) == (
        ScheduleChange("sub", "hourly", "deleted", (), (), paused_before=True),
    )


def test_resuming_shows_firings_after_and_pausing_only_before():
    assert forecast(with_paused(), subscription(paused=False)) == (
        ScheduleChange("sub", "hourly", "configured", (), NEXT_HOURS, paused_before=True),
    )
    often = subscription(paused=True, triggers={"hourly": {"interval": {"every": "30m"}}})
    for wanted in (subscription(paused=True), often):
        assert forecast(present(definition(), subscription()), wanted) == (
            ScheduleChange("sub", "hourly", "configured", NEXT_HOURS, (), paused_after=True),
        )


def test_a_subscription_that_is_created_paused_shows_no_firings():
    assert forecast(Present(), definition(), subscription(paused=True)) == (
        ScheduleChange("sub", "hourly", "created", (), (), paused_after=True),
    )


@pytest.mark.parametrize(
    "changed",
    [
        [definition(timeout="2h")],
        [definition(description="other"), subscription()],
        [subscription(params={"a": 2})],
        [subscription(paused=False)],
        [definition(), subscription()],
    ],
)
def test_a_change_without_effect_on_timing_changes_no_schedule(changed: list[Any]):
    assert forecast(present(definition(), subscription()), *changed) == ()


def test_a_rare_trigger_shows_three_firings_years_ahead():
    leap = {"name": "leap", "cron": {"schedule": "0 0 29 2 *"}}
    (found,) = forecast(Present(), definition(triggers=[leap]), subscription())
    assert [moment.year for moment in found.after] == [2028, 2032, 2036]


@settings(max_examples=examples(50), deadline=None)
@given(
    st.lists(st.sampled_from([HOURLY, NIGHTLY]), unique_by=str),
    st.lists(st.sampled_from([HOURLY, NIGHTLY]), unique_by=str),
    st.integers(0, 2**31).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
def test_shown_firings_are_in_the_future_and_agree_in_both_directions(
    old: list[Any], new: list[Any], now: datetime
):
    before, after = definition(triggers=old), definition(triggers=new)
    world = present(before, subscription())
    there = schedule_changes(planned(world, after), world, now)
    assert {change.trigger for change in there} == {
        trigger["name"] for trigger in (HOURLY, NIGHTLY) if (trigger in old) is not (trigger in new)
    }
    for change in there:
        shown = change.before + change.after
        assert len(shown) == 3
        assert now < shown[0] < shown[1] < shown[2] < now + timedelta(days=4)
    other = present(after, subscription())
    back = schedule_changes(planned(other, before), other, now)
    before_there = [(change.trigger, change.before) for change in there]
    assert before_there == [(change.trigger, change.after) for change in back]


def test_the_view_has_changes_schedules_runs_and_counts():
    world = present(definition(), subscription("a"), subscription("gone"))
    plan = planned(world, definition(timeout="2h"), subscription("a"), prune=True)
    view = plan_view(plan, schedule_changes(plan, world, NOW), {"gone": 2, "a": 1})
    assert (view["apiVersion"], view["kind"]) == ("activityctl/v1", "Plan")
    assert view["applyset"] == "shop"
    assert [(change["kind"], change["name"], change["action"]) for change in view["changes"]] == [
        ("ActivityDefinition", "digest", "configured"),
        ("Subscription", "a", "unchanged"),
        ("Subscription", "gone", "deleted"),
    ]
    assert view["changes"][0]["fields"] == [{"path": "spec.timeout", "new": "2h"}]
    assert view["schedules"] == [
        {
            "subscription": "gone",
            "definition": "digest",
            "trigger": "hourly",
            "action": "deleted",
            "nextBefore": [
                "2026-05-01T13:00:00.000Z",
                "2026-05-01T14:00:00.000Z",
                "2026-05-01T15:00:00.000Z",
            ],
            "nextAfter": [],
            "alarmBefore": "alarm/every 1h",
            "alarmAfter": None,
            "pausedBefore": False,
            "pausedAfter": False,
        }
    ]
    assert view["openRuns"] == [
        {"subscription": "a", "count": 1, "queuedEnd": False},
        {"subscription": "gone", "count": 2, "queuedEnd": True},
    ]
    assert view["summary"] == {"created": 0, "configured": 1, "unchanged": 1, "deleted": 1}
    assert json.loads(json.dumps(view)) == view
