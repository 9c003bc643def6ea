"""The context sources `state` and `events`, which read what Postgres has stored."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from activityctl import wiring
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.run import Run
from activityctl.errors import TaskError
from activityctl.executors.events import EventsSource
from activityctl.executors.state import StateSource

Look = Callable[..., Awaitable[Any]]
Apply = Callable[..., Awaitable[Plan]]


async def test_the_state_of_this_and_of_another_subscription(
    ports: wiring.Ports,
    look: Look,
    apply: Apply,
    define: Callable[..., ActivityDefinition],
    subscribe: Callable[..., SubscriptionManifest],
) -> None:
    await apply(define("digest"), subscribe("mine"), subscribe("other"))
    source = StateSource(ports.catalog)
    assert await look(source) == {}
    assert await look(source, subscription="other") == {}
    for name in ("none", "m"):
        with pytest.raises(TaskError, match=f'no subscription "{name}"') as caught:
            await look(source, subscription=name)
        assert not caught.value.may_retry


async def store(ports: wiring.Ports, *amounts: int, kind: str = "order.paid") -> None:
    for amount in amounts:
        fields = {"specversion": "1.0", "source": "/shop", "type": kind}
        event = envelope_of({**fields, "id": f"{kind}-{amount}", "data": {"amount": amount}})
        await ports.events.add([event])


def amounts(events: list[dict[str, Any]]) -> list[int]:
    return [event["data"]["amount"] for event in events]


async def test_the_latest_events_of_a_type(
    ports: wiring.Ports, look: Look, run_of: Callable[..., Run]
) -> None:
    await store(ports, *range(12))
    await store(ports, 99, kind="order.lost")
    source = EventsSource(ports.archive)
    assert amounts(await look(source, type="order.paid")) == list(range(11, 1, -1))
    assert amounts(await look(source, type="order.*", limit=2)) == [99, 11]
    assert amounts(await look(source, type=["order.lost"], source="/shop")) == [99]
    assert await look(source, type="order.lost", source="/other") == []
    run = run_of(params={"most": 3})
    few = "event.data.amount < params.most"
    assert amounts(await look(source, run, type="order.paid", filter=few)) == [2, 1, 0]
    broken = "event.data.none == 1 || event.data.amount == 7"
    assert amounts(await look(source, type="order.paid", filter=broken)) == [7]
    early = replace(run_of(), created_at=run_of().created_at - timedelta(hours=1))
    assert await look(source, early, type="order.paid") == []
    late = replace(run_of(), created_at=run_of().created_at + timedelta(hours=1))
    assert await look(source, late, type="order.paid", within="30m") == []


async def test_a_filter_looks_at_a_bounded_number_of_events(
    ports: wiring.Ports, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activityctl.executors.events._PAGE", 5)
    monkeypatch.setattr("activityctl.executors.events.MOST_LOOKED_AT", 10)
    await store(ports, *range(12))
    source = EventsSource(ports.archive)
    small = "event.data.amount < 4"
    assert amounts(await look(source, type="order.paid", filter=small)) == [3, 2]
