"""Rehearsing an emit: who would wake stands first, and each of the others says why it sleeps."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from activityctl.domain.gitops.plan import Present, PresentDefinition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.values import ids
from activityctl.operations.events.dry_run import DryRunIndex, DryRunResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = DefinitionSpec.model_validate_json(
    ids.canonical_json(
        {
            "params": {"type": "object", "properties": {"least": {"default": 10}}},
            "triggers": [
                {"name": "daily", "cron": {"schedule": "0 8 * * *"}},
                {"name": "late", "event": {"type": "order.late"}},
                {
                    "name": "paid",
                    "event": {"type": "order.paid", "filter": "event.data > params.least"},
                },
            ],
            "tasks": [{"name": "note", "command": {"argv": ["true"]}}],
        }
    )
)


def subscription(name: str, **fields: Any) -> Subscription:
    made = Subscription(
        ids.subscription_id(name), name, "orders", {}, {}, SubscriptionStatus.ACTIVE, NOW, NOW
    )
    return replace(made, **fields)


def audience(*subscriptions: Subscription) -> DryRunIndex:
    definition = PresentDefinition("orders", "revision", SPEC, {}, {})
    return DryRunIndex(Present({"orders": definition}, {one.name: one for one in subscriptions}))


def event(data: object, kind: str = "order.paid") -> dict[str, object]:
    return {"specversion": "1.0", "id": "a", "source": "/t", "type": kind, "data": data}


def names(prospects: list[DryRunResult]) -> list[tuple[str, str, bool]]:
    return [(one.subscription, one.trigger, one.wakes) for one in prospects]


def test_those_that_would_wake_stand_first_and_defaults_count():
    found = audience(subscription("a"), subscription("b", params={"least": 20})).results_for(
        event(15)
    )
    assert names(found) == [
        ("a", "paid", True),
        ("a", "late", False),
        ("b", "late", False),
        ("b", "paid", False),
    ]
    assert [one.reason for one in found] == [
        None,
        "type is order.paid, not order.late",
        "type is order.paid, not order.late",
        "filter is false: event.data > params.least",
    ]


def test_a_filter_that_fails_is_a_reason():
    found = audience(subscription("a")).results_for(event("text"))
    assert "filter error" in (found[-1].reason or "")


def test_paused_deleted_and_switched_off_ones_do_not_wake():
    found = audience(
        subscription("gone", status=SubscriptionStatus.DELETED),
        subscription("off", triggers={"paid": None, "late": None}),
        subscription("paused", status=SubscriptionStatus.PAUSED),
    )
    assert names(found.results_for(event(15))) == [
        ("paused", "late", False),
        ("paused", "paid", False),
    ]
    assert found.results_for(event(15))[1].reason == "the subscription is paused"
    assert list(found.woken(event(15))) == []


def test_the_fast_way_finds_the_same_ones():
    listening = audience(subscription("a"), subscription("b", params={"least": 20}))
    for data in (5, 15, 25, "text", None):
        expected = [one for one in names(listening.results_for(event(data))) if one[2]]
        assert names(list(listening.woken(event(data)))) == expected


def test_those_that_want_another_type_or_source_are_marked():
    found = audience(subscription("a")).results_for(event(5))
    assert [(one.trigger, one.wants_another) for one in found] == [("late", True), ("paid", False)]
