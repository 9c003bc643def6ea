"""A stored trigger that this version cannot read stops only itself, on both stores."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from activityctl import wiring
from activityctl.adapters.memory.ports import MemoryPorts
from activityctl.daemon.worker.router import Router
from activityctl.domain.events.envelope import EventEnvelope, envelope_of
from activityctl.domain.events.query import EventQuery
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.operations.events.explain_event import explain_stored
from activityctl.operations.events.replay_preview import ReplayRequest, preview_replay
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.overview import overview

Ports = wiring.Ports | MemoryPorts
Apply = Callable[..., Awaitable[Plan]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]
BROKEN = {"type": "order.*", "quorum": {"of": 3}}
FAULT = "the trigger cannot be read: quorum: Extra inputs are not permitted"


def event(key: str, kind: str = "order.paid") -> EventEnvelope:
    return envelope_of(
        {"specversion": "1.0", "id": key, "source": "/shop", "type": kind, "data": {}}
    )


def waits_for(body: Any) -> dict[str, Any]:
    return {"triggers": [{"name": "paid", "event": body}], "params": {"type": "object"}}


@pytest_asyncio.fixture(loop_scope="session")
async def both(apply: Apply, define: Define, subscribe: Subscribe) -> None:
    """Apply the subscription `whole`, and `broken` with a trigger of a newer version."""
    good, bad = define("good", **waits_for({"type": "*"})), define("bad", **waits_for(BROKEN))
    await apply(good, bad, subscribe("whole", "good"), subscribe("broken", "bad"))


async def emit_and_route(ports: Ports, *events: EventEnvelope) -> list[tuple[str, str, str | None]]:
    """Emit and route the events; return (subscription, outcome, reason) of each verdict."""
    await ports.events.add(events)
    await Router(ports.events, lambda: None).route()
    assert not await ports.events.unrouted([event.event_id for event in events])
    names = {ids.subscription_id(name): name for name in ("whole", "broken")}
    found = await ports.events.verdicts([event.event_id for event in events])
    return sorted(
        (names[verdict.subscription_id], verdict.outcome.value, verdict.reason) for verdict in found
    )


@pytest.mark.usefixtures("both")
async def test_an_unreadable_trigger_gets_an_error_and_the_others_match(ports: Ports) -> None:
    assert await emit_and_route(ports, event("1")) == [
        ("broken", "error", FAULT),
        ("whole", "woken", None),
    ]


@pytest.mark.usefixtures("both")
async def test_events_of_other_types_give_an_unreadable_trigger_no_verdict(ports: Ports) -> None:
    assert await emit_and_route(ports, event("1", "mail.sent")) == [("whole", "woken", None)]


@pytest.mark.usefixtures("both")
async def test_lists_and_explanations_show_the_unreadable_trigger(ports: Ports) -> None:
    await emit_and_route(ports, event("1"))
    explained = await explain_stored(ports.catalog, ports.events, "1", "broken")
    (trigger,) = explained.triggers
    assert (trigger.outcome, trigger.reason) == ("error", FAULT)
    found = await overview(
        ports.catalog, ports.metrics, ports.events, ports.outbox, ports.workers, ports.stuck_runs
    )
    (unread,) = found.unreadable
    assert (unread.subscription, unread.trigger, unread.reason) == ("broken", "paid", FAULT)
    assert found.figures.filter_errors == 1
    object_views = ObjectViews(ports)
    views = {
        view["name"]: view
        for view in (await object_views.page("subscriptions", None, Selection())).views
    }
    assert views["broken"]["unreadableTriggers"] == [{"trigger": "paid", "reason": FAULT}]
    assert views["whole"]["unreadableTriggers"] == []
    (named,) = await object_views.named("subscriptions", "broken", Selection())
    assert named == views["broken"]


async def test_a_replay_after_the_repair_starts_the_missed_runs(
    ports: Ports, apply: Apply, define: Define, subscribe: Subscribe
) -> None:
    await apply(define("bad", **waits_for(BROKEN)), subscribe("broken", "bad"))
    await emit_and_route(ports, event("1"))
    order = ReplayRequest(
        "r", EventQuery(datetime.min.replace(tzinfo=UTC), datetime.now(UTC)), "broken", None
    )
    before = await preview_replay(
        ports.catalog, ports.events, ports.archive, order, datetime.now(UTC)
    )
    assert before.triggers[0].left == {f"error: {FAULT}": 1}
    await apply(define("bad", **waits_for({"type": "order.*"})))
    after = await preview_replay(
        ports.catalog, ports.events, ports.archive, order, datetime.now(UTC)
    )
    assert after.new == 1


@pytest.mark.parametrize(
    ("spec", "overrides"),
    [
        (waits_for("order.paid"), {}),
        (waits_for({"type": 7}), {}),
        (waits_for({"type": ["order.*"], "filter": "(event.a || " * 900}), {}),
        (waits_for({"type": "*"}), {"paid": {"event": {"type": []}}}),
        ({**waits_for({"type": "*"}), "params": {"properties": ["threshold"]}}, {}),
    ],
)
async def test_no_unreadable_shape_stops_the_other_triggers(
    ports: Ports,
    apply: Apply,
    define: Define,
    subscribe: Subscribe,
    spec: dict[str, Any],
    overrides: dict[str, Any],
) -> None:
    good, bad = define("good", **waits_for({"type": "*"})), define("bad", **spec)
    await apply(good, bad, subscribe("whole", "good"))
    await apply(subscribe("broken", "bad", triggers=overrides))
    (broken, woken) = await emit_and_route(ports, event("1"))
    assert broken[:2] == ("broken", "error")
    assert "cannot be read" in str(broken[2])
    assert woken == ("whole", "woken", None)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("change", ["shape", "params"])
async def test_an_unreadable_definition_stops_only_its_own_subscriptions(
    ports: Ports, change: str, request: pytest.FixtureRequest
) -> None:
    if isinstance(ports, MemoryPorts):
        _make_unreadable(ports, change)
    else:
        database = request.getfixturevalue("emptier").connection
        text = '{"shape": 7}' if change == "shape" else '{"params": 7}'
        database.execute(
            "UPDATE revisions SET spec = spec || %s::jsonb WHERE definition = 'bad'", (text,)
        )
    broken, whole = await emit_and_route(ports, event("1"))
    assert broken[:2] == ("broken", "error")
    assert str(broken[2]).startswith(f"the definition cannot be read: {change}: ")
    assert whole == ("whole", "woken", None)


def _make_unreadable(ports: MemoryPorts, change: str) -> None:
    revisions = ports.events._state.catalog.revisions
    for key, revision in list(revisions.items()):
        if revision.definition == "bad":
            revisions[key] = replace(revision, spec={**revision.spec, change: 7})


async def test_gathered_events_still_wait_after_a_repair_in_time(
    ports: Ports, apply: Apply, define: Define, subscribe: Subscribe
) -> None:
    batch = {"type": "order.*", "batch": {"size": 2, "within": "1h"}}
    await apply(define("bad", **waits_for(batch)), subscribe("broken", "bad"))
    assert await emit_and_route(ports, event("1")) == [("broken", "gathered", None)]
    await apply(define("bad", **waits_for({**batch, **BROKEN})))
    assert await emit_and_route(ports, event("2")) == [("broken", "error", FAULT)]
    await apply(define("bad", **waits_for(batch)))
    assert await emit_and_route(ports, event("3"), event("1")) == [("broken", "woken", None)] * 2
