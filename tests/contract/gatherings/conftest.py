"""Fixtures for triggers of several events on both stores, with one subscription `mine`."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from activityctl.domain.gitops.plan import Plan
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from support.gathering import Listen


@pytest.fixture
def listen(
    apply: Callable[..., Awaitable[Plan]],
    define: Callable[..., ActivityDefinition],
    subscribe: Callable[..., SubscriptionManifest],
) -> Listen:
    """Apply the definition `digest` with an event trigger, and the subscription `mine`."""

    async def apply_trigger(
        body: dict[str, Any] | None, *, spec: dict[str, Any] | None = None, **fields: Any
    ) -> Plan:
        triggers = [] if body is None else [{"name": "several", "event": body}]
        whole = {"triggers": triggers, **(spec or {})}
        return await apply(define("digest", **whole), subscribe("mine", **fields))

    return apply_trigger
