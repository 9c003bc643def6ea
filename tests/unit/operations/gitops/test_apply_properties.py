"""Property tests of apply: what holds for any manifests, on the catalog in memory."""

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
from support.examples import examples
from support.manifests import HOURLY, NIGHTLY, Manifest, manifest_set, subscription

fast = settings(max_examples=examples(40), deadline=None)


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
    return list(
        {(type(manifest), manifest.metadata.name): manifest for manifest in manifests}.values()
    )


def complete(manifests: list[Manifest]) -> list[Manifest]:
    """Return the manifests, with a definition for each subscription that has none."""
    names = {
        manifest.spec.activity
        for manifest in manifests
        if isinstance(manifest, SubscriptionManifest)
    }
    return unique([*(definition(name) for name in sorted(names)), *manifests])


lists = st.lists(definitions | subscriptions, min_size=1, max_size=6)
manifest_lists = st.one_of(lists.map(complete), lists.map(complete), lists.map(unique))


@dataclass(frozen=True)
class Step:
    """One apply, and the status that an operator gives a subscription after it."""

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
        return {manifest.metadata.name for manifest in self.manifests if isinstance(manifest, kind)}


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
    """Apply the step; return None when it is refused, after checking that nothing changed."""
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
async def test_an_object_that_is_neither_in_the_files_nor_pruned_does_not_change(
    history: list[Step],
):
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
                for name, present in old.items():
                    is_member = pruned is not None and present.applyset == pruned
                    if name not in named and not is_member:
                        assert new[name] == present
        await operate(here, step)


@fast
@given(steps)
async def test_after_pruning_a_set_has_only_the_objects_of_the_files(
    history: list[Step],
):
    here = world()
    for step in history:
        if await attempted(here, step) is not None and step.applyset is not None:
            present = await here.present()
            members = {
                name
                for name, member in {**present.definitions, **present.subscriptions}.items()
                if member.applyset == step.applyset
            }
            named = step.names(ActivityDefinition) | step.names(SubscriptionManifest)
            assert members >= named
            assert members == named or not step.prune
        await operate(here, step)


@fast
@given(steps)
async def test_applying_a_set_does_not_change_members_of_another_set(history: list[Step]):
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
                members = {name: member for name, member in old.items() if member.applyset == other}
                assert members == {
                    name: member for name, member in new.items() if member.applyset == other
                }
        await operate(here, step)


@fast
@given(steps)
async def test_the_wanted_schedules_are_those_of_live_subscriptions(history: list[Step]):
    here = world()
    for step in history:
        await attempted(here, step)
        await operate(here, step)
        present = await here.present()
        expected = {
            schedule.id: schedule
            for name, subscription in present.subscriptions.items()
            if present.live(name) is not None
            for schedule in wanted_schedules(
                subscription.id,
                present.definitions[subscription.definition].spec,
                subscription.triggers,
            )
        }
        rows = await here.ports.register.schedules(Selection(limit=1000))
        assert {row.wanted.id: row.wanted for row in rows} == expected


@fast
@given(steps, manifest_lists, st.randoms(use_true_random=False))
async def test_the_order_of_manifests_does_not_matter(
    history: list[Step], manifests: list[Manifest], random: Any
):
    first, other = world(), world()
    for step in history:
        for here in (first, other):
            await attempted(here, step)
            await operate(here, step)
    shuffled = random.sample(manifests, len(manifests))
    step = Step(manifests, "one", True, "s0", None)
    applied = await attempted(first, step)
    same = await attempted(other, replace(step, manifests=shuffled))
    assert (applied and applied.plan) == (same and same.plan)
    assert await first.present() == await other.present()


@fast
@given(steps, manifest_lists, st.randoms(use_true_random=False))
async def test_manifests_applied_one_by_one_in_any_order_give_the_same_result(
    history: list[Step], manifests: list[Manifest], random: Any
):
    base = [definition(name) for name in NAMES]  # every definition that a subscription may use
    first, other = world(), world()
    for here in (first, other):
        await here.apply(*base)
        for step in history:
            await attempted(here, step)
            await operate(here, step)
        await attempted(here, Step(base, None, False, "s0", None))
    if await attempted(first, Step(manifests, None, False, "s0", None)) is None:
        return
    waiting = random.sample(manifests, len(manifests))
    for _ in manifests:  # a manifest that does not fit yet may fit after another is applied
        applied = [
            manifest
            for manifest in waiting
            if await attempted(other, Step([manifest], None, False, "s0", None))
        ]
        waiting = [manifest for manifest in waiting if manifest not in applied]
    assume(not waiting)
    assert await first.present() == await other.present()


@fast
@given(steps, manifest_lists, st.sampled_from([None, "one"]))
async def test_a_saved_plan_is_applied_only_while_its_objects_are_unchanged(
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
    for later in rest:
        await attempted(here, later)
        await operate(here, later)
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
    return [(change.kind, change.name, change.action, change.fields) for change in plan.changes]
