"""Subscription: a living instance of a definition, its triggers and its life."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from activityctl.domain.manifests.definition import DefinitionSpec, TriggerTemplate
from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.values.ids import RunId, SubscriptionId
from activityctl.domain.values.model import JsonValue, Manifest, Name


class SubscriptionSpec(Manifest):
    """Which definition a subscription instantiates, with which params."""

    activity: Name = Field(description="The ActivityDefinition's name.", examples=["order-review"])
    params: dict[str, JsonValue] = Field(
        default={},
        description="Must fit the definition's params schema.",
        examples=[{"threshold": 0.8}],
    )
    triggers: dict[Name, dict[str, JsonValue] | None] = Field(
        default={},
        description="Override a trigger by its name, or switch it off with null.",
        examples=[{"nightly": {"cron": {"schedule": "0 4 * * *"}}, "heartbeat": None}],
    )
    paused: bool | None = Field(
        default=None, description="Left to the operator unless the YAML sets it.", examples=[True]
    )


class SubscriptionManifest(Manifest):
    """A Subscription as written in YAML."""

    metadata: Metadata
    spec: SubscriptionSpec


class SubscriptionStatus(StrEnum):
    """Where a subscription is in its life."""

    ACTIVE = "active"
    PAUSED = "paused"
    DELETED = "deleted"


OperatorStatus = Literal[SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED]
"""What an operator sets by hand; to delete is a change of the catalog, with a plan and history."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it lives in Postgres."""

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
    state: dict[str, JsonValue] = field(default_factory=dict)
    applyset: str | None = None
    """The apply set it is a member of; pruning looks at nothing else."""
    failures: int = 0
    """How many of its runs have failed in a row since it was last resumed."""
    pause_reason: str | None = None
    paused_at: datetime | None = None
    paused_by_run: RunId | None = None
    """The run whose failure paused it; None when a person or a manifest did."""


def effective_triggers(
    spec: DefinitionSpec, overrides: dict[str, JsonValue]
) -> tuple[TriggerTemplate, ...]:
    """Return the definition's triggers with a subscription's overrides laid over them.

    An override names the kind again and replaces the fields it names; null switches off.
    """
    found = (effective_trigger(trigger, overrides) for trigger in spec.triggers)
    return tuple(trigger for trigger in found if trigger is not None)


def effective_trigger(
    trigger: TriggerTemplate, overrides: Mapping[str, JsonValue]
) -> TriggerTemplate | None:
    """Return the trigger as `effective_triggers` does; None when it is switched off."""
    override = overrides.get(trigger.name, {})
    return None if override is None else _overridden(trigger, override)


def _overridden(trigger: TriggerTemplate, override: dict[str, JsonValue]) -> TriggerTemplate:
    if not override:
        return trigger
    merged = {
        kind: {**trigger.body, **body}
        if kind in trigger.kinds and isinstance(body, dict) and isinstance(trigger.body, dict)
        else body
        for kind, body in override.items()
    }
    return TriggerTemplate.model_validate({"name": trigger.name, **merged})
