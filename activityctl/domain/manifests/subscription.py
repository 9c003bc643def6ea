"""Subscription: an instance of a definition, with its status and its effective triggers."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from activityctl.domain.chain.account import Account
from activityctl.domain.manifests.definition import DefinitionSpec, TriggerTemplate
from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.values.ids import RunId, SubscriptionId
from activityctl.domain.values.model import JsonValue, Manifest, Name
from activityctl.frozen_dataclass import frozen_dataclass


class SubscriptionSpec(Manifest):
    """Which definition a subscription uses, with which params and triggers."""

    activity: Name = Field(
        description="The name of the ActivityDefinition.", examples=["order-review"]
    )
    params: dict[str, JsonValue] = Field(
        default={},
        description="The values of the definition's params. They must match its params schema. "
        "A missing param gets the default of the schema.",
        examples=[{"threshold": 0.8}],
    )
    triggers: dict[Name, dict[str, JsonValue] | None] = Field(
        default={},
        description="Changes of the definition's triggers, by trigger name. An entry has the "
        "fields to replace, under the kind of the trigger; null switches the trigger off.",
        examples=[{"nightly": {"cron": {"schedule": "0 4 * * *"}}, "heartbeat": None}],
    )
    account: Account | None = Field(
        default=None,
        description="The on-chain account that it works for. Tasks of the kind webhook need it.",
        examples=[
            {"chainId": 8453, "subAccountAddress": "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"}
        ],
    )
    paused: bool | None = Field(
        default=None,
        description="Whether the subscription is paused. Default: `apply` does not change it, so "
        "`activityctl pause` and `resume` decide.",
        examples=[True],
    )


class SubscriptionMetadata(Metadata):
    """The subscription's name, labels and annotations, and its old name if it was renamed."""

    renamed_from: Name | None = Field(
        default=None,
        description="The old name. `apply` renames the subscription of that name, with its runs, "
        "logs, state and schedules. It has no effect when the subscription has its new name, or "
        "when there is none with the old name.",
        examples=["orders"],
    )


class SubscriptionManifest(Manifest):
    """An instance of an ActivityDefinition with its own params. Its triggers start runs."""

    metadata: SubscriptionMetadata
    spec: SubscriptionSpec


class SubscriptionStatus(StrEnum):
    """Whether a subscription is active, paused or deleted."""

    ACTIVE = "active"
    PAUSED = "paused"
    DELETED = "deleted"


OperatorStatus = Literal[SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED]
"""The statuses that an operator can set; deleting needs a plan and is recorded in the history."""


@frozen_dataclass
class Subscription:
    """A subscription as stored in Postgres."""

    id: SubscriptionId
    name: str
    definition: str
    params: dict[str, JsonValue]
    triggers: dict[str, JsonValue]
    status: SubscriptionStatus
    created_at: datetime
    updated_at: datetime
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    account: dict[str, JsonValue] | None = None
    """The on-chain account, as it was written."""
    state: dict[str, JsonValue] = field(default_factory=dict)
    applyset: str | None = None
    """The apply set that it belongs to; pruning decides by this alone."""
    failures: int = 0
    """How many of its runs have failed in a row, since it was last resumed."""
    pause_reason: str | None = None
    paused_at: datetime | None = None
    paused_by_run: RunId | None = None
    """The run whose failure paused it; None if a person or a manifest paused it."""


def account_of(subscription: Subscription) -> Account | None:
    """Return the on-chain account of a stored subscription; None if it has none."""
    written = subscription.account
    return None if written is None else Account.model_validate(written)


def effective_triggers(
    spec: DefinitionSpec, overrides: dict[str, JsonValue]
) -> tuple[TriggerTemplate, ...]:
    """Return the definition's triggers after a subscription's overrides.

    An override repeats the kind and replaces the fields that it has; None switches the trigger
    off. An override with another kind replaces the whole trigger.
    """
    triggers = (effective_trigger(trigger, overrides) for trigger in spec.triggers)
    return tuple(trigger for trigger in triggers if trigger is not None)


def effective_trigger(
    trigger: TriggerTemplate, overrides: Mapping[str, JsonValue]
) -> TriggerTemplate | None:
    """Return one trigger as `effective_triggers` does; None if it is switched off."""
    override = overrides.get(trigger.name, {})
    if override is None:
        return None
    if not override:
        return trigger
    merged = {
        kind: {**trigger.body, **body}
        if kind in trigger.kinds and isinstance(body, dict) and isinstance(trigger.body, dict)
        else body
        for kind, body in override.items()
    }
    return TriggerTemplate.model_validate({"name": trigger.name, **merged})
