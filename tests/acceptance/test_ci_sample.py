"""Run the CI workflows that `init` creates: their real steps, against a real server.

The machines have the libraries of the tests in their image; with DRILL_FULL=1 they install those of
the list. `.ci/run` installs the same list, with its hashes, for the tests themselves.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, ScheduleHandle
from temporalio.service import RPCError

from activityctl.daemon.local.state import read_state
from support.ci_runner import FILES, CiRunner

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COMMIT = "c0ffee0123456789c0ffee0123456789c0ffee01"
SECOND = """apiVersion: activityctl/v1
kind: Subscription
metadata: {name: %s-second}
spec: {activity: %s, params: {name: second}}
"""


@dataclass(frozen=True)
class Ci:
    """A repository created by `init`, and a way to run the jobs of its workflow."""

    shell: Any
    runner: CiRunner
    word: str

    @property
    def whose(self) -> str:
        return self.runner.service

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

    def run(self, *jobs: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the jobs as CI does, without a daemon of their own."""
        first = ("install",) if self.whose == "gitlab" else ()
        done = self.runner.run(*first, *jobs)
        assert done.returncode == code, f"{self.runner.printed}\n{done.stderr}"
        return done

    def live(self) -> set[str]:
        items = self.shell.json("get", "sub", "--limit", "10000")["items"]
        return {item["name"] for item in items if item["name"].startswith(self.word)}

    async def schedule(self, name: str) -> ScheduleHandle:
        """The alarm of the subscription's schedule in Temporal."""
        state = read_state(self.shell.home)
        assert state is not None
        client = await Client.connect(state.addresses["temporal_address"])
        rows = self.shell.json("get", "schedules", "--limit", "10000")["items"]
        (alarm,) = {row["alarm"] for row in rows if row["subscription"] == name}
        return client.get_schedule_handle(alarm)


def a_wheel(folder: Path) -> dict[str, str]:
    """Build a wheel of this repository and say where it is, as the workflow's variables do."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("activityctl-*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {"ACTIVITYCTL_WHEEL": str(wheel), "ACTIVITYCTL_WHEEL_SHA256": digest}


def a_commit(folder: Path) -> dict[str, str]:
    """Commit this package to a repository and say where it is, as the workflow's variables do."""
    shutil.copytree(
        ROOT / "activityctl", folder / "activityctl", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    git = ["git", "-C", str(folder), "-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "all")):
        subprocess.run([*git, *words], check=True, capture_output=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return {"ACTIVITYCTL_SOURCE": f"git+file://{folder}@{commit}"}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of CI's machines, with pip and without packages."""
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, with_pip=True)
    return folder / "bin"


@pytest.fixture(params=["github", "gitlab"])
def ci(
    request: pytest.FixtureRequest,
    shell: Any,
    python: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ci:
    whose = request.param
    shell("init", ".", "--ci", whose)
    machine = tmp_path_factory.mktemp("machine")
    state = read_state(shell.home)
    assert state is not None
    source = a_wheel if whose == "github" else a_commit
    runner = CiRunner(
        service=whose,
        folder=shell.folder,
        machine=machine / "runner",
        python=python,
        commit=COMMIT,
        variables=source(tmp_path_factory.mktemp("source")),
        secrets={
            f"activityctl-{job}": {
                f"ACTIVITYCTL_{job.upper()}_DATABASE_URL": state.addresses["database_url"]
            }
            for job in ("plan", "apply")
        },
    )
    if os.environ.get("DRILL_FULL") != "1":
        give_libraries(runner)
    found = Ci(shell, runner, f"ci-{whose}")
    found.edit("name: hello", f"name: {found.word}")
    found.edit("activity: hello", f"activity: {found.word}")
    set_name = "--applyset main"  # each repository needs its own set, because the daemon is shared
    workflow = found.folder / FILES[whose]
    assert set_name in workflow.read_text()
    workflow.write_text(workflow.read_text().replace(set_name, f"--applyset {found.word}"))
    return found


def give_libraries(runner: CiRunner) -> None:
    """Let the machine's Python find our libraries, so that only activityctl is to be installed."""
    (place,) = runner.python.parent.glob("lib/python*/site-packages")
    (place / "libraries_of_the_image.pth").write_text(sysconfig.get_path("purelib"))
    (Path(runner.folder) / ".activityctl" / "requirements.txt").write_text("")
    # pip reads this one the other way round: nothing is installed only to build a wheel.
    runner.variables = {**runner.variables, "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(1)


@pytest.mark.timeout(900)
async def test_from_a_pull_request_to_a_healed_schedule(ci: Ci):
    world, second = f"{ci.word}-world", f"{ci.word}-second"
    done = ci.run("validate", "apply")
    assert f"subscription/{world} created" in done.stdout
    assert f"activityctl {ci.shell.json('version')['version']} (Python" in ci.runner.printed

    # A pull request is planned and changes nothing.
    ci.edit("every: 30s", "every: 45s")
    (ci.folder / "definitions" / "second.yaml").write_text(SECOND % (ci.word, ci.word))
    ci.run("validate", "plan")
    comment = (ci.folder / "plan.md").read_text()
    if ci.whose == "github":
        ci.run("comment")
        assert (ci.runner.machine / "comment.md").read_text() == comment
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

    if ci.whose == "github":  # what follows is the same for both, apart from the jobs
        await change_further(ci, world, second)
        await drift_and_heal(ci, world)
    for name in ci.live():
        ci.shell("delete", "sub", name, "--yes")


async def change_further(ci: Ci, world: str, second: str) -> None:
    """Pause the second subscription, break the manifests and mend them, and remove the second."""
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
    await until(is_healed, 300)  # the audit of the worker looks about each minute
    warnings = ci.shell("logs", name).stdout
    assert "often" in warnings
    assert "warning" in warnings
