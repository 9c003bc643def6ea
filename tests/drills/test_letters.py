"""Many runs fail at their second task; all are retried at once, while the worker is killed.

    DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_letters.py -rP

repeats the drill with the seed that an earlier drill printed, with two hundred runs. The server
counts the calls of each idempotency key, before and after it is mended.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from activityctl.daemon.local.state import read_state
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values import ids
from activityctl.operations.gitops.apply import apply
from support.drilled import PortsDrill, Receiver, receiving, seed
from support.engine import now

RUNS = 200 if os.environ.get("DRILL_FULL") == "1" else 60
PATIENCE = 240.0


class LetterDrill(PortsDrill):
    """A daemon, and the runs, of three tasks each."""

    def __init__(self, home: Path, chance: random.Random, receiver: Receiver) -> None:
        super().__init__(home, chance)
        self.receiver = receiver

    async def start(self) -> None:
        def call(name: str, *needs: str) -> dict[str, object]:
            http = {"method": "POST", "url": f"{self.receiver.url}/{name}", "json": "${ run.id }"}
            return {"name": name, "needs": needs, "http": http}

        tasks = [call("first"), call("second", "first"), call("third", "second")]
        whole = {"metadata": {"name": "three"}, "spec": {"tasks": tasks}}
        manifests = ManifestSet(
            {"three": ActivityDefinition.model_validate_json(json.dumps(whole))},
            {
                "three": SubscriptionManifest.model_validate(
                    {"metadata": {"name": "three"}, "spec": {"activity": "three"}}
                )
            },
            {},
        )
        owner = ids.subscription_id("three")
        firings = [FiringRequest(owner, "manual", f"drill/{n}", now()) for n in range(RUNS)]
        async with self.ports() as ports:
            await apply(
                manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=60
            )
            await ports.outbox.add(firings, now())

    async def counts(self, query: str) -> Counter[str]:
        rows = await self.retry_while_down(lambda: self.fetch(query))
        return Counter({row["status"]: row["n"] for row in rows})

    async def until_counted(self, query: str, wanted: dict[str, int]) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.counts(query) != Counter(wanted):
                await asyncio.sleep(0.5)

    async def command(self, *words: str) -> tuple[int, str]:
        started = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "activityctl", "--home", str(self.home), *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await started.communicate()
        return started.returncode or 0, out.decode()


@pytest.mark.timeout(900)
async def test_all_letters_are_retried_once_though_the_worker_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIVITYCTL_ALLOW_HTTP", "true")
    monkeypatch.setenv("ACTIVITYCTL_ALLOWED_NETWORKS", "127.0.0.0/8")
    chance = random.Random(seed())
    with receiving() as receiver:
        drill = LetterDrill(tmp_path / "home", chance, receiver)
        with drill.running():
            await drill_letters(drill, receiver, chance)


async def drill_letters(drill: LetterDrill, receiver: Receiver, chance: random.Random) -> None:
    receiver.broken.add("second")
    await drill.retry_while_down(drill.start, 90)
    of_runs = "SELECT status, count(*) AS n FROM runs GROUP BY status"
    await drill.until_counted(of_runs, {"failed": RUNS})
    assert Counter(receiver.refused).most_common(1)[0][1] == 1
    keys = {key for _, key in receiver.refused}
    assert len(keys) == RUNS

    receiver.broken.clear()
    retries = [
        asyncio.create_task(drill.command("dlq", "retry", "--all", "--yes", "--no-wait"))
        for _ in range(2)
    ]
    await asyncio.sleep(chance.uniform(0.5, 3))
    worker = next(c for c in read_state(drill.home).components if c.name == "worker")
    assert worker.identity is not None
    os.kill(worker.identity.pid, signal.SIGKILL)
    for code, text in await asyncio.gather(*retries):
        print(text)
        assert code == 0, text

    await drill.until_counted(of_runs, {"failed": RUNS, "succeeded": RUNS})
    calls = Counter((path, key) for path, key, _ in receiver.received)
    by_path: dict[str, dict[str, int]] = {"first": {}, "second": {}, "third": {}}
    for (path, key), count in calls.items():
        by_path[path][key] = count
    # A call that a killed worker could not record is made again, with the same key: the server
    # knows it. So the keys are the effects.
    assert {path: len(found) for path, found in by_path.items()} == dict.fromkeys(by_path, RUNS)
    assert set(by_path["first"].values()) == {1}
    assert set(by_path["second"]) == keys, "the retried task keeps its key"
    again = {path: sum(found.values()) - RUNS for path, found in by_path.items()}
    print(f"calls made again because the worker was killed: {again}")
    letters = await drill.command("dlq", "list", "--status", "all", "--limit", "0", "-o", "json")
    items = json.loads(letters[1])["items"]
    assert Counter((item["status"], item["lastAction"]["result"]) for item in items) == {
        ("retried", "succeeded"): RUNS
    }
