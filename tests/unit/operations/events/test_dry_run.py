"""The dry run of emit: matching triggers come first, the others with their reasons."""

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


def dry_run_index(*subscriptions: Subscription) -> DryRunIndex:
    definition = PresentDefinition("orders", "revision", SPEC, {}, {})
    return DryRunIndex(
        Present({"orders": definition}, {owner.name: owner for owner in subscriptions})
    )


def event(data: object, kind: str = "order.paid") -> dict[str, object]:
    return {"specversion": "1.0", "id": "a", "source": "/t", "type": kind, "data": data}


def names(results: list[DryRunResult]) -> list[tuple[str, str, bool]]:
    return [(result.subscription, result.trigger, result.wakes) for result in results]


def test_matching_triggers_come_first_and_defaults_of_params_are_used():
    found = dry_run_index(subscription("a"), subscription("b", params={"least": 20})).results_for(
        event(15)
    )
    assert names(found) == [
        ("a", "paid", True),
        ("a", "late", False),
        ("b", "late", False),
        ("b", "paid", False),
    ]
    assert [result.reason for result in found] == [
        None,
        "type is order.paid, not order.late",
        "type is order.paid, not order.late",
        "filter is false: event.data > params.least",
    ]


def test_a_filter_that_fails_is_a_reason():
    found = dry_run_index(subscription("a")).results_for(event("text"))
    assert "filter error" in (found[-1].reason or "")


def test_paused_deleted_and_switched_off_triggers_start_nothing():
    found = dry_run_index(
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


def test_the_fast_search_finds_the_same_triggers():
    listening = dry_run_index(subscription("a"), subscription("b", params={"least": 20}))
    for data in (5, 15, 25, "text", None):
        expected = [name for name in names(listening.results_for(event(data))) if name[2]]
        assert names(list(listening.woken(event(data)))) == expected


def test_triggers_of_another_type_or_source_are_marked():
    found = dry_run_index(subscription("a")).results_for(event(5))
    assert [(result.trigger, result.wants_another) for result in found] == [
        ("late", True),
        ("paid", False),
    ]
