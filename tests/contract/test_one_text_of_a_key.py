"""A key has one text for one value, and what waits under an old text goes on after an upgrade."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine

from activityctl import wiring
from activityctl.adapters.postgres.schema.migrate import alembic_config
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.runs.admission import new_run
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from support.gathering import BOTH, MINE, emit, event, events_of_started_runs, route

Apply = Callable[..., Awaitable[Any]]
Define = Callable[..., ActivityDefinition]
Subscribe = Callable[..., SubscriptionManifest]
POSTGRES = pytest.mark.parametrize("ports", ["postgres"], indirect=True)
EMBEDDED = {**BOTH, "key": "k-${ event.data.key }"}


@pytest.fixture
def gather(apply: Apply, define: Define, subscribe: Subscribe) -> Apply:
    async def apply_trigger(body: dict[str, Any]) -> None:
        triggers = [{"name": "several", "event": body}]
        concurrency = {"policy": "skip", "key": "${ trigger.payload.n }"}
        definition = define("digest", triggers=triggers, concurrency=concurrency)
        await apply(definition, subscribe("mine"))

    return apply_trigger


async def arrives(ports: wiring.Ports, now: Any, key: str, number: Any) -> str:
    """Ask the gate about a new run; return what it decided."""
    firing = FiringRequest(MINE, "manual", key, now).ref
    facts = await ports.runs.admission_input(firing)
    assert facts is not None
    run = new_run(firing, replace(facts, payload={"n": number}), now)
    return (await ports.gates.enter(run, facts.spec, firing.workflow_id)).outcome


@pytest.mark.parametrize("body", [BOTH, EMBEDDED])
@pytest.mark.parametrize(
    ("first", "second"),
    [(7, 7.0), (7.0, "7"), ({"b": 1, "aa": [2.0]}, {"aa": [2], "b": 1.0})],
)
async def test_events_with_equal_keys_are_gathered_together(
    ports: wiring.Ports, gather: Apply, body: dict[str, Any], first: Any, second: Any
):
    await gather(body)
    await emit(ports, event("o", "order", key=first), ago=20)
    await emit(ports, event("x", "payment", key=8), ago=15)
    await emit(ports, event("p", "payment", key=second), ago=10)
    await route(ports)
    assert await events_of_started_runs(ports) == [["o", "p"]]


async def test_runs_with_equal_keys_hold_one_place(ports: wiring.Ports, gather: Apply, now: Any):
    await gather(BOTH)
    assert await arrives(ports, now, "a", 7) == "let_in"
    assert await arrives(ports, now, "b", 7.0) == "skipped"
    assert await arrives(ports, now, "c", "7") == "skipped"
    assert await arrives(ports, now, "d", 7.5) == "let_in"


def set_back(url: str, key: str) -> None:
    """Give the one gathering and all runs the key that the version before wrote; migrate again."""
    with psycopg.connect(url) as connection:
        old_id = ids.gathering_id(MINE, "several", key)
        connection.execute("UPDATE gatherings SET key = %s, id = %s", (key, old_id))
        connection.execute("UPDATE runs SET concurrency_key = %s", (key,))
        head = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("UPDATE alembic_version SET version_num = '0011'")
    upgrade_to(url, "0012")  # later versions change nothing of it, and are there already
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", head)


def upgrade_to(url: str, version: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


@POSTGRES
@pytest.mark.parametrize(
    "case",
    [
        (BOTH, 7.0, "7.0", 7),
        (BOTH, "7.0", "7.0", "7.0"),
        (EMBEDDED, -7.0, "k--7.0", -7),
        (EMBEDDED, {"b": 1, "aa": [2.0]}, 'k-{"b":1,"aa":[2.0]}', {"aa": [2], "b": 1}),
        (BOTH, {"b": 1, "aa": [2.0]}, '{"aa":[2.0],"b":1}', {"aa": [2], "b": 1}),
        (BOTH, "k", "k", "k"),
    ],
)
async def test_what_waits_goes_on_after_the_upgrade(
    ports: wiring.Ports,
    gather: Apply,
    now: Any,
    empty_database_url: str,
    case: tuple[dict[str, Any], Any, str, Any],
):
    body, value, old_key, again = case
    await gather(body)
    await emit(ports, event("o", "order", key=value), ago=20)
    await route(ports)
    if body is BOTH:
        assert await arrives(ports, now, "a", value) == "let_in"
    set_back(empty_database_url, old_key)
    await emit(ports, event("p", "payment", key=again), ago=10)
    await route(ports)
    assert await events_of_started_runs(ports) == [["o", "p"]]
    if body is BOTH:
        assert await arrives(ports, now, "b", again) == "skipped"
