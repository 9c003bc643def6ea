from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.gitops.plan import (
    Action,
    Change,
    Plan,
    Present,
    PresentDefinition,
    Wanted,
    affected_subscriptions,
    live_document,
    says_the_same,
    stored_document,
    wanted_schedules,
)
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition, revision_id_of
from activityctl.domain.manifests.document import differences
from activityctl.domain.manifests.subscription import (
    Subscription,
    SubscriptionManifest,
    SubscriptionStatus,
)
from activityctl.domain.values import ids
from support import manifests
from support.examples import examples
from support.manifests import subscription

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ACTIVE, PAUSED, DELETED = SubscriptionStatus
HEARTBEAT = {"name": "heartbeat", "interval": {"every": "30m"}}
NIGHTLY = {"name": "nightly", "cron": {"schedule": "0 2 * * *", "timezone": "Europe/Berlin"}}
definition = partial(manifests.definition, triggers=[HEARTBEAT])


def wanted(*manifests: ActivityDefinition | SubscriptionManifest) -> Wanted:
    return Wanted(
        {each.metadata.name: each for each in manifests if isinstance(each, ActivityDefinition)},
        {each.metadata.name: each for each in manifests if isinstance(each, SubscriptionManifest)},
    )


def written(plan: Plan, present: Present) -> Present:
    """Return the live objects after the plan was applied, as the catalog applies it."""
    definitions = dict(present.definitions)
    for name, wanted_definition in plan.definitions.items():
        metadata, spec = wanted_definition.metadata, wanted_definition.spec
        definitions[name] = PresentDefinition(
            name, revision_id_of(wanted_definition), spec, metadata.labels, metadata.annotations
        )
    subscriptions = dict(present.subscriptions)
    for name, manifest in plan.subscriptions.items():
        subscriptions[name] = _live_subscription(manifest, present.subscriptions.get(name))
    return Present(definitions, subscriptions)


def _live_subscription(manifest: SubscriptionManifest, before: Subscription | None) -> Subscription:
    kept = before.status if before and before.status is not DELETED else ACTIVE
    return Subscription(
        id=ids.subscription_id(manifest.metadata.name),
        name=manifest.metadata.name,
        definition=manifest.spec.activity,
        params=dict(manifest.spec.params),
        triggers=dict(manifest.spec.triggers),
        status={None: kept, True: PAUSED, False: ACTIVE}[manifest.spec.paused],
        created_at=NOW,
        updated_at=NOW,
        labels=manifest.metadata.labels,
        annotations=manifest.metadata.annotations,
    )


def applied(*manifests: ActivityDefinition | SubscriptionManifest) -> Present:
    return written(plan_changes(wanted(*manifests), Present()), Present())


SPECS: list[Any] = [
    {},
    *({"params": {"a": value}} for value in (0, 1, 1.0, True, "1", None, [], [1], {"b": 1}, {})),
    *({"triggers": each} for each in ({"t": None}, {"t": {"interval": {"every": "5m"}}})),
    *({"labels": {"l": value}} for value in ("1", "2")),
    *({"annotations": {"l": "1"}}, {"paused": True}, {"activity": "other"}),
]


def test_what_says_the_same_has_no_differences() -> None:
    count = 0
    for written_as in SPECS:
        live = _live_subscription(subscription(**written_as), None)
        assert says_the_same(subscription(**written_as), live)
        for spec in SPECS:
            manifest = subscription(**spec)
            document = stored_document(manifest)
            document["spec"].pop("paused", None)
            are_equal = not differences(live_document(live), document)
            assert says_the_same(manifest, live) is are_equal
            count += are_equal
    assert len(SPECS) < count < len(SPECS) * 2


def having(present: Present, status: SubscriptionStatus) -> Present:
    """Return the same objects with this status of every subscription."""
    changed = {name: replace(each, status=status) for name, each in present.subscriptions.items()}
    return replace(present, subscriptions=changed)


def actions(present: Present, *manifests: ActivityDefinition | SubscriptionManifest) -> list[str]:
    return [change.action.value for change in plan_changes(wanted(*manifests), present).changes]


definitions = st.builds(
    definition,
    st.sampled_from(["d0", "d1", "d2"]),
    triggers=st.lists(st.sampled_from([HEARTBEAT, NIGHTLY]), unique_by=str),
    timeout=st.sampled_from(["1h", "2h"]),
    labels=st.sampled_from([{}, {"team": "a"}]),
)
subscriptions = st.builds(
    subscription,
    st.sampled_from(["s0", "s1", "s2", "s3"]),
    activity=st.sampled_from(["d0", "d1", "d2"]),
    params=st.sampled_from([{}, {"a": 1}, {"a": True}, {"a": [1, {"b": None}]}]),
    triggers=st.sampled_from([{}, {"nightly": None}, {"heartbeat": {"interval": {"every": "1m"}}}]),
    paused=st.sampled_from([None, None, True, False]),
    labels=st.sampled_from([{}, {"team": "a"}]),
)
manifest_lists = st.lists(definitions | subscriptions, max_size=7)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Any], Present]:
    """Return manifests to apply, and live objects from an earlier apply and an operator."""
    base = [definition(name) for name in ("d0", "d1", "d2")]
    present = applied(*base, *draw(manifest_lists))
    statuses = st.sampled_from(list(SubscriptionStatus))
    subs = {
        name: replace(each, status=draw(statuses)) for name, each in present.subscriptions.items()
    }
    return draw(manifest_lists), replace(present, subscriptions=subs)


fast = settings(max_examples=examples(60), deadline=None)


@fast
@given(worlds())
def test_after_an_apply_the_plan_is_empty(world: tuple[list[Any], Present]):
    manifests, present = world
    plan = plan_changes(wanted(*manifests), present)
    again = plan_changes(wanted(*manifests), written(plan, present))
    assert again.is_empty
    assert again.schedules == plan.schedules
    assert plan.is_empty is (written(plan, present) == present)


@fast
@given(worlds(), st.randoms())
def test_the_order_of_manifests_does_not_matter(world: tuple[list[Any], Present], random: Any):
    manifests, present = world
    unique = {(type(each), each.metadata.name): each for each in manifests}
    shuffled = list(unique.values())
    random.shuffle(shuffled)
    plan, other = (plan_changes(wanted(*some), present) for some in (unique.values(), shuffled))
    assert plan == other
    kinds = [(change.kind, change.name) for change in other.changes]
    assert kinds == sorted(kinds)


@fast
@given(worlds())
def test_a_plan_has_the_schedules_of_the_live_subscriptions_that_it_changes(
    world: tuple[list[Any], Present],
):
    manifests, present = world
    want = wanted(*manifests)
    after = written(plan_changes(want, present), present)
    expected = {
        each.id: wanted_schedules(each.id, after.definitions[each.definition].spec, each.triggers)
        for name, each in after.subscriptions.items()
        if name in want.subscriptions
        or (each.definition in want.definitions and each.status is not DELETED)
        or (
            name in present.subscriptions
            and present.subscriptions[name].definition in want.definitions
            and each.status is not DELETED
        )
    }
    assert plan_changes(want, present).schedules == expected


def test_new_objects_are_created_definitions_first():
    plan = plan_changes(wanted(subscription("b"), subscription("a"), definition()), Present())
    assert [replace(change, fields=()) for change in plan.changes] == [
        Change("ActivityDefinition", "digest", Action.CREATED),
        Change("Subscription", "a", Action.CREATED),
        Change("Subscription", "b", Action.CREATED),
    ]
    assert (plan.count(Action.CREATED), plan.count(Action.UNCHANGED)) == (3, 0)
    assert not plan.is_empty


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": {"team": "b"}},
        {"annotations": {"note": "x"}},
        {"timeout": "2h"},
        {"triggers": []},
    ],
)
def test_a_changed_definition_is_configured(changed: dict[str, Any]):
    present = applied(definition(), subscription())
    assert actions(present, definition(), subscription()) == ["unchanged", "unchanged"]
    assert actions(present, definition(**changed), subscription()) == ["configured", "unchanged"]


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": {"team": "b"}},
        {"annotations": {"note": "x"}},
        {"params": {"n": 2}},
        {"params": {"n": 1, "m": None}},
        {"params": {}},
        {"params": {"n": True}},
        {"params": {"n": [1]}},
        {"triggers": {"heartbeat": None}},
        {"paused": True},
        {"activity": "other"},
    ],
)
def test_a_changed_subscription_is_configured(changed: dict[str, Any]):
    present = applied(definition(), definition("other"), subscription(params={"n": 1}))
    assert actions(present, subscription(params={"n": 1})) == ["unchanged"]
    assert actions(present, subscription(**{"params": {"n": 1}, **changed})) == ["configured"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"n": 1}, {"n": True}),
        ({"n": [{"m": 0}]}, {"n": [{"m": False}]}),
        ({"n": [1]}, {"n": [1, 1]}),
        ({"n": {}}, {"n": []}),
        ({"n": []}, {"n": {}}),
    ],
)
def test_params_are_compared_as_json(before: dict[str, Any], after: dict[str, Any]):
    present = applied(definition(), subscription(params=before))
    assert actions(present, subscription(params=after)) == ["configured"]


def test_a_number_is_unchanged_when_the_database_writes_it_differently():
    present = applied(definition(), subscription(params={"n": 1e22}))
    assert actions(present, subscription(params={"n": 10**22})) == ["unchanged"]


@pytest.mark.parametrize("status", [ACTIVE, PAUSED])
def test_a_manifest_without_paused_leaves_the_status(status: SubscriptionStatus):
    present = having(applied(definition(), subscription()), status)
    assert actions(present, subscription()) == ["unchanged"]


@pytest.mark.parametrize(
    ("status", "paused", "action"),
    [
        (ACTIVE, True, "configured"),
        (ACTIVE, False, "unchanged"),
        (PAUSED, False, "configured"),
        (PAUSED, True, "unchanged"),
    ],
)
def test_a_manifest_with_paused_changes_the_status(
    status: SubscriptionStatus, paused: object, action: str
):
    present = having(applied(definition(), subscription()), status)
    assert actions(present, subscription(paused=paused)) == [action]


def test_a_deleted_subscription_that_is_applied_again_keeps_its_id():
    present = having(applied(definition(), subscription()), DELETED)
    plan = plan_changes(wanted(subscription()), present)
    assert [change.action for change in plan.changes] == [Action.CREATED]
    assert list(plan.schedules) == [present.subscriptions["sub"].id]


def test_a_changed_definition_changes_the_schedules_of_its_live_subscriptions():
    others = [subscription("gone"), subscription("other", activity="else")]
    present = applied(definition(), definition("else"), subscription("live"), *others)
    gone = replace(present.subscriptions["gone"], status=DELETED)
    present = replace(present, subscriptions={**present.subscriptions, "gone": gone})
    plan = plan_changes(wanted(definition(triggers=[HEARTBEAT, NIGHTLY])), present)
    assert list(plan.schedules) == [ids.subscription_id("live")]
    (schedules,) = plan.schedules.values()
    assert [(schedule.trigger, schedule.kind, schedule.body) for schedule in schedules] == [
        ("heartbeat", "interval", {"every": "30m"}),
        ("nightly", "cron", NIGHTLY["cron"]),
    ]
    assert schedules[0].id == ids.schedule_id(ids.subscription_id("live"), "heartbeat")


def test_a_subscription_that_switches_its_trigger_off_needs_no_schedule():
    plan = plan_changes(wanted(definition(), subscription(triggers={"heartbeat": None})), Present())
    assert plan.schedules == {ids.subscription_id("sub"): ()}


def test_the_alarm_of_a_schedule_changes_with_its_timing_only():
    def alarm(**interval: Any) -> str:
        spec = definition(triggers=[{"name": "t", "interval": interval}]).spec
        (schedule,) = wanted_schedules(ids.subscription_id("sub"), spec, {})
        return schedule.alarm_id

    assert alarm(every="1m", misfire={"policy": "skip"}) == alarm(jitter="2s", every="1m")
    assert alarm(every="1m", endAt="2027-01-01T00:00:00Z") == alarm(every="1m")
    variants = [{"every": "1m"}, {"every": "2m"}, {"every": "1m", "offset": "5s"}]
    assert len({alarm(**variant) for variant in variants}) == len(variants)


def test_a_changed_definition_affects_its_live_subscriptions_outside_the_manifests():
    present = applied(definition(), subscription("b"), subscription("a"), subscription("named"))
    gone = replace(present.subscriptions["a"], id=ids.subscription_id("c"), status=DELETED)
    present = replace(present, subscriptions={**present.subscriptions, "c": gone})
    changed = definition(timeout="2h")
    found = affected_subscriptions(wanted(changed, subscription("named")), present)
    assert [(owner.name, spec) for owner, spec in found] == [
        ("a", changed.spec),
        ("b", changed.spec),
    ]
