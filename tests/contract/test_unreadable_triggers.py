"""A trigger stored in a shape that this version cannot read stops itself, on both stores."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

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


@pytest.fixture
async def both(apply: Apply, define: Define, subscribe: Subscribe) -> None:
    """The subscription `whole`, and `broken` with a trigger of a newer version."""
    good, bad = define("good", **waits_for({"type": "*"})), define("bad", **waits_for(BROKEN))
    await apply(good, bad, subscribe("whole", "good"), subscribe("broken", "bad"))


async def heard(ports: Ports, *events: EventEnvelope) -> list[tuple[str, str, str | None]]:
    """Emit and route the events; return who has which verdict, and why."""
    await ports.events.add(events)
    await Router(ports.events, lambda: None).route()
    assert not await ports.events.unrouted([one.event_id for one in events])
    names = {ids.subscription_id(name): name for name in ("whole", "broken")}
    found = await ports.events.verdicts([one.event_id for one in events])
    return sorted((names[one.subscription_id], one.outcome.value, one.reason) for one in found)


@pytest.mark.usefixtures("both")
async def test_the_others_are_woken_and_it_has_an_error_with_the_reason(ports: Ports) -> None:
    assert await heard(ports, event("1")) == [("broken", "error", FAULT), ("whole", "woken", None)]


@pytest.mark.usefixtures("both")
async def test_events_of_types_that_it_does_not_name_are_none_of_its_concern(ports: Ports) -> None:
    assert await heard(ports, event("1", "mail.sent")) == [("whole", "woken", None)]


@pytest.mark.usefixtures("both")
async def test_everything_that_shows_triggers_says_so(ports: Ports) -> None:
    await heard(ports, event("1"))
    explained = await explain_stored(ports.catalog, ports.events, "1", "broken")
    (trigger,) = explained.triggers
    assert (trigger.outcome, trigger.reason) == ("error", FAULT)
    found = await overview(ports.catalog, ports.metrics, ports.events)
    (unread,) = found.unreadable
    assert (unread.subscription, unread.trigger, unread.reason) == ("broken", "paid", FAULT)
    assert found.figures.filter_errors == 1
    looker = ObjectViews(ports.catalog, ports.register, ports.run_lists, ports.events)
    views = {view["name"]: view for view in await looker.listed("subscriptions", Selection())}
    assert views["broken"]["unreadableTriggers"] == [{"trigger": "paid", "reason": FAULT}]
    assert views["whole"]["unreadableTriggers"] == []
    (named,) = await looker.named("subscriptions", "broken", Selection())
    assert named == views["broken"]


async def test_once_mended_a_replay_brings_what_it_missed(
    ports: Ports, apply: Apply, define: Define, subscribe: Subscribe
) -> None:
    await apply(define("bad", **waits_for(BROKEN)), subscribe("broken", "bad"))
    await heard(ports, event("1"))
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
async def test_whatever_its_shape_the_others_are_woken(
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
    (broken, woken) = await heard(ports, event("1"))
    assert broken[:2] == ("broken", "error")
    assert "cannot be read" in str(broken[2])
    assert woken == ("whole", "woken", None)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("change", ["shape", "params"])
async def test_a_definition_that_cannot_be_read_stops_its_own_subscriptions_alone(
    ports: Ports, change: str, request: pytest.FixtureRequest
) -> None:
    if isinstance(ports, MemoryPorts):
        _spoil(ports, change)
    else:
        database = request.getfixturevalue("emptier")
        text = '{"shape": 7}' if change == "shape" else '{"params": 7}'
        database.execute(
            "UPDATE revisions SET spec = spec || %s::jsonb WHERE definition = 'bad'", (text,)
        )
    broken, whole = await heard(ports, event("1"))
    assert broken[:2] == ("broken", "error")
    assert str(broken[2]).startswith(f"the definition cannot be read: {change}: ")
    assert whole == ("whole", "woken", None)


def _spoil(ports: MemoryPorts, change: str) -> None:
    revisions = ports.events._state.catalog.revisions
    for key, one in list(revisions.items()):
        if one.definition == "bad":
            revisions[key] = replace(one, spec={**one.spec, change: 7})


async def test_what_waits_with_it_still_waits_when_it_is_mended_in_time(
    ports: Ports, apply: Apply, define: Define, subscribe: Subscribe
) -> None:
    batch = {"type": "order.*", "batch": {"size": 2, "within": "1h"}}
    await apply(define("bad", **waits_for(batch)), subscribe("broken", "bad"))
    assert await heard(ports, event("1")) == [("broken", "gathered", None)]
    await apply(define("bad", **waits_for({**batch, **BROKEN})))
    assert await heard(ports, event("2")) == [("broken", "error", FAULT)]
    await apply(define("bad", **waits_for(batch)))
    assert await heard(ports, event("3"), event("1")) == [("broken", "woken", None)] * 2
