"""What apply promises of any sets of manifests, on the catalog in memory."""

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from activityctl.adapters.memory.ports import MemoryPorts, memory_ports
from activityctl.domain.definition import ActivityDefinition
from activityctl.domain.finding import Finding
from activityctl.domain.history import UNKNOWN_ORIGIN
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.plan import Plan, Present, wanted_schedules
from activityctl.domain.selection import Selection
from activityctl.domain.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.worker import WorkerBeat
from activityctl.errors import (
    ConflictError,
    InvalidManifestsError,
    Problem,
    RefusedError,
    UsageError,
)
from activityctl.operations.apply import Applied, apply, apply_saved
from activityctl.operations.history import delete
from activityctl.operations.plan import Planned, documents, plan_of_files, wanted_of

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ACTIVE, PAUSED, DELETED = SubscriptionStatus
HOURLY = {"name": "hourly", "interval": {"every": "1h"}}
NIGHTLY = {"name": "nightly", "cron": {"schedule": "0 2 * * *"}}
Manifest = ActivityDefinition | SubscriptionManifest

fast = settings(max_examples=40, deadline=None)


def definition(name: str = "digest", **spec: Any) -> ActivityDefinition:
    labels = spec.pop("labels", {})
    body = {
        "params": {"type": "object", "additionalProperties": True},
        "tasks": [{"name": "a", "say": {}}],
        "triggers": [HOURLY, NIGHTLY],
        **spec,
    }
    return ActivityDefinition.model_validate_json(
        json.dumps({"metadata": {"name": name, "labels": labels}, "spec": body})
    )


def subscription(name: str = "sub", **spec: Any) -> SubscriptionManifest:
    labels = spec.pop("labels", {})
    body = {
        "metadata": {"name": name, "labels": labels},
        "spec": {"activity": "digest", **spec},
    }
    return SubscriptionManifest.model_validate_json(json.dumps(body))


def manifest_set(*manifests: Manifest) -> ManifestSet:
    def locate(finding: Finding) -> Problem:
        return Problem("here.yaml", 1, 1, "", finding.reason)

    return ManifestSet(
        {one.metadata.name: one for one in manifests if isinstance(one, ActivityDefinition)},
        {one.metadata.name: one for one in manifests if isinstance(one, SubscriptionManifest)},
        defaultdict(lambda: locate),
    )


@dataclass(frozen=True)
class World:
    """A catalog of its own, and apply and plan as the commands call them."""

    ports: MemoryPorts

    async def apply(
        self, *manifests: Manifest, applyset: str | None = None, prune: bool = False
    ) -> Applied:
        found = manifest_set(*manifests)
        return await apply(
            found,
            self.ports.catalog,
            self.ports.register,
            self.ports.workers,
            lambda: NOW,
            timeout_seconds=0,
            wanted=wanted_of(found, applyset=applyset, prune=prune),
        )

    async def plan(
        self, *manifests: Manifest, applyset: str | None = None, prune: bool = False
    ) -> Planned:
        found = manifest_set(*manifests)
        wanted = wanted_of(found, applyset=applyset, prune=prune)
        return await plan_of_files(
            found, wanted, self.ports.catalog, self.ports.run_lists, lambda: NOW
        )

    async def present(self) -> Present:
        return await self.ports.catalog.present()

    async def set_status(self, name: str, status: SubscriptionStatus) -> None:
        found = await self.ports.catalog.find_subscription(name)
        await self.ports.catalog.set_subscription_status(found.id, status, NOW)


def world() -> World:
    return World(memory_ports())


# ---- any sets of manifests -----------------------------------------------------------

NAMES = ("d0", "d1", "d2")
definitions = st.builds(
    definition,
    st.sampled_from(NAMES),
    triggers=st.lists(st.sampled_from([HOURLY, NIGHTLY]), unique_by=str),
    timeout=st.sampled_from(["1h", "2h"]),
    labels=st.sampled_from([{}, {"team": "a"}]),
)
subscriptions = st.builds(
    subscription,
    st.sampled_from(["s0", "s1", "s2", "s3"]),
    activity=st.sampled_from(NAMES),
    params=st.sampled_from([{}, {"a": 1}, {"a": True}, {"a": []}, {"a": None}, {"a.b": 1}]),
    triggers=st.sampled_from([{}, {}, {"nightly": None}]),
    paused=st.sampled_from([None, None, True, False]),
)


def unique(manifests: list[Manifest]) -> list[Manifest]:
    return list({(type(one), one.metadata.name): one for one in manifests}.values())


def complete(manifests: list[Manifest]) -> list[Manifest]:
    """Return them with every definition that their subscriptions lack."""
    asked = {one.spec.activity for one in manifests if isinstance(one, SubscriptionManifest)}
    return unique([*(definition(name) for name in sorted(asked)), *manifests])


lists = st.lists(definitions | subscriptions, min_size=1, max_size=6)
manifest_lists = st.one_of(lists.map(complete), lists.map(complete), lists.map(unique))


@dataclass(frozen=True)
class Step:
    """One apply, and what an operator does to a subscription after it."""

    manifests: list[Manifest]
    applyset: str | None
    prune: bool
    touched: str
    status: SubscriptionStatus | None

    @property
    def arguments(self) -> dict[str, Any]:
        prune = self.prune and self.applyset is not None
        return {"applyset": self.applyset, "prune": prune}

    def names(self, kind: type[Manifest]) -> set[str]:
        return {one.metadata.name for one in self.manifests if isinstance(one, kind)}


steps = st.lists(
    st.builds(
        Step,
        manifest_lists,
        st.sampled_from(["one", "one", "one", "two", None]),
        st.sampled_from([True, True, False]),
        st.sampled_from(["s0", "s1", "s2", "s3"]),
        st.sampled_from([None, None, PAUSED, ACTIVE, DELETED]),
    ),
    min_size=2,
    max_size=5,
)


async def attempted(here: World, step: Step) -> Applied | None:
    """Apply it; refused is None, and then nothing at all has changed."""
    before = await here.present()
    try:
        return await here.apply(*step.manifests, **step.arguments)
    except (ConflictError, InvalidManifestsError):
        assert await here.present() == before
        return None


async def operate(here: World, step: Step) -> None:
    present = await here.present()
    if step.status is None or present.live(step.touched) is None:
        return
    if step.status is DELETED:
        clock, origin = (lambda: NOW), UNKNOWN_ORIGIN
        await delete(here.ports.catalog, "Subscription", step.touched, clock, origin)
    else:
        await here.set_status(step.touched, step.status)


@fast
@given(steps)
async def test_an_apply_does_what_its_plan_says_and_then_the_plan_is_empty(history: list[Step]):
    here = world()
    for step in history:
        try:
            planned = await here.plan(*step.manifests, **step.arguments)
        except (ConflictError, InvalidManifestsError):
            assert await attempted(here, step) is None
        else:
            applied = await attempted(here, step)
            assert applied is not None
            assert applied.plan == planned.plan
            again = await here.plan(*step.manifests, **step.arguments)
            assert again.plan.is_empty
            assert again.view["schedules"] == []
        await operate(here, step)


@fast
@given(steps)
async def test_what_is_neither_in_the_files_nor_pruned_is_left_alone(history: list[Step]):
    here = world()
    for step in history:
        before = await here.present()
        if await attempted(here, step) is not None:
            after = await here.present()
            pruned = step.applyset if step.arguments["prune"] else None
            for kind, old, new in (
                (ActivityDefinition, before.definitions, after.definitions),
                (SubscriptionManifest, before.subscriptions, after.subscriptions),
            ):
                named = step.names(kind)
                assert new.keys() <= old.keys() | named
                for name, one in old.items():
                    is_member = pruned is not None and one.applyset == pruned
                    if name not in named and not is_member:
                        assert new[name] == one
        await operate(here, step)


@fast
@given(steps)
async def test_after_pruning_the_members_of_the_set_are_the_files_and_no_others(
    history: list[Step],
):
    here = world()
    for step in history:
        if await attempted(here, step) is not None and step.applyset is not None:
            present = await here.present()
            members = {
                name
                for name, one in {**present.definitions, **present.subscriptions}.items()
                if one.applyset == step.applyset
            }
            named = step.names(ActivityDefinition) | step.names(SubscriptionManifest)
            assert members >= named
            assert members == named or not step.prune
        await operate(here, step)


@fast
@given(steps)
async def test_a_set_leaves_the_members_of_another_one_alone(history: list[Step]):
    here = world()
    for step in history:
        before = await here.present()
        await attempted(here, step)
        after = await here.present()
        if step.applyset is not None:
            other = {"one": "two", "two": "one"}[step.applyset]
            for old, new in (
                (before.definitions, after.definitions),
                (before.subscriptions, after.subscriptions),
            ):
                members = {name: one for name, one in old.items() if one.applyset == other}
                assert members == {name: one for name, one in new.items() if one.applyset == other}
        await operate(here, step)


@fast
@given(steps)
async def test_exactly_the_schedules_of_live_subscriptions_are_wanted(history: list[Step]):
    here = world()
    for step in history:
        await attempted(here, step)
        await operate(here, step)
        present = await here.present()
        expected = {
            schedule.id: schedule
            for name, one in present.subscriptions.items()
            if present.live(name) is not None
            for schedule in wanted_schedules(
                one.id, present.definitions[one.definition].spec, one.triggers
            )
        }
        rows = await here.ports.register.schedules(Selection(limit=1000))
        assert {row.wanted.id: row.wanted for row in rows} == expected


@fast
@given(steps, manifest_lists, st.randoms(use_true_random=False))
async def test_the_order_of_manifests_does_not_matter(
    history: list[Step], manifests: list[Manifest], random: Any
):
    one, other = world(), world()
    for step in history:
        for here in (one, other):
            await attempted(here, step)
            await operate(here, step)
    shuffled = random.sample(manifests, len(manifests))
    step = Step(manifests, "one", True, "s0", None)
    applied = await attempted(one, step)
    same = await attempted(other, replace(step, manifests=shuffled))
    assert (applied and applied.plan) == (same and same.plan)
    assert await one.present() == await other.present()


@fast
@given(steps, manifest_lists, st.randoms(use_true_random=False))
async def test_applied_one_by_one_in_any_order_they_come_to_the_same(
    history: list[Step], manifests: list[Manifest], random: Any
):
    base = [definition(name) for name in NAMES]  # whatever a subscription may ask for
    one, other = world(), world()
    for here in (one, other):
        await here.apply(*base)
        for step in history:
            await attempted(here, step)
            await operate(here, step)
        await attempted(here, Step(base, None, False, "s0", None))
    if await attempted(one, Step(manifests, None, False, "s0", None)) is None:
        return
    waiting = random.sample(manifests, len(manifests))
    for _ in manifests:  # one that does not fit what lives may fit once another has gone first
        applied = [
            one for one in waiting if await attempted(other, Step([one], None, False, "s0", None))
        ]
        waiting = [one for one in waiting if one not in applied]
    assume(not waiting)
    assert await one.present() == await other.present()


@fast
@given(steps, manifest_lists, st.sampled_from([None, "one"]))
async def test_a_reviewed_plan_is_carried_out_exactly_as_long_as_nothing_of_it_moved(
    history: list[Step], manifests: list[Manifest], applyset: str | None
):
    here = world()
    first, *rest = history
    await attempted(here, first)
    step = Step(manifests, applyset, True, "s0", None)
    try:
        planned = await here.plan(*manifests, **step.arguments)
    except (ConflictError, InvalidManifestsError):
        return
    for one in rest:
        await attempted(here, one)
        await operate(here, one)
    before = await here.present()
    try:
        done = await saved_applied(here, step, planned.fingerprint)
    except ConflictError:
        assert await here.present() == before
        return
    assert shown(done) == shown(planned.plan)
    assert (await here.plan(*manifests, **step.arguments)).plan.is_empty


async def saved_applied(here: World, step: Step, made_against: str) -> Plan:
    wanted = wanted_of(manifest_set(*step.manifests), **step.arguments)
    return await apply_saved(wanted, made_against, here.ports.catalog, NOW, UNKNOWN_ORIGIN)


def shown(plan: Plan) -> Any:
    return [(one.kind, one.name, one.action, one.fields) for one in plan.changes]


# ---- rules, one by one ---------------------------------------------------------------


@pytest.fixture
def here() -> World:
    return world()


async def test_pruning_without_a_set_is_refused(here: World):
    with pytest.raises(RefusedError, match="--applyset"):
        await here.apply(definition(), prune=True)


async def test_pruning_against_no_manifest_is_refused(here: World):
    await here.apply(definition(), subscription(), applyset="shop")
    with pytest.raises(RefusedError, match="whole set"):
        await here.apply(applyset="shop", prune=True)
    assert set((await here.present()).subscriptions) == {"sub"}


@pytest.mark.parametrize("name", ["", "Shop", "a b", "a`b", "a\n", "-a", "x" * 64])
async def test_a_set_has_a_name_like_everything_else(here: World, name: str):
    with pytest.raises(UsageError):
        await here.apply(definition(), applyset=name)


async def test_a_refused_apply_leaves_no_trace(here: World):
    await here.apply(definition(), subscription(), applyset="shop")
    before = await here.present()
    with pytest.raises(ConflictError):
        await here.apply(definition("new"), subscription(params={"a": 1}), applyset="ops")
    assert await here.present() == before
    assert await here.ports.catalog.history("ActivityDefinition", "new") == []
    assert len(await here.ports.catalog.history("Subscription", "sub")) == 1


async def test_pausing_belongs_to_the_operator_unless_the_manifest_speaks(here: World):
    async def status() -> SubscriptionStatus:
        return (await here.present()).subscriptions["sub"].status

    await here.apply(definition(), subscription())
    await here.set_status("sub", PAUSED)
    assert (await here.apply(subscription())).plan.is_empty
    await here.apply(subscription(params={"a": 1}))
    assert await status() is PAUSED
    await here.apply(subscription(params={"a": 1}, paused=False))
    assert await status() is ACTIVE
    await here.apply(subscription(params={"a": 1}, paused=True))
    await here.set_status("sub", ACTIVE)
    await here.apply(subscription(params={"a": 1}))  # silent again: the operator's again
    assert await status() is ACTIVE


async def test_labels_params_and_triggers_that_the_file_lacks_are_gone_and_shown(here: World):
    said = subscription(params={"a": []}, labels={"team": "a"}, triggers={"nightly": None})
    await here.apply(definition(), said)
    planned = await here.plan(subscription())
    (change,) = planned.plan.changes
    assert {field.path for field in change.fields} == {
        "metadata.labels.team",
        "spec.params.a",
        "spec.triggers.nightly",
    }
    assert [(one["trigger"], one["action"]) for one in planned.view["schedules"]] == [
        ("nightly", "created")
    ]


async def test_a_changed_definition_must_fit_subscriptions_that_stay(here: World):
    strict = definition(params={"type": "object", "required": ["a"]})
    await here.apply(definition(), subscription("old"), applyset="shop")
    with pytest.raises(InvalidManifestsError) as caught:
        await here.apply(strict, applyset="shop")
    assert "breaks subscription 'old'" in caught.value.problems[0].reason
    applied = await here.apply(strict, applyset="shop", prune=True)
    assert applied.plan.deleted("Subscription") == ["old"]


async def test_a_subscription_to_nothing_is_told_with_its_place(here: World):
    with pytest.raises(InvalidManifestsError) as caught:
        await here.plan(subscription())
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("here.yaml", 1)
    assert "no ActivityDefinition 'digest'" in problem.reason


async def test_the_live_document_says_paused_only_to_who_asks(here: World):
    await here.apply(definition(), subscription("silent"), subscription("spoken", paused=True))
    await here.set_status("silent", PAUSED)
    both = (subscription("silent"), subscription("spoken", paused=True))
    planned = await here.plan(*both)
    for _, live, wanted in documents(planned.plan, planned.present):
        assert live == wanted
    planned = await here.plan(subscription("spoken", paused=False))
    ((_, live, wanted),) = documents(planned.plan, planned.present)
    assert live is not None
    assert wanted is not None
    assert (live["spec"]["paused"], wanted["spec"]["paused"]) == (True, False)


async def test_documents_that_say_the_same_look_the_same(here: World):
    await here.apply(definition(), subscription(params={"a": 10**16, "b": [1, {"c": 1}]}))
    planned = await here.plan(subscription(params={"b": [1.0, {"c": 1}], "a": 1e16}))
    ((_, live, wanted),) = documents(planned.plan, planned.present)
    assert json.dumps(live) == json.dumps(wanted)


# ---- waiting for the schedules -------------------------------------------------------


async def awake(here: World) -> None:
    await here.ports.workers.beat(WorkerBeat("w", "host", 1, "0", NOW, NOW))


async def settled(here: World, *manifests: Manifest, seconds: float) -> Applied:
    return await apply(
        manifest_set(*manifests),
        here.ports.catalog,
        here.ports.register,
        here.ports.workers,
        lambda: NOW,
        timeout_seconds=seconds,
    )


async def place_all(here: World, error: str | None = None) -> None:
    for drift in await here.ports.register.drifted(100):
        if error is None:
            await here.ports.register.observed(drift, NOW)
        else:
            await here.ports.register.failed(drift, error)


async def test_without_a_worker_the_wish_is_recorded_and_not_waited_for(here: World):
    applied = await settled(here, definition(), subscription(), seconds=60)
    assert (applied.pending, applied.has_worker, applied.errors) == (2, False, ())


async def test_a_worker_is_waited_for_until_time_is_up(here: World):
    await awake(here)
    applied = await settled(here, definition(), subscription(), seconds=0)
    assert (applied.pending, applied.has_worker) == (2, True)


async def test_apply_returns_once_the_schedules_stand(here: World):
    await awake(here)

    async def work() -> None:
        async with here.ports.signals.listening("activityctl_work") as payloads:
            started.set()
            async for payload in payloads:
                if payload == "schedules":
                    await place_all(here)
                    return

    started = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(work())
        await started.wait()
        applied = await settled(here, definition(), subscription(), seconds=60)
    assert applied.pending == 0


async def test_what_temporal_refuses_is_told_at_once(here: World):
    await awake(here)
    await settled(here, definition(), subscription(), seconds=0)
    await place_all(here, "no such calendar")
    applied = await settled(here, definition(), subscription(), seconds=60)
    assert applied.pending == 2
    assert all("no such calendar" in error for error in applied.errors)


async def test_only_a_change_of_timing_touches_a_schedule(here: World):
    await settled(here, definition(), subscription(), seconds=0)
    await place_all(here)
    await settled(here, definition(timeout="2h"), subscription(params={"a": 1}), seconds=0)
    assert await here.ports.register.drifted(100) == []
    slower = definition(triggers=[{"name": "hourly", "interval": {"every": "2h"}}, NIGHTLY])
    await settled(here, slower, subscription(params={"a": 1}), seconds=0)
    (drift,) = await here.ports.register.drifted(100)
    assert drift.wanted is not None
    assert drift.wanted.trigger == "hourly"


async def test_concurrent_applies_take_turns_and_end_as_one_of_them(here: World):
    await here.apply(definition(), applyset="shop")
    sets = [
        [definition()] + [subscription(f"s{one}", params={"by": n}) for one in range(n, n + 3)]
        for n in range(4)
    ]
    await asyncio.gather(*(here.apply(*one, applyset="shop", prune=True) for one in sets))
    present = await here.present()
    live = {
        name: one.params["by"] for name, one in present.subscriptions.items() if present.live(name)
    }
    assert live in [{f"s{one}": n for one in range(n, n + 3)} for n in range(4)]
