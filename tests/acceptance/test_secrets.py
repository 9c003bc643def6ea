"""`secrets` as a user types it, and tasks that use what it keeps."""

import base64
import json
import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from support.waiting import until

BACKENDS = Path(__file__).parent / "keyring_backends"
CANARY = "canary-of-the-token"
CALLING = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: crm}
spec:
  params: {type: object, properties: {region: {type: string, default: eu}}}
  tasks:
    - name: call
      http:
        url: http://127.0.0.1:%(port)d/
        headers: {Authorization: {secretRef: crm-life-token}}
      retry: {maxAttempts: 200, initialInterval: 300ms, maxInterval: 300ms}
    - name: regional
      needs: [call]
      command:
        shell: 'echo "$KEY"'
        env: {KEY: {secretRef: "${ params.region }-key"}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: crm-eu}
spec: {activity: crm}
"""


class Crm(BaseHTTPRequestHandler):
    """Accepts one token, and repeats every token that it gets."""

    wanted = ""
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        given = self.headers["Authorization"] or ""
        self.seen.append(given)
        body = json.dumps({"you sent": given}).encode()
        self.send_response(200 if given == self.wanted else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Echo", given)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Crm)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.timeout(400)  # on a busy machine each of its thirty commands takes seconds
def test_the_life_of_a_secret_with_a_daemon(shell, port: int):
    (shell.folder / "crm.yaml").write_text(CALLING % {"port": port})
    valid = shell("validate", "-f", "crm.yaml")
    assert "secrets that they need: crm-life-token, eu-key" in valid.stderr
    planned = shell("plan", "-f", "crm.yaml").stdout
    assert "activityctl secrets set crm-life-token  (definition/crm)" in planned
    assert "activityctl secrets set eu-key  (subscription/crm-eu)" in planned
    shell("apply", "-f", "crm.yaml")
    missing = shell("doctor", code=None).stdout.partition("missing on this machine: ")[2]
    assert "crm-life-token" in missing  # with those of the tests that used this daemon before
    assert "eu-key" in missing

    failed = shell("trigger", "crm-eu", "--wait", code=1).stdout
    assert "secret crm-life-token is missing on this worker" in failed
    assert "activityctl secrets set crm-life-token" in failed
    (task, *_) = shell.json("get", "tasks", "-s", "crm-eu")["items"]
    assert (task["status"], task["attempts"]) == ("failed", 1)

    shell("secrets", "set", "eu-key", stdin="key-of-europe\n")
    shell("secrets", "set", "crm-life-token", "--hosts", "crm.example", stdin=CANARY)
    refused = shell("trigger", "crm-eu", "--wait", code=1).stdout
    assert f"is bound to crm.example and is not sent to 127.0.0.1:{port}" in refused
    assert Crm.seen == []
    shell("secrets", "remove", "crm-life-token", "--yes")

    # A changed secret is used by the next attempt, without a restart.
    shell("secrets", "set", "crm-life-token", "--hosts", f"127.0.0.1:{port}", stdin=f"old-{CANARY}")
    Crm.wanted = f"new-{CANARY}"
    waiting = shell.start("trigger", "crm-eu", "--wait")
    until(lambda: Crm.seen)
    shell("secrets", "rotate", "crm-life-token", stdin=f"new-{CANARY}")
    waiting.communicate(timeout=120)
    assert waiting.returncode == 0
    run = shell.json("get", "runs", "-s", "crm-eu", "--limit", "1")["items"][0]["id"]
    assert Crm.seen[0] == f"old-{CANARY}"
    assert Crm.seen[-1] == f"new-{CANARY}"
    call, regional = sorted(
        shell.json("get", "tasks", "--run", run)["items"], key=lambda t: t["name"]
    )
    assert call["input"]["headers"] == {"Authorization": {"secretRef": "crm-life-token"}}
    assert call["output"]["json"] == {"you sent": "***"}
    assert call["output"]["headers"]["x-echo"] == "***"
    assert regional["output"]["stdout"] == "***\n"

    described = shell.json("describe", "sub", "crm-eu")["secrets"]
    assert described == [
        {"name": "crm-life-token", "isFoundHere": True},
        {"name": "eu-key", "isFoundHere": True},
    ]
    listed = {secret["name"]: secret for secret in shell.json("secrets", "list")["items"]}
    assert listed["crm-life-token"]["usedBy"] == ["definition/crm"]
    assert listed["eu-key"]["usedBy"] == ["subscription/crm-eu"]
    assert listed["crm-life-token"]["lastUsedAt"] is not None
    assert "used by definition/crm" in shell("secrets", "remove", "crm-life-token", code=1).stderr
    for arguments in (("logs", "crm-eu"), ("get", "tasks", "-o", "json"), ("secrets", "list")):
        assert CANARY not in shell(*arguments).stdout
    assert CANARY not in (shell.home / "logs" / "worker.log").read_text()


def test_a_value_comes_from_standard_input_or_the_terminal_and_is_not_shown(stranger):
    done = stranger("secrets", "set", "a", CANARY, code=2)
    assert "a value is never an argument" in done.stderr
    assert CANARY not in done.stderr
    stranger("secrets", "set", "a", stdin="", code=3)
    main, other = pty.openpty()
    process = subprocess.Popen(
        stranger.command("secrets", "set", "a"),
        env=stranger.environment,
        cwd=stranger.folder,
        stdin=other,
        stdout=subprocess.PIPE,
        stderr=other,
        start_new_session=True,
    )
    shown = b""
    while b"Value of a:" not in shown:
        shown += os.read(main, 1000)
    os.write(main, f"{CANARY}\n".encode())
    out, _ = process.communicate(timeout=60)
    os.set_blocking(main, False)
    shown += os.read(main, 10_000)
    assert process.returncode == 0, (out, shown)
    assert out.startswith(b"secret/a set: encrypted file ")
    assert CANARY.encode() not in out + shown
    stranger("secrets", "set", "a", stdin=CANARY, code=5)
    listed = stranger("secrets", "list")
    assert CANARY not in listed.stdout
    assert "encrypted file" in listed.stdout
    assert "who uses them is not known: no activityctl daemon is running" in listed.stderr
    assert "or add --yes" in stranger("secrets", "remove", "a", code=7).stderr
    stranger("secrets", "remove", "a", "--yes")
    stranger("secrets", "remove", "a", "--yes", code=4)


def test_a_key_store_that_cannot_be_used_is_named(stranger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(BACKENDS))
    monkeypatch.setenv("TEAM_KEYRING_FILE", str(stranger.folder / "keyring.json"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "team_keyring.LockedKeyring")
    locked = stranger("secrets", "set", "a", stdin=CANARY, code=7)
    assert "KeyringLocked" in locked.stderr
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    absent = stranger("secrets", "set", "a", "--store", "keyring", stdin=CANARY, code=7)
    assert "this system has no key store" in absent.stderr
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "team_keyring.TeamKeyring")
    kept = stranger("secrets", "set", "a", stdin=CANARY)
    assert kept.stdout == "secret/a set: key store team_keyring.TeamKeyring\n"


def test_a_key_from_a_descriptor_and_a_wrong_key(stranger):
    key = stranger.folder / "key"
    key.write_bytes(base64.b64encode(os.urandom(32)))
    with key.open("rb") as file:
        done = subprocess.run(
            stranger.command("secrets", "set", "a"),
            env={**stranger.environment, "ACTIVITYCTL_SECRETS_KEY_FILE": f"fd:{file.fileno()}"},
            pass_fds=(file.fileno(),),
            input=CANARY.encode(),
            capture_output=True,
            check=True,
        )
    assert done.stdout.startswith(b"secret/a set: encrypted file ")
    key.write_bytes(base64.b64encode(os.urandom(32)))
    key.chmod(0o600)
    wrong = subprocess.run(
        stranger.command("secrets", "rotate", "a"),
        env={**stranger.environment, "ACTIVITYCTL_SECRETS_KEY_FILE": str(key)},
        input=CANARY.encode(),
        capture_output=True,
        check=False,
    )
    assert wrong.returncode == 3
    assert b"cannot be decrypted with the key" in wrong.stderr
