"""What apply promises of any sets of manifests, on the catalog in memory."""

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from activityctl.domain.gitops.history import UNKNOWN_ORIGIN
from activityctl.domain.gitops.plan import Plan, wanted_schedules
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.values.selection import Selection
from activityctl.errors import (
    ConflictError,
    InvalidManifestsError,
)
from activityctl.operations.gitops.apply import Applied, apply_saved
from activityctl.operations.gitops.history import delete
from activityctl.operations.gitops.plan import wanted_of
from support.applying import ACTIVE, DELETED, NOW, PAUSED, World, definition, world
from support.manifests import HOURLY, NIGHTLY, Manifest, manifest_set, subscription

fast = settings(max_examples=40, deadline=None)


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
