"""Concurrent and killed applies: manifests are applied all or not at all.

    DRILL_SEED=7 pytest tests/integration/test_concurrent_applies.py -rP

repeats a drill with the seed that an earlier drill printed.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from activityctl import wiring
from activityctl.domain.values import ids
from activityctl.settings import Settings

COMMAND = Path(sys.executable).parent / "activityctl"
SUBSCRIPTIONS, DEFINITIONS = 180, 20
KILLS = 5

DEFINITION = """apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {{name: {name}, labels: {{set: {label}}}}}
spec:
  params: {{type: object, additionalProperties: true}}
  triggers: [{triggers}]
  tasks: [{{name: say, command: {{argv: [echo, {label}]}}}}]
"""
SUBSCRIPTION = """apiVersion: activityctl/v1
kind: Subscription
metadata: {{name: {name}, labels: {{set: {label}}}}}
spec: {{activity: {activity}, params: {{set: {label}}}}}
"""


class Applier:
    """Runs the real command on one database."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "ACTIVITYCTL_DATABASE_URL": settings.required_database_url(),
            "TEMPORAL_ADDRESS": settings.required_temporal_address(),
            "ACTIVITYCTL_HOME": str(folder / "home"),
        }
        self.prefix = f"c{ids.content_hash(str(folder))[:8]}"

    def write(self, label: str, *, subscriptions: int, definitions: int, triggers: str) -> Path:
        """Write manifests that all have the label."""
        named = [f"{self.prefix}-d{number}" for number in range(definitions)]
        documents = [DEFINITION.format(name=name, label=label, triggers=triggers) for name in named]
        documents += [
            SUBSCRIPTION.format(
                name=f"{self.prefix}-s{number}", label=label, activity=named[number % definitions]
            )
            for number in range(subscriptions)
        ]
        path = self.folder / f"{label}.yaml"
        path.write_text("---\n".join(documents))
        return path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(COMMAND), *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def apply(self, path: Path, *options: str) -> subprocess.Popen[str]:
        return self.start("apply", "-f", str(path), *options)

    def applied(self, path: Path) -> dict[str, int]:
        """Apply, wait for the schedules, and return the summary."""
        out, err = self.apply(path, "--timeout", "120s", "-o", "json").communicate(timeout=150)
        assert out, err
        view = json.loads(out)
        schedules = view["schedules"]
        assert (schedules["pending"], schedules["errors"]) == (0, []), schedules
        return {action: count for action, count in view["summary"].items() if count}

    def subscription(self, number: int) -> str:
        return ids.subscription_id(f"{self.prefix}-s{number}")


@pytest.fixture
def applier(settings: Settings, tmp_path: Path) -> Applier:
    return Applier(settings, tmp_path)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    seed = int(os.environ.get("DRILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"DRILL_SEED={seed}")
    return random.Random(f"{request.node.name} {seed}")


class Watcher:
    """Reads the labels of all objects, each time in one statement."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url

    async def seen_while(self, is_going_on: Callable[[], bool]) -> list[Counter[str]]:
        """Return each state that was read, in order, as a count of objects by label."""
        states: list[Counter[str]] = []
        async with await psycopg.AsyncConnection.connect(
            self.database_url, autocommit=True
        ) as connection:
            goes_on = True
            while goes_on:
                goes_on = is_going_on()
                cursor = await connection.execute(
                    "SELECT labels ->> 'set' FROM subscriptions UNION ALL "
                    "SELECT labels ->> 'set' FROM definitions UNION ALL "
                    "SELECT params ->> 'set' FROM subscriptions"
                )
                state = Counter(str(row[0]) for row in await cursor.fetchall())
                if not states or states[-1] != state:
                    states.append(state)
                await asyncio.sleep(0.01)
        return states


async def test_two_concurrent_applies_run_one_after_the_other(
    applier: Applier, settings: Settings, chance: random.Random
) -> None:
    size = {"subscriptions": 60, "definitions": 6, "triggers": ""}
    paths = [applier.write(label, **size) for label in ("red", "blue")]
    watcher = Watcher(settings.required_database_url())
    for _ in range(2):
        first, second = chance.sample(paths, 2)
        both = [applier.apply(first, "--no-wait")]
        await asyncio.sleep(chance.uniform(0, 0.05))
        both.append(applier.apply(second, "--no-wait"))
        states = await watcher.seen_while(
            lambda both=both: any(apply.poll() is None for apply in both)
        )
        for apply in both:
            out, err = apply.communicate()
            assert apply.returncode == 0, out + err
        assert all(len(state) <= 1 for state in states), states
        assert {sum(state.values()) for state in states} <= {0, 126}
        assert states[-1]


async def test_an_apply_waits_for_another_and_then_sees_its_changes(
    applier: Applier, ports: wiring.Ports
) -> None:
    path = applier.write("green", subscriptions=4, definitions=2, triggers="")
    assert applier.applied(path) == {"created": 6}
    async with ports.catalog.changing():
        other = applier.apply(path, "--no-wait", "-o", "json")
        for _ in range(20):
            await asyncio.sleep(0.1)
            assert other.poll() is None
    out, err = other.communicate(timeout=60)
    assert json.loads(out)["summary"]["unchanged"] == 6, err


@pytest.fixture
def worker(applier: Applier, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [str(COMMAND), "worker"], env=applier.environment, stdout=log, stderr=log
        )
    yield process
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)


async def alarms_of(settings: Settings) -> list[str]:
    """Return the ids of the drill's alarms in Temporal."""
    client = await wiring.connect_temporal(settings)
    listed = [schedule.id async for schedule in await client.list_schedules()]
    return sorted(key for key in listed if key.startswith("alarm/") and " 5 3 " in f" {key[6:]} ")


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
@pytest.mark.timeout(400)
async def test_a_killed_apply_is_completed_by_the_next_apply(
    applier: Applier, settings: Settings, chance: random.Random
) -> None:
    size = {"subscriptions": SUBSCRIPTIONS, "definitions": DEFINITIONS}
    yearly = '{name: yearly, cron: {schedule: "5 3 1 1 *"}}'
    rarely = "{name: rarely, interval: {every: 700d}}"
    summer = '{name: yearly, cron: {schedule: "5 3 1 7 *"}}'
    paths = [
        applier.write("one", triggers=yearly, **size),
        applier.write("two", triggers=f"{summer}, {rarely}", **size),
        applier.write("none", triggers="", **size),
    ]
    killed = 0
    for number in range(KILLS):
        moment = chance.uniform(0.3, 3.5) if number else 0.4  # no apply has ended so soon
        process = applier.apply(chance.choice(paths))
        try:
            await asyncio.to_thread(process.wait, moment)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.communicate()
        print(f"kill {number} at {moment:.2f} s: exit {process.returncode}")
    assert killed, "every apply ended before it was killed"

    began = time.monotonic()
    await asyncio.to_thread(applier.applied, paths[0])
    print(f"completed within {time.monotonic() - began:.1f} s")
    expected = ["alarm/5 3 1 1 * UTC"]
    async with asyncio.timeout(60):  # the list of schedules is updated with a delay
        while await alarms_of(settings) != expected:
            await asyncio.sleep(0.5)
    unchanged = await asyncio.to_thread(applier.applied, paths[0])
    assert unchanged == {"unchanged": SUBSCRIPTIONS + DEFINITIONS}
    client = await wiring.connect_temporal(settings)
    spec = (await client.get_schedule_handle(expected[0]).describe()).schedule.spec
    assert [calendar.month[0].start for calendar in spec.calendars] == [1]
