"""Run the steps of the CI workflows that `init` creates, as shell scripts."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from temporalio.client import Client, ScheduleHandle
from temporalio.service import RPCError

from activityctl.daemon.local.state import read_state
from activityctl.domain.values import ids

pytestmark = pytest.mark.slow

COMMANDS = Path(sys.executable).parent
COMMIT = "c0ffee0123456789c0ffee0123456789c0ffee01"
FILES = {"github": ".github/workflows/activityctl.yml", "gitlab": ".gitlab-ci.yml"}
SECOND = """apiVersion: activityctl/v1
kind: Subscription
metadata: {name: %s-second}
spec: {activity: %s, params: {name: second}}
"""


@dataclass(frozen=True)
class Ci:
    """A repository created by `init`, and a way to run the jobs of its workflow."""

    shell: Any
    whose: str
    word: str

    @property
    def folder(self) -> Path:
        return Path(self.shell.folder)

    @property
    def sample(self) -> Path:
        return self.folder / "definitions" / "hello.yaml"

    def edit(self, old: str, new: str) -> None:
        text = self.sample.read_text()
        assert old in text
        self.sample.write_text(text.replace(old, new))

    def script(self, job: str) -> str:
        """Return the commands of a job, without those that install something."""
        workflow = yaml.safe_load((self.folder / FILES[self.whose]).read_text())
        if self.whose == "github":
            lines = [step.get("run", "") for step in workflow["jobs"][job]["steps"]]
        else:
            lines = workflow[job]["script"]
        found = [line for line in lines if line.startswith("activityctl ")]
        assert found
        return "\n".join(["set -eu", *found])

    def run(self, *jobs: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the jobs as CI does: with the address of a database and without a daemon."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith("ACTIVITYCTL")
        }
        state = read_state(self.shell.home)
        assert state is not None
        commit = {"github": "GITHUB_SHA", "gitlab": "CI_COMMIT_SHA"}[self.whose]
        environment = {
            **kept,
            "PATH": f"{COMMANDS}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "ACTIVITYCTL_DATABASE_URL": state.addresses["database_url"],
            "COLUMNS": "200",
            commit: COMMIT,
        }
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", "\n".join(map(self.script, jobs))],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done

    def live(self) -> set[str]:
        items = self.shell.json("get", "sub", "--limit", "10000")["items"]
        return {item["name"] for item in items if item["name"].startswith(self.word)}

    async def schedule(self, name: str) -> ScheduleHandle:
        """The subscription's schedule in Temporal."""
        state = read_state(self.shell.home)
        assert state is not None
        client = await Client.connect(state.addresses["temporal_address"])
        owner = ids.subscription_id(name)
        return client.get_schedule_handle(ids.schedule_id(owner, "often"))


@pytest.fixture(params=["github", "gitlab"])
def ci(request: pytest.FixtureRequest, shell: Any) -> Ci:
    whose = request.param
    shell("init", ".", "--ci", whose)
    found = Ci(shell, whose, f"ci-{whose}")
    found.edit("name: hello", f"name: {found.word}")
    found.edit("activity: hello", f"activity: {found.word}")
    set_name = "--applyset main"  # each repository needs its own set, because the daemon is shared
    workflow = found.folder / FILES[whose]
    assert set_name in workflow.read_text()
    workflow.write_text(workflow.read_text().replace(set_name, f"--applyset {found.word}"))
    return found


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(1)


@pytest.mark.timeout(300)
async def test_from_a_pull_request_to_a_healed_schedule(ci: Ci):
    world, second = f"{ci.word}-world", f"{ci.word}-second"
    done = ci.run("validate", "apply")
    assert f"subscription/{world} created" in done.stdout

    # A pull request is planned and changes nothing.
    ci.edit("every: 30s", "every: 45s")
    (ci.folder / "definitions" / "second.yaml").write_text(SECOND % (ci.word, ci.word))
    ci.run("validate", "plan")
    comment = (ci.folder / "plan.md").read_text()
    assert comment.startswith("### activityctl plan\n\nPlan: 1 to create, 1 to configure, 0 to")
    assert '!   spec.triggers[often].interval.every: "30s" -> "45s"' in comment
    assert f"+ schedule {second}/often" in comment
    assert ci.live() == {world}

    # After the merge exactly that is applied, with its commit.
    ci.run("validate", "apply")
    assert ci.live() == {world, second}
    (change, _) = ci.shell.json("history", "def", ci.word)["items"]
    assert change["sourceCommit"] == COMMIT
    assert [field["path"] for field in change["fields"]] == ["spec.triggers[often].interval.every"]
    ci.run("plan")
    assert "No changes: 3 objects are unchanged." in (ci.folder / "plan.md").read_text()

    # A subscription that an operator paused stays paused after a merge.
    ci.shell("pause", second)
    ci.edit("Greets somebody", "Greets everybody")
    ci.run("validate", "apply")
    (row,) = ci.shell.json("get", "sub", second)["items"]
    assert row["status"] == "paused"

    # An invalid commit fails in the first job.
    ci.edit("params.name != ", "params.nam != ")
    assert "nam" in ci.run("validate", "apply", code=3).stderr
    ci.edit("params.nam != ", "params.name != ")

    # Removing a file deletes its object and no other.
    (ci.folder / "definitions" / "second.yaml").unlink()
    ci.run("plan")
    assert f"- subscription/{second} deleted" in (ci.folder / "plan.md").read_text()
    ci.run("validate", "apply")
    assert ci.live() == {world}

    if ci.whose == "github":
        await drift_and_heal(ci, world)
    ci.shell("delete", "sub", world, "--yes")


async def drift_and_heal(ci: Ci, name: str) -> None:
    """Delete the schedule in Temporal; the audit of the worker creates it again."""
    schedule = await ci.schedule(name)
    await schedule.delete()

    async def is_healed() -> bool:
        try:
            await schedule.describe()
        except RPCError:
            return False
        return True

    assert not await is_healed()
    ci.run("plan")
    assert "No changes" in (ci.folder / "plan.md").read_text()  # the wanted state has not changed
    await until(is_healed, 100)
    warnings = ci.shell("logs", name).stdout
    assert "often" in warnings
    assert "warning" in warnings
