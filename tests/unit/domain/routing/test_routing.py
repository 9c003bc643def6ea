"""Firings, refused firings and verdicts that follow from matching events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.events.stored_event import ArrivedEvent
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.index import FilterFailed, Listener, Matched
from activityctl.domain.routing.routing import (
    EventMatches,
    RefusedFiring,
    Routed,
    RoutingState,
    calendar_names,
    refused_log_entries,
    route_matches,
)
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.moment import parse_days

# A Monday.
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OFFICE = {"days": "mon-fri", "from": "08:00", "to": "18:00"}


def listener(subscription: str = "s", key: str | None = None, **body: Any) -> Listener:
    trigger = EventTrigger.model_validate({"type": "*", **body})
    return Listener(subscription, "paid", trigger, {"region": "eu"}, concurrency_key=key)


def event(sender: str = "1", at: datetime = NOON, **data: Any) -> ArrivedEvent:
    document = {"id": sender, "source": "/shop", "type": "order.paid", "data": data}
    return ArrivedEvent(ids.event_id("/shop", sender), 1, document, at)


def routed(found: Listener, *events: ArrivedEvent, late: timedelta = timedelta(0)) -> Routed:
    """Route events that all match the listener, that long after the first arrived."""
    matches = [EventMatches(each, [Matched(found)]) for each in events]
    return route_matches(matches, RoutingState(events[0].arrived_at + late))


def verdicts(result: Routed) -> list[tuple[str, str | None]]:
    return [(verdict.outcome.value, verdict.reason) for verdict in result.verdicts]


def test_a_match_is_due_when_the_event_arrived() -> None:
    result = routed(listener(priority=7), event(), late=timedelta(hours=2))
    (firing,) = result.firings
    assert firing.firing_key == event().id
    assert (firing.due_at, firing.fires_at) == (NOON, NOON)
    assert (firing.event_ids, firing.priority, firing.order_key) == ((event().id,), 7, None)
    assert verdicts(result) == [("woken", None)]
    assert result.events == (event().id,)


def test_the_same_event_gives_the_same_firing_whenever_it_is_routed() -> None:
    first = routed(listener(), event())
    again = routed(listener(), event(), late=timedelta(days=3))
    assert first.firings == again.firings


def test_a_paused_subscription_and_a_failed_filter_give_verdicts_but_no_firings() -> None:
    found = [Matched(listener("paused")), FilterFailed(listener("broken"), "no such field")]
    result = route_matches(
        [EventMatches(event(), found)], RoutingState(NOON, frozenset({"paused"}))
    )
    assert verdicts(result) == [
        ("paused", "the subscription is paused"),
        ("error", "no such field"),
    ]
    assert (result.firings, result.refused) == ((), ())


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"exclude": {"dates": ["2026-03-02"]}}, RunStatus.SKIPPED, "excluded: 2026-03-02"),
        (
            {"window": {"from": "13:00", "to": "14:00", "outside": "skip"}},
            RunStatus.SKIPPED,
            "outside its window (13:00-14:00 UTC)",
        ),
        (
            {"window": {"from": "13:00", "to": "14:00", "outside": "miss"}},
            RunStatus.MISSED,
            "outside its window (13:00-14:00 UTC)",
        ),
    ],
)
def test_a_firing_that_may_not_start_is_a_run_that_has_ended(
    body: dict[str, Any], status: RunStatus, reason: str
) -> None:
    result = routed(listener(**body), event())
    (refused,) = result.refused
    assert (refused.status, refused.reason) == (status, reason)
    assert (refused.firing_key, refused.params) == (event().id, {"region": "eu"})
    assert verdicts(result) == [("skipped", reason)]
    assert result.verdicts[0].firing_key == event().id


def test_a_calendar_excludes_only_when_its_days_are_known() -> None:
    excluded = listener(exclude={"calendars": ["holidays"]})
    matches = [EventMatches(event(), [Matched(excluded)])]
    assert calendar_names([excluded]) == {"holidays"}
    days = {"holidays": (parse_days("2026-03-02"),)}
    assert route_matches(matches, RoutingState(NOON, calendars=days)).refused
    assert route_matches(matches, RoutingState(NOON)).firings


def test_a_firing_waits_for_its_window_in_the_zone_that_it_names() -> None:
    window = {**OFFICE, "from": "15:00", "timezone": "Europe/Berlin"}
    (firing,) = routed(listener(window=window), event()).firings
    assert firing.fires_at == NOON + timedelta(hours=2)
    assert firing.due_at == NOON


def test_routed_a_little_late_the_time_of_arrival_decides() -> None:
    last = datetime(2026, 3, 2, 17, 59, 59, tzinfo=UTC)
    result = routed(listener(window=OFFICE), event(at=last), late=timedelta(seconds=20))
    assert [firing.fires_at for firing in result.firings] == [last]


def test_routed_long_after_it_could_have_started_the_window_decides_again() -> None:
    late = timedelta(hours=8, minutes=5)  # the workers were down until 20:05
    result = routed(listener(window=OFFICE), event(), late=late)
    assert [firing.fires_at for firing in result.firings] == [datetime(2026, 3, 3, 8, tzinfo=UTC)]
    reason = "routed 8h5m late; a firing now would be outside its window (mon-fri 08:00-18:00 UTC)"
    assert verdicts(result) == [("woken", reason)]
    missed = routed(listener(window={**OFFICE, "outside": "miss"}), event(), late=late)
    assert [(firing.status, firing.reason) for firing in missed.refused] == [
        (RunStatus.MISSED, reason)
    ]


def test_routed_late_but_within_its_window_a_firing_starts() -> None:
    result = routed(listener(window=OFFICE), event(), late=timedelta(hours=3))
    assert [firing.fires_at for firing in result.firings] == [NOON]


def test_the_order_key_is_the_trigger_and_its_concurrency_key() -> None:
    def order_key(key: str | None, **data: Any) -> str | None:
        (firing,) = routed(listener(key=key, ordered=True), event(**data)).firings
        return firing.order_key

    assert order_key(None) == "s/paid"
    template = "${ event.data.customer }-${ params.region }"
    assert order_key(template, customer="c7") == "s/paid/c7-eu"
    assert order_key(template, customer="c8") == "s/paid/c8-eu"
    assert order_key(template) == "s/paid"  # its run will fail and say why
    (free,) = routed(listener(key=template), event(customer="c7")).firings
    assert free.order_key is None


def test_many_refused_firings_are_one_log_entry() -> None:
    def refused(number: int) -> RefusedFiring:
        sender = event(str(number))
        owner = ("s", "paid", sender.id, NOON, (sender.id,))
        return RefusedFiring(*owner, RunStatus.SKIPPED, f"reason {number}")

    few = refused_log_entries([refused(number) for number in range(10)], NOON)
    assert [entry.message for entry in few] == [f"run skipped: reason {n}" for n in range(10)]
    assert few[3].run_id == ids.run_id("s", "paid", event("3").id)
    (many,) = refused_log_entries([refused(number) for number in range(11)], NOON)
    assert many.message == (
        "11 firings of paid up to the one due at 2026-03-02T12:00:00Z did not start: "
        "0 missed, 11 skipped; last reason: reason 10"
    )
