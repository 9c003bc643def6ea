"""A claim reads what the admissions need, and a run opens only if its subscription is the same."""

from dataclasses import replace
from datetime import datetime

import pytest

from activityctl import wiring
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.admission import AdmissionInput, new_run
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.run_change import RunChange
from activityctl.domain.timing.firing import FiringRequest
from activityctl.errors import UnreachableError
from activityctl.ports import OpenResult


async def claimed_input(
    ports: wiring.Ports, firing: FiringRequest, now: datetime
) -> AdmissionInput | None:
    """Store and claim the firing; return what was read of it, None in memory."""
    await ports.outbox.add([firing], now)
    async with ports.outbox.claimed(10) as claim:
        assert claim.firings == [firing.ref]
        await claim.dispatched(claim.firings, now)
        facts = claim.facts.get(firing.ref.run_id)
        if facts is None:
            return None
        specs = await ports.runs.specs_of({facts.revision.id})
        return facts.admission_input(specs[facts.revision.id])


async def test_a_claim_reads_what_the_admission_reads(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    firing = FiringRequest(mine.id, "manual", "manual/k", now, {"a": [1]})
    early = await claimed_input(ports, firing, now)
    late = await ports.runs.admission_input(firing.ref)
    assert late is not None
    if early is None:
        return
    assert early.version is not None
    revision = replace(late.revision, spec={})
    assert early == replace(late, revision=revision, version=early.version)


async def test_a_firing_with_much_data_is_read_by_its_admission(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    much = {str(number): f"{number * 7919:x}" * 20 for number in range(2_000)}
    firing = FiringRequest(mine.id, "manual", "manual/k", now, much)
    assert await claimed_input(ports, firing, now) is None


async def test_a_run_opens_if_its_subscription_has_not_changed_since(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    for change in (False, True):
        firing = FiringRequest(mine.id, "manual", f"manual/{change}", now)
        facts = await claimed_input(ports, firing, now)
        if facts is None:
            return
        if change:
            await ports.catalog.set_subscription_status(mine.id, SubscriptionStatus.PAUSED, now)
        begun = replace(new_run(firing.ref, facts, now), status=RunStatus.RUNNING, started_at=now)
        result = await ports.runs.open("w", RunChange(begun), facts.version)
        assert result is (OpenResult.CHANGED if change else OpenResult.OPENED)
        state = await ports.runs.load(begun.id)
        assert (state is None) is change


async def test_nobody_sees_a_run_before_what_its_opening_waits_for(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    firing = FiringRequest(mine.id, "manual", "manual/k", now)
    await ports.outbox.add([firing], now)
    facts = await ports.runs.admission_input(firing.ref)
    assert facts is not None
    run = replace(new_run(firing.ref, facts, now), status=RunStatus.RUNNING, started_at=now)

    async def fail() -> None:
        assert await ports.runs.load(run.id) is None
        raise UnreachableError("Temporal is away")

    async def succeed() -> None:
        assert await ports.runs.load(run.id) is None

    with pytest.raises(UnreachableError, match="Temporal is away"):
        await ports.runs.open("w", RunChange(run), after=fail())
    assert await ports.runs.load(run.id) is None
    assert await ports.runs.open("w", RunChange(run), after=succeed()) is OpenResult.OPENED
    assert await ports.runs.load(run.id) is not None
    assert await ports.runs.open("w", RunChange(run)) is OpenResult.OURS
