"""Applies while events flow: each run is wholly of one apply, and no firing is lost.

    DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_applies.py -rP

repeats a drill with the seed that an earlier drill printed. Set n of the manifests has the number n
in its params and in its revisions, and its triggers match only what fits n: events whose number
has the same rest by 3, and times whose seconds have the same rest by 2. So a run shows which set
its trigger came from, and which set its revision and params came from.
"""

import asyncio
import json
import os
import random
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from activityctl import wiring
from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.operations.gitops.apply import apply
from activityctl.settings import Settings
from support.drilled import Row, seed
from support.worker import working

FULL = os.environ.get("DRILL_FULL") == "1"
SETS = 60 if FULL else 10
EVENTS = 4_000 if FULL else 160
PATIENCE = 600 if FULL else 90
_RUNS = """
    SELECT s.name, r.definition, r.trigger, r.firing_key, r.due_at, r.params, r.status, r.reason,
        r.events, v.definition AS of, v.spec ->> 'description' AS description
    FROM runs r JOIN revisions v ON v.id = r.revision_id
    JOIN subscriptions s ON s.id = r.subscription_id"""
_OPEN = """
    SELECT (SELECT count(*) FROM events WHERE routed_at IS NULL)
        + (SELECT count(*) FROM firings WHERE dispatched_at IS NULL)
        + (SELECT count(*) FROM gatherings)
        + (SELECT count(*) FROM runs WHERE ended_at IS NULL)
        + (SELECT count(*) FROM firings f LEFT JOIN runs r
           USING (subscription_id, trigger, firing_key) WHERE r.id IS NULL) AS n"""


def now() -> datetime:
    return datetime.now(UTC)


class ApplyDrill:
    """Sets of manifests with names that no other test uses."""

    def __init__(self, ports: wiring.Ports, settings: Settings, chance: random.Random) -> None:
        self.ports = ports
        self.database_url = settings.required_database_url()
        self.chance = chance
        self.mark = uuid.uuid4().hex[:8]

    def manifests(self, number: int, *, clock: bool) -> ManifestSet:
        """Return set `number`: two definitions, which its subscriptions use in turn."""
        names = [f"{self.mark}-d{half}" for half in (0, 1)]
        definitions = {name: self._definition(name, number, clock=clock) for name in names}
        subscriptions = {
            f"{self.mark}-s{which}": self._subscription(which, names[(number + which) % 2], number)
            for which in (0, 1)
        }
        return ManifestSet(definitions, subscriptions, {})

    def _definition(self, name: str, number: int, *, clock: bool) -> ActivityDefinition:
        fits = {"type": f"drill.{self.mark}", "filter": f"event.data.number % 3 == {number % 3}"}
        key = "${ string(event.data.number % 5) }"
        triggers: list[dict[str, Any]] = [
            {"name": "each", "event": fits},
            {"name": "quiet", "event": {**fits, "debounce": {"for": "200ms", "key": key}}},
            {"name": "batches", "event": {**fits, "batch": {"size": 4, "within": "700ms"}}},
        ]
        if clock:
            interval = {"every": "2s", "offset": f"{number % 2}s", "jitter": "900ms"}
            triggers.append({"name": "clock", "interval": interval})
        spec = {
            "description": f"set {number}",
            "params": {"type": "object", "properties": {"set": {}}},
            "triggers": triggers,
            "concurrency": {"policy": "queue", "limit": 3},
            "rules": [{"when": "false", "otherwise": f"rules of set {number}"}],
            "tasks": [{"name": "never", "command": {"argv": ["true"]}}],
        }
        whole = {"metadata": {"name": name}, "spec": spec}
        return ActivityDefinition.model_validate_json(json.dumps(whole))

    def _subscription(self, which: int, activity: str, number: int) -> SubscriptionManifest:
        spec = {"activity": activity, "params": {"set": number}}
        metadata = {"name": f"{self.mark}-s{which}"}
        return SubscriptionManifest.model_validate({"metadata": metadata, "spec": spec})

    async def apply(self, number: int, *, clock: bool = True) -> None:
        ports, manifests = self.ports, self.manifests(number, clock=clock)
        await apply(manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=0)

    async def apply_all(self) -> None:
        for number in range(1, SETS + 1):
            await self.apply(number)
            await asyncio.sleep(self.chance.uniform(0, 0.6))

    async def emit_all(self) -> None:
        numbers, head = list(range(EVENTS)), {"specversion": "1.0", "source": f"/{self.mark}"}
        while numbers:
            size = self.chance.randint(1, 60)
            batch, numbers = numbers[:size], numbers[size:]
            await self.ports.events.add(
                [
                    envelope_of(
                        {**head, "id": str(n), "type": f"drill.{self.mark}", "data": {"number": n}}
                    )
                    for n in batch
                ]
            )
            await asyncio.sleep(self.chance.uniform(0, 12 * SETS / EVENTS))

    async def fetch(self, query: str) -> list[Row]:
        connection = await psycopg.AsyncConnection.connect(self.database_url, row_factory=dict_row)
        async with connection:
            return list(await (await connection.execute(query.encode())).fetchall())

    async def settled(self) -> None:
        """Wait until nothing waits: no event, firing or gathering, and no run is open."""
        async with asyncio.timeout(PATIENCE):
            while (await self.fetch(_OPEN))[0]["n"]:
                await asyncio.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_each_run_is_wholly_of_one_apply(settings: Settings, ports: wiring.Ports) -> None:
    drill = ApplyDrill(ports, settings, random.Random(seed()))
    async with working(settings):
        await asyncio.gather(drill.apply_all(), drill.emit_all())
        await drill.apply(SETS + 1, clock=False)
        await drill.settled()
    runs = await drill.fetch(_RUNS)
    mixed = [run for run in runs if not is_whole(run)]
    sets = Counter(run["params"]["set"] for run in runs)
    print(f"{len(runs)} runs of {len(sets)} sets: {Counter(run['trigger'] for run in runs)}")
    assert not mixed, (len(mixed), mixed[0])
    assert len(sets) > 2  # else no event was routed while another set was applied
    verdicts = await drill.fetch("SELECT * FROM verdicts WHERE outcome = 'woken'")
    woken = Counter((row["trigger"], row["firing_key"]) for row in verdicts)
    assert {key for trigger, key in woken if trigger == "each"} == {
        run["firing_key"] for run in runs if run["trigger"] == "each"
    }
    routed = await drill.fetch("SELECT count(*) AS n FROM verdicts WHERE trigger = 'each'")
    print(f"{routed[0]['n']} matches of {EVENTS} events by two subscriptions")


def is_whole(run: Row) -> bool:
    """Return whether trigger, revision, definition, rules and params are of the same set."""
    number = run["params"]["set"]
    is_frozen = run["description"] == f"set {number}" and run["definition"] == run["of"]
    which = int(run["name"][-1])
    fits = run["definition"].endswith(f"-d{(number + which) % 2}")
    if run["trigger"] == "clock":
        fits &= run["due_at"].second % 2 == number % 2
    fits &= all(event["data"]["number"] % 3 == number % 3 for event in run["events"] or ())
    is_ruled = run["status"] != "skipped" or run["reason"] == f"rules of set {number}"
    return is_frozen and fits and is_ruled
