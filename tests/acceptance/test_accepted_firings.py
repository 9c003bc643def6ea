"""What was accepted without a worker is seen, waited for and cancelled before it is a run."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.forked import COMMAND, run_command

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: later}
spec: {tasks: [{name: one, command: {argv: [sh, -c, 'echo ran >> %s']}}]}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: later}
spec: {activity: later}
"""

pytestmark = pytest.mark.slow
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(servers: dict[str, str], database_url: str, tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ACTIVITYCTL_")}
    return {
        **kept,
        "COLUMNS": "200",
        "ACTIVITYCTL_HOME": str(tmp_path / "home"),
        "ACTIVITYCTL_DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": servers["temporal_address"],
        "ACTIVITYCTL_ALLOW_COMMANDS": "true",
    }


@pytest.fixture
def call(environment: dict[str, str]) -> Call:
    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = run_command(*arguments, environment=environment, timeout=120)
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def test_it_is_seen_waited_for_and_cancelled_and_never_runs(
    call: Call, environment: dict[str, str], tmp_path: Path
):
    marks = tmp_path / "marks"
    (tmp_path / "later.yaml").write_text(MANIFEST % marks)
    call("apply", "-f", str(tmp_path / "later.yaml"), "--no-wait")
    gone, kept, third = (
        call("trigger", "later", "--no-wait", "-o", "name").stdout.strip() for _ in range(3)
    )

    def runs(*filters: str) -> dict[str, dict[str, Any]]:
        listed = json.loads(call("get", "runs", *filters, "-o", "json").stdout)["items"]
        return {f"run/{run['id']}": run for run in listed}

    assert {run["status"] for run in runs().values()} == {"queued"}
    assert {run["reason"] for run in runs().values()} == {"accepted; waits for a worker"}
    assert set(runs("-s", "later", "--status", "queued")) == {gone, kept, third}
    assert runs("--status", "running") == {}
    assert "accepted; waits for a worker" in call("describe", gone).stdout
    assert call("logs", gone).stdout == ""
    assert call("logs", "later", "--run", gone.removeprefix("run/")[:13]).stdout == ""
    waited = call("wait", gone, "--timeout", "1s", code=8)
    assert "no worker is running" in waited.stderr
    assert call("cancel", gone).stdout == f"{gone} cancelled\n"
    assert call("cancel", third, "--no-wait").stdout == f"{third} cancelled\n"
    assert "already ended: cancelled" in call("cancel", gone, code=1).stderr
    assert "before it started" in call("logs", gone).stdout
    call("wait", gone, code=1)

    worker = subprocess.Popen([COMMAND, "worker"], env=environment, stderr=subprocess.PIPE)
    try:
        call("wait", kept, "--timeout", "80s")
        time.sleep(1)  # for a firing that would start although it was cancelled
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=60)
    statuses = {name: run["status"] for name, run in runs().items()}
    assert statuses == {gone: "cancelled", kept: "succeeded", third: "cancelled"}
    assert marks.read_text() == "ran\n"
