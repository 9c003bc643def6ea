"""The RunStore port's facts: what admission is told about a firing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from activityctl import wiring
from activityctl.domain import ids
from activityctl.domain.definition import ActivityDefinition
from activityctl.domain.firing_ref import ManualFiring
from activityctl.domain.subscription import Subscription, SubscriptionStatus

Define = Callable[..., ActivityDefinition]


async def test_the_facts_of_a_firing_nobody_asked_for(
    ports: wiring.Ports, mine: Subscription, define: Define, now: datetime
):
    facts = await ports.runs.facts(ManualFiring(mine.id, "daily", "k", now).ref)
    assert facts is not None
    assert facts.subscription == mine
    assert facts.spec == define("digest").spec
    assert (facts.revision.definition, facts.revision.number) == ("digest", 1)
    assert not facts.was_asked_for
    assert facts.payload == {}


async def test_the_facts_of_a_firing_asked_for_carry_its_payload_even_when_dispatched(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    firing = ManualFiring(mine.id, "manual", "k", now, {"a": [1]})
    await ports.outbox.add([firing], now)
    async with ports.outbox.claimed(1) as claim:
        await claim.dispatched(claim.firings, now)
    facts = await ports.runs.facts(firing.ref)
    assert facts is not None
    assert facts.was_asked_for
    assert facts.payload == {"a": [1]}
    other = await ports.runs.facts(replace(firing, firing_key="other").ref)
    assert other is not None
    assert not other.was_asked_for


async def test_an_unknown_subscription_has_no_facts(ports: wiring.Ports, now: datetime):
    stranger = ids.subscription_id("stranger")
    assert await ports.runs.facts(ManualFiring(stranger, "daily", "k", now).ref) is None


async def test_a_deleted_subscription_has_facts_that_say_so(
    ports: wiring.Ports, mine: Subscription, now: datetime
):
    deleted = SubscriptionStatus.DELETED
    await ports.catalog.set_subscription_status(mine.id, deleted, now)
    await ports.catalog.delete_definition("digest", now)
    facts = await ports.runs.facts(ManualFiring(mine.id, "daily", "k", now).ref)
    assert facts is not None
    assert facts.subscription.status is deleted
