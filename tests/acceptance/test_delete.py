"""`delete` lists what it will delete, asks for confirmation, and waits for the worker."""

import asyncio
import itertools
import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activityctl.domain.values import ids
from support.forked import COMMAND, run_command

pytestmark = pytest.mark.slow

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Place:
    """A database for this test on real servers, with one subscription."""

    environment: dict[str, str]
    name: str
    minute: int
    """No other test has a yearly trigger at this minute, so the alarm is its own."""

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = run_command(*arguments, environment=self.environment, timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json").stdout)

    def answered(self, answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command with a terminal as standard input, and type the answer."""
        ours, theirs = pty.openpty()
        os.write(ours, answer.encode())
        try:
            return subprocess.run(
                [COMMAND, *arguments],
                env=self.environment,
                stdin=theirs,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            os.close(ours)
            os.close(theirs)

    def lives(self) -> bool:
        return f"subscription/{self.name}" in self("get", "subs", "-o", "name").stdout.split()

    async def is_scheduled(self) -> bool:
        client = await Client.connect(self.environment["TEMPORAL_ADDRESS"])
        key = f"alarm/{self.minute} 3 1 1 * UTC"
        try:
            await client.get_schedule_handle(key).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True


@pytest.fixture
def place(servers: dict[str, str], database_url: str, tmp_path: Path) -> Place:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ACTIVITYCTL_")}
    environment = {
        **kept,
        "ACTIVITYCTL_HOME": str(tmp_path / "home"),
        "ACTIVITYCTL_DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": servers["temporal_address"],
        "ACTIVITYCTL_ALLOW_COMMANDS": "true",
        "COLUMNS": "200",
    }
    number = next(_NUMBERS)
    found = Place(environment, f"delete{number}x", 10 + number % 50)
    spec = {
        "triggers": [{"name": "yearly", "cron": {"schedule": f"{found.minute} 3 1 1 *"}}],
        "tasks": [{"name": "one", "command": {"argv": ["sleep", "300"]}}],
    }
    documents = [
        {"kind": "ActivityDefinition", "metadata": {"name": found.name}, "spec": spec},
        {
            "kind": "Subscription",
            "metadata": {"name": found.name},
            "spec": {"activity": found.name},
        },
    ]
    path = tmp_path / "files.yaml"
    path.write_text(yaml.safe_dump_all({"apiVersion": "activityctl/v1", **d} for d in documents))
    found("apply", "-f", str(path), "--no-wait")
    return found


@pytest.fixture
def worker(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [COMMAND, "worker"], env=place.environment, stderr=subprocess.DEVNULL
    )
    yield process
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


async def until_scheduled(place: Place) -> None:
    async with asyncio.timeout(60):
        while not await place.is_scheduled():
            await asyncio.sleep(0.1)


@pytest.mark.usefixtures("worker")
async def test_delete_lists_schedules_and_open_runs_and_waits_for_the_worker(
    place: Place,
):
    await until_scheduled(place)
    place("trigger", place.name, "--no-wait")
    async with asyncio.timeout(60):
        while not (runs := place.json("get", "runs", "--status", "running")["items"]):
            await asyncio.sleep(0.1)
    refused = place("delete", "sub", place.name, code=1)
    target, *lines = refused.stderr.splitlines()
    assert target.startswith("target: ")
    assert lines == [
        f"subscription/{place.name} will be deleted",
        f"  - 1 schedule: {place.name}/yearly",
        f"  ! 1 open run continues unchanged: {runs[0]['id']} running",
        "error: deleting needs confirmation",
        "hint: add --yes",
    ]
    assert place.lives()
    view = place.json("delete", "sub", place.name, "--yes")
    assert not await place.is_scheduled()
    assert view["kind"] == "DeleteResult"
    assert view["changes"] == [{"kind": "Subscription", "name": place.name, "action": "deleted"}]
    assert [schedule["trigger"] for schedule in view["schedules"]["deleted"]] == ["yearly"]
    assert (view["schedules"]["pending"], view["schedules"]["errors"]) == (0, [])
    (open_run,) = view["openRuns"]
    assert (open_run["id"], open_run["status"]) == (runs[0]["id"], "running")
    place("cancel", runs[0]["id"])


async def test_the_wait_ends_after_the_timeout_and_a_slow_worker_is_reported(
    place: Place, worker: subprocess.Popen[bytes]
):
    await until_scheduled(place)
    worker.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    done = place("delete", "sub", place.name, "--yes", "--timeout", "1s")
    assert 1 < time.monotonic() - begin < 40
    assert "1 alarm is not yet updated in Temporal: a worker is running and" in done.stderr
    assert not place.lives()


def test_without_a_worker_delete_does_not_wait_and_reports_it(place: Place, database_url: str):
    with psycopg.connect(database_url) as connection:  # as if a worker had created it
        alarm = "INSERT INTO alarms (id, observed_at) SELECT alarm_id, now() FROM schedules"
        connection.execute(alarm)
    begin = time.monotonic()
    done = place("delete", "sub", place.name, "--yes")
    assert time.monotonic() - begin < 40
    assert f"subscription/{place.name} deleted\n" == done.stdout
    assert "1 alarm is not yet updated in Temporal: no worker is running" in done.stderr
    assert not place.lives()
    done = place("delete", "def", place.name, "--yes")
    assert f"activitydefinition/{place.name} will be deleted\n" in done.stderr
    assert "not yet" not in done.stderr


def test_on_a_terminal_delete_asks(place: Place):
    no = place.answered("n\n", "delete", "sub", place.name)
    assert (no.returncode, no.stdout) == (1, "")
    assert f"  - 1 schedule: {place.name}/yearly\n" in no.stderr
    assert "Delete it?" in no.stderr
    assert place.lives()
    key = ids.subscription_id(place.name)
    yes = place.answered("y\n", "delete", "sub", key[:12])
    assert (yes.returncode, yes.stdout) == (0, f"subscription/{place.name} deleted\n")
    assert not place.lives()
