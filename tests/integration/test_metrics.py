"""`/metrics` of the API on a real Postgres, and who may read it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from activityctl import wiring
from activityctl.api.app import build_app
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest, SubscriptionStatus
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.ids import canonical_json
from activityctl.settings import Secret, Settings

DEFINITION = {
    "metadata": {"name": "beat"},
    "spec": {
        "triggers": [{"name": "often", "interval": {"every": "10s"}}],
        "tasks": [{"name": "note", "command": {"argv": ["true"]}}],
    },
}


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = build_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as opened:
        yield opened


@pytest.fixture
async def subscriptions(ports: wiring.Ports) -> list[str]:
    """Return the ids of the subscriptions `a` and `b`, each with one schedule."""
    manifests = [
        SubscriptionManifest.model_validate_json(
            json.dumps({"metadata": {"name": name}, "spec": {"activity": "beat"}})
        )
        for name in "ab"
    ]
    definition = ActivityDefinition.model_validate_json(canonical_json(DEFINITION))
    wanted = Wanted(
        {"beat": definition}, {manifest.metadata.name: manifest for manifest in manifests}
    )
    async with ports.catalog.changing():
        plan = plan_changes(wanted, await ports.catalog.present())
        await ports.catalog.write(plan, datetime.now(UTC))
    return [(await ports.catalog.find_subscription(name)).id for name in "ab"]


async def scraped(client: httpx.AsyncClient) -> dict[str, float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def execute(settings: Settings, query: str, *values: object) -> None:
    with psycopg.connect(settings.required_database_url()) as connection:
        connection.execute(query.encode(), values)


async def test_a_schedule_whose_due_time_is_not_decided_is_overdue(
    settings: Settings, client: httpx.AsyncClient, subscriptions: list[str]
):
    execute(settings, "UPDATE schedules SET next_at = now() - interval '5 seconds'")
    assert (await scraped(client))["activityctl_schedules_overdue"] == 0
    execute(settings, "UPDATE schedules SET next_at = now() - interval '15 seconds'")
    assert (await scraped(client))["activityctl_schedules_overdue"] == len(subscriptions)


async def test_a_paused_subscription_has_no_overdue_schedule(
    settings: Settings, ports: wiring.Ports, client: httpx.AsyncClient, subscriptions: list[str]
):
    paused = SubscriptionStatus.PAUSED
    await ports.catalog.set_subscription_status(subscriptions[0], paused, datetime.now(UTC))
    execute(settings, "UPDATE schedules SET next_at = now() - interval '1 minute'")
    figures = await scraped(client)
    assert figures["activityctl_schedules_overdue"] == 1
    assert figures["activityctl_subscriptions paused"] == 1


async def test_waiting_firings_are_counted_as_due_later_and_held(
    settings: Settings, ports: wiring.Ports, client: httpx.AsyncClient, subscriptions: list[str]
):
    now = datetime.now(UTC)
    keys = {"due": "now() - interval '1 minute'", "later": "now() + interval '1 h'", "held": "NULL"}
    for key, fires_at in keys.items():
        await ports.outbox.add([FiringRequest(subscriptions[0], "manual", key, now)], now)
        execute(settings, f"UPDATE firings SET fires_at = {fires_at} WHERE firing_key = %s", key)
    figures = await scraped(client)
    assert {key: figures[f"activityctl_firings_waiting {key}"] for key in keys} == {
        "due": 1,
        "later": 1,
        "held": 1,
    }
    assert 60 <= figures["activityctl_firing_oldest_due_age_seconds"] < 90


async def test_a_request_for_another_host_name_is_refused(client: httpx.AsyncClient):
    for path in ("/metrics", "/readyz"):
        assert (await client.get(path, headers={"Host": "rebound.example"})).status_code == 400


async def test_without_postgres_a_scrape_fails(settings: Settings):
    dead = replace(settings, database_url=Secret("postgresql://nobody@127.0.0.1:1/none"))
    async with serving(dead) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 503
    assert "activityctl_" not in answer.text
