"""Commands as a user meets them: values in scripts, what a command sees, what is kept of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.prepared_home import prepare
from support.waiting import until

DEFINITION = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: NAME}
spec:
  triggers: [{name: paid, event: {type: NAME.paid}}]
  tasks:
    - name: one
      command: COMMAND
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: NAME}
spec: {activity: NAME}
"""
EVIL = "$(touch HIT) `touch HIT`'; touch HIT; \""


def write(folder: Path, name: str, command: str) -> None:
    text = DEFINITION.replace("COMMAND", command).replace("NAME", name)
    (folder / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize(
    "command",
    [
        '{shell: "echo ${ event.data.customer }"}',
        '{argv: [sh, -c, "echo ${ event.data.customer }"]}',
        '{argv: [bash, -c, "echo ${ event.data.customer }"]}',
        '{argv: [env, sh, -c, "echo ${ event.data.customer }"]}',
        '{argv: [python3, -c, "print(${ event.data.customer })"]}',
    ],
)
def test_a_value_in_a_script_is_refused_with_its_place_and_the_way_to_write_it(
    stranger: Any, command: str
):
    write(stranger.folder, "shop", command)
    done = stranger("validate", "-f", "shop.yaml", code=3)
    column = f"      command: {command}".index("event.data") + 1
    assert f"error: shop.yaml:9:{column}: spec.tasks[0].command." in done.stderr
    assert 'env: {CUSTOMER: "${ event.data.customer }"}' in done.stderr


def test_a_value_that_chooses_what_runs_is_refused_with_its_place(stranger: Any):
    for command, path in (
        ('{argv: ["${ event.data.x }", -l]}', "argv[0]"),
        ('{argv: [env, "${ event.data.x }"]}', "argv[1]"),
        ('{argv: "${ event.data.x }"}', "argv"),
        ('{argv: [make], cwd: "${ event.data.x }"}', "cwd"),
        ('{argv: [id], user: "${ event.data.x }"}', "user"),
        ('{argv: [make], env: {PATH: "${ event.data.x }"}}', "env.PATH"),
    ):
        write(stranger.folder, "shop", command)
        done = stranger("validate", "-f", "shop.yaml", code=3)
        column = f"      command: {command}".index("event.data") + 1
        expected = f"error: shop.yaml:9:{column}: spec.tasks[0].command.{path}: a value must not"
        assert expected in done.stderr
    write(stranger.folder, "shop", '{argv: ["${ params.x }"], cwd: "${ params.y }"}')
    text = (stranger.folder / "shop.yaml").read_text()
    params = "spec:\n  params: {type: object, properties: {x: {type: string}, y: {type: string}}}\n"
    (stranger.folder / "shop.yaml").write_text(text.replace("spec:\n", params, 1))
    stranger("validate", "-f", "shop.yaml")


def test_a_value_that_is_passed_with_env_is_not_executed(shell: Any, tmp_path: Path):
    hit = tmp_path / "HIT"
    value = EVIL.replace("HIT", str(hit))
    command = '{shell: \'printf %s "$CUSTOMER"\', env: {CUSTOMER: "${ event.data.customer }"}}'
    write(tmp_path, "shop-env", command)
    shell("apply", "-f", "shop-env.yaml")
    document = tmp_path / "event.json"
    document.write_text(
        '{"specversion": "1.0", "id": "1", "source": "/t", "type": "shop-env.paid", "data": '
        + json.dumps({"customer": value})
        + "}"
    )
    shell("emit", "event.json", "--wait")
    (task,) = shell.json("get", "tasks", "-s", "shop-env")["items"]
    assert task["output"]["stdout"] == value
    assert not hit.exists()
    shell("delete", "sub", "shop-env", "--yes")


# ---- processes end with their worker -------------------------------------------------

ESCAPING = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(sys.argv[1], "w") as file:
            file.write(str(os.getpid()))
        os.execve("/bin/sleep", ["sleep", "600"], {})
    os._exit(0)
time.sleep(600)
"""
"""Starts a process with a session of its own, without a parent and with an empty environment."""


@pytest.fixture(scope="module")
def own(shell_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A daemon of this module, whose worker its tests kill."""
    shell = shell_at(prepare(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("work"))
    script = shell.folder / "escaping.py"
    script.write_text(ESCAPING)
    command = f"{{argv: [{sys.executable}, {script}, {shell.folder}/number]}}"
    write(shell.folder, "escapes", command)
    shell("up", "-d", "-f", "escapes.yaml")
    yield shell
    shell("down")


def number(shell: Any) -> int:
    """Wait for the pid of the process that escaped, and forget it."""
    path = shell.folder / "number"
    until(lambda: path.exists() and path.read_text())
    found = int(path.read_text())
    path.unlink()
    return found


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_command_started_ends_with_its_worker_and_with_the_daemon(own: Any):
    own("trigger", "escapes", "--no-wait")
    first = number(own)
    assert lives(first)
    parts = own.json("status")["components"]
    os.kill(next(part["pid"] for part in parts if part["name"] == "worker"), signal.SIGKILL)
    until(lambda: not lives(first))
    second = number(own)  # of the attempt that replaces the lost one
    assert lives(second)
    own("down")
    assert not lives(second)


def test_a_worker_forgets_the_password_and_says_that_it_is_root(shell: Any):
    addresses = json.loads((shell.home / "daemon.json").read_text())["addresses"]
    url = addresses["database_url"]
    environment = {
        **shell.environment,
        "ACTIVITYCTL_DATABASE_URL": url,
        "ACTIVITYCTL_TEMPORAL_ADDRESS": addresses["temporal_address"],
        "ACTIVITYCTL_ALLOW_COMMANDS": "true",
    }
    command = [*shell.command("worker")]
    worker = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    log = ""
    try:
        while "worker ready" not in log:
            line = worker.stderr.readline()
            assert line, log
            log += line
        if os.geteuid() == 0:  # others cannot even look
            assert url.encode() not in Path(f"/proc/{worker.pid}/environ").read_bytes()
            assert "the worker runs as root" in log
        else:
            with pytest.raises(PermissionError):
                Path(f"/proc/{worker.pid}/environ").read_bytes()
    finally:
        worker.terminate()
        worker.communicate(timeout=60)
    checks = {check["name"]: check for check in shell.json("doctor", code=None)["checks"]}
    assert checks["commands"]["state"] == ("warning" if os.geteuid() == 0 else "ok")


def test_the_output_of_a_failed_command_is_shown(shell: Any, tmp_path: Path):
    write(tmp_path, "shop-fails", '{shell: "echo TEST FAILED; exit 3"}')
    shell("apply", "-f", "shop-fails.yaml")
    shell("trigger", "shop-fails", code=1)
    assert "ended with exit code 3: TEST FAILED" in shell("logs", "shop-fails").stdout
    (task,) = shell.json("get", "tasks", "-s", "shop-fails")["items"]
    assert "TEST FAILED" in shell("describe", "task", task["id"]).stdout
    described = shell.json("describe", "run", task["run"])["tasks"][0]["output"]
    assert (described["exitCode"], described["stdout"]) == (3, "TEST FAILED\n")
    shell("delete", "sub", "shop-fails", "--yes")
